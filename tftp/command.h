/* The verbs: what each is called, takes and does. */
#ifndef COMMAND_H
#define COMMAND_H

#include "client.h"

struct command {
	const char *name;
	const char *args;     /* for usage */
	const char *help;
	int least, most;      /* arguments after the verb */
	int (*run)(const struct client_options *options, int argc, char **argv, struct client_outcome *out);
};

extern const struct command commands[];
extern const int ncommands;

/* The command of that name, or NULL. */
const struct command *command_find(const char *name);

#endif
