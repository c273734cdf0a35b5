/* get and put, by URL. */
#include "command.h"

#include "log.h"
#include "uri.h"

#include <stdio.h>
#include <string.h>

static int usage(struct client_outcome *out, const char *what, const char *word, const char *why)
{
	char safe[160];

	out->status = CLIENT_USAGE;
	snprintf(out->message, sizeof(out->message), "%s \"%s\": %s", what, log_safe(safe, sizeof(safe), word, strlen(word)),
	    why);
	return CLIENT_USAGE;
}

static int transfer(const struct client_options *options, bool write, const char *url, const char *local,
    struct client_outcome *out)
{
	struct client_options with = *options;
	struct client_job job = {.write = write};
	const char *why;
	struct uri uri;
	int status;

	if (uri_parse(&uri, url, &why) != 0) {
		status = usage(out, "cannot use", url, why);
		uri_free(&uri);
		return status;
	}
	if (uri.mode_given)
		with.text = uri.text;
	job.host = uri.host;
	job.port = uri.port;
	job.remote = uri.path;
	job.local = local != NULL ? local : ".";
	status = client_run(&with, &job, out);
	uri_free(&uri);
	return status;
}

static int get(const struct client_options *options, int argc, char **argv, struct client_outcome *out)
{
	return transfer(options, false, argv[0], argc > 1 ? argv[1] : NULL, out);
}

static int put(const struct client_options *options, int argc, char **argv, struct client_outcome *out)
{
	(void)argc;
	return transfer(options, true, argv[1], argv[0], out);
}

const struct command commands[] = {
	{"get", "tftp://HOST[:PORT]/PATH [LOCAL|-]", "fetch a file", 1, 2, get},
	{"put", "LOCAL|- tftp://HOST[:PORT]/PATH", "upload a file", 2, 2, put},
};
const int ncommands = sizeof(commands) / sizeof(commands[0]);

const struct command *command_find(const char *name)
{
	for (int i = 0; i < ncommands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}
