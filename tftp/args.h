/*
 * The command line's options: one table, from which they are parsed and the usage text is printed. Several old clients'
 * letters live side by side here; what the words that remain mean is decided in form.c.
 */
#ifndef ARGS_H
#define ARGS_H

#include "client.h"

#include <stdbool.h>
#include <stdio.h>

enum args_verb { ARGS_NONE, ARGS_GET, ARGS_PUT };

struct args {
	struct client_options options;
	enum args_verb verb;    /* -g, -p */
	const char *local;      /* -l FILE, with -g or -p */
	const char *remote;     /* -r */
	const char *output;     /* -o */
	const char *upload;     /* -T */
	bool own_name;          /* -O */
	bool literal;           /* -l alone: colons in names mean nothing */
	bool verbose, quiet, json, help, version;
	int progress;           /* 1, 0, -1: on a terminal */
	char **command;         /* what follows -c, NULL: no -c */
	int ncommand;
	char **words;           /* everything that is no option, in order; points into argv, which is reordered */
	int nwords;
};

#define ARGS_WHY 256

/*
 * Parse. Returns 0, or -1 and in `why` (ARGS_WHY bytes) a sentence that names the bad word. *a points into argv.
 */
int args_parse(struct args *a, int argc, char **argv, char *why);

/*
 * Set one option by its long name, as the interactive commands do: "blksize", "timeout", ... Returns as above.
 */
int args_set(struct args *a, const char *name, const char *value, char *why);

/* The options as lines of help. */
void args_help(FILE *out);

#endif
