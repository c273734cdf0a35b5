/*
 * The commands: what each is called, takes and does. The one table from which a session runs them and usage and help
 * are printed.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include "shell.h"

#include <stdio.h>

struct command {
	const char *name;
	const char *args;     /* in a session */
	const char *line;     /* on the command line; NULL: there is none */
	const char *help;
	bool added;           /* tftp-hpa does not have it: its own commands win when a word could be either */
	/* argv[0] is the command. Returns its status; what there is to say has been said. */
	int (*run)(struct shell *s, int argc, char **argv);
};

extern const struct command commands[];
extern const int ncommands;

/* The command of that name or unique beginning. NULL, and in *n how many it could be. */
const struct command *command_find(const char *word, int *n);

/* What can be done on the command line, for usage; in a session, for help. */
void command_usage(FILE *out);
void command_help(FILE *out);

#endif
