/*
 * Which of the call forms a command line is, and what it asks for:
 *
 *	URL        tftp get|put ..., tftp URL, -o -O -T
 *	scp        tftp host:path... LOCAL, tftp LOCAL... host:path
 *	tftp-hpa   tftp [host [port]] [-c command...]
 *	busybox    tftp -g|-p [-l LOCAL] [-r REMOTE] host [port]     (atftp too)
 *	Windows    tftp [-i] host get|put SOURCE [DESTINATION]
 */
#ifndef FORM_H
#define FORM_H

#include "args.h"
#include "jobs.h"

enum form_kind {
	FORM_JOBS,         /* transfer what is in jobs */
	FORM_SHELL,        /* commands: from the words behind -c, or from standard input */
	FORM_DOCTOR,       /* examine a server */
};

struct form {
	enum form_kind kind;
	struct jobs jobs;
	const char *host;  /* SHELL: connect to it, may be NULL; DOCTOR */
	const char *port;  /* NULL: the default */
	const char *file;  /* DOCTOR: may be NULL */
};

/* Returns 0, or -1 and in `why` (ARGS_WHY bytes) a sentence that names the bad word. form_free() either way. */
int form_read(struct form *f, const struct args *a, char *why);
void form_free(struct form *f);

#endif
