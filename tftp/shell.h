/* A session of commands, from a terminal, a pipe, or the words behind -c; as tftp-hpa has it. */
#ifndef SHELL_H
#define SHELL_H

#include "args.h"
#include "client.h"
#include "report.h"

#include <stdbool.h>
#include <stddef.h>

struct shell {
	struct args *args;       /* the session's settings; commands change them */
	struct report *report;
	struct client *client;
	char *host, *port;       /* connected to, NULL: to nothing */
	bool interactive;        /* missing words can be asked for */
	bool terminal;           /* and there is a person to see prompts */
	bool begun;              /* a line has been read that is not empty */
	bool quit;
	char buf[4096];          /* standard input, read but not used */
	size_t len;
	bool eof;
	bool too_long;           /* a part of the present line was dropped */
};

void shell_init(struct shell *s, struct args *args, struct report *report, struct client *client);
void shell_free(struct shell *s);

/* Both may be NULL. Takes copies. False: out of memory. */
bool shell_connect(struct shell *s, const char *host, const char *port);

/* Run one command: words as a person typed them. Returns its status. */
int shell_command(struct shell *s, int argc, char **argv);

/*
 * Commands from standard input until its end or quit. The status is 0 for a terminal, otherwise that of the first
 * command that failed.
 */
int shell_run(struct shell *s);

enum shell_line { SHELL_LINE, SHELL_EOF, SHELL_INTERRUPTED, SHELL_TOO_LONG };

/*
 * Read a line without its newline, after a prompt if there is somebody to see it. SHELL_TOO_LONG: it had `cap` bytes or
 * more, which has been said.
 */
enum shell_line shell_read(struct shell *s, const char *prompt, char *line, size_t cap);

/* Complain on standard error; returns CLIENT_USAGE. */
int shell_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
