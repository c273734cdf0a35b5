/* What the commands do. Their names, letters and questions are tftp-hpa's. */
#include "command.h"

#include "jobs.h"
#include "local.h"
#include "log.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Words. */

struct asked {
	char **words;            /* the command line's own, of which there may be any number, or those typed */
	int n;
	char line[1024];
	char *typed[WORDS_MAX];
};

/*
 * The command's words; when there are none and somebody can be asked, what they answer to `question`. False: there are
 * still none, and that has been said, or was what they wanted.
 */
static bool words_of(struct shell *s, int argc, char **argv, const char *question, struct asked *a)
{
	enum shell_line answer = SHELL_EOF;
	const char *why;

	a->words = argv + 1;
	a->n = argc - 1;
	if (a->n == 0 && s->interactive)
		answer = shell_read(s, question, a->line, sizeof(a->line));
	if (answer == SHELL_INTERRUPTED)
		return false;
	if (answer == SHELL_LINE) {
		a->words = a->typed;
		a->n = words_split(a->line, a->typed, &why);
		if (a->n < 0) {
			shell_complain("%s", why);
			return false;
		}
	}
	if (a->n > 0)
		return true;
	for (int i = 0; i < ncommands; i++)
		if (strncmp(commands[i].name, argv[0], strlen(argv[0])) == 0) {
			shell_complain("usage: %s %s", commands[i].name, commands[i].args);
			return false;
		}
	return false;
}

struct shown {
	char text[160];
};

static struct shown show(const char *word)
{
	struct shown s;

	log_safe(s.text, sizeof(s.text), word, strlen(word));
	return s;
}

/* Get and put. */

/*
 * Where a word points to: a file on the server we are connected to, or host:file, which connects as well. False:
 * nowhere, and that has been said.
 */
static bool remote_of(struct shell *s, const char *word, struct uri *u)
{
	const char *why = "";
	bool short_form = !s->args->literal && uri_is_short(word);

	memset(u, 0, sizeof(*u));
	if (!short_form && !uri_is_url(word)) {
		if (s->host == NULL) {
			shell_complain("not connected: connect HOST first, or write host:%s", show(word).text);
			return false;
		}
		u->host = s->host;
		u->port = s->port;
		u->path = (char *)word;
		return true;
	}
	if ((short_form ? uri_parse_short(u, word, true, &why) : uri_parse(u, word, true, &why)) != 0) {
		shell_complain("cannot use \"%s\": %s", show(word).text, why);
		uri_free(u);
		return false;
	}
	shell_connect(s, u->host, u->port);
	return true;
}

static int run_jobs(struct shell *s, struct jobs *jobs)
{
	char why[ARGS_WHY];
	int status;

	if (jobs_check(jobs, why, sizeof(why)) != 0)
		return shell_complain("%s", why);
	report_update(s->report, jobs->list, jobs->n);
	status = (int)client_run(s->client, jobs->list, jobs->n);
	report_total(s->report, jobs->list, jobs->n, client_interrupted(s->client) != 0);
	return status;
}

static bool looks_remote(const struct shell *s, const char *word)
{
	return uri_is_url(word) || (!s->args->literal && uri_is_short(word));
}

/* One file; `local` NULL: under its own name. False: that could not be, and has been said. */
static bool add_get(struct shell *s, struct jobs *jobs, const char *word, const char *local)
{
	struct uri u;
	bool added = false;

	if (!remote_of(s, word, &u))
		return false;
	if (local == NULL)
		local = local_tail(u.path);
	if (*local == '\0')
		shell_complain("there is no file name in \"%s\"", show(word).text);
	else if (jobs_get(jobs, s->args->options.text, &u, local) != 0)
		shell_complain("out of memory");
	else
		added = true;
	uri_free(&u);
	return added;
}

/* get a: into a; get a b: into b; more: all of them, each under its own name. */
static int get(struct shell *s, int argc, char **argv)
{
	struct jobs jobs = {.n = 0};
	struct asked a;
	const char *local;
	bool good = true;
	int status;

	if (!words_of(s, argc, argv, "(files) ", &a))
		return CLIENT_USAGE;
	local = a.n == 2 && !looks_remote(s, a.words[1]) ? a.words[1] : NULL;
	for (int i = 0; i < (local != NULL ? 1 : a.n) && good; i++)
		good = add_get(s, &jobs, a.words[i], local);
	status = good ? run_jobs(s, &jobs) : CLIENT_USAGE;
	jobs_free(&jobs);
	return status;
}

/* put a: as a; put a b: as b; put a b dir: as dir/a and dir/b. */
static int put(struct shell *s, int argc, char **argv)
{
	struct jobs jobs = {.n = 0};
	struct asked a;
	struct uri u;
	const char *local;
	int err = 0, status;

	if (!words_of(s, argc, argv, "(file) ", &a))
		return CLIENT_USAGE;
	for (int i = 0; i < a.n - 1; i++)
		if (!s->args->literal && uri_is_short(a.words[i]))
			return shell_complain("\"%s\": only the last word can name a host", show(a.words[i]).text);
	if (!remote_of(s, a.words[a.n - 1], &u))
		return CLIENT_USAGE;
	if (a.n == 1) {
		/* As it stands; tftp-hpa looks for its last component here, whatever directory it names. */
		local = access(u.path, F_OK) == 0 ? u.path : local_tail(u.path);
		err = jobs_put(&jobs, s->args->options.text, local, &u, false);
	}
	for (int i = 0; i < a.n - 1 && err == 0; i++)
		err = jobs_put(&jobs, s->args->options.text, a.words[i], &u, a.n > 2);
	uri_free(&u);
	status = err == 0 ? run_jobs(s, &jobs) : shell_complain("out of memory");
	jobs_free(&jobs);
	return status;
}

/* Settings. */

static int connect_to(struct shell *s, int argc, char **argv)
{
	struct asked a;

	if (!words_of(s, argc, argv, "(to) ", &a))
		return CLIENT_USAGE;
	if (a.n > 2)
		return shell_complain("usage: connect HOST [PORT]");
	if (!shell_connect(s, a.words[0], a.n > 1 ? a.words[1] : NULL))
		return shell_complain("out of memory");
	return 0;
}

static int set(struct shell *s, const char *name, const char *value)
{
	char why[ARGS_WHY];

	return args_set(s->args, name, value, why) == 0 ? 0 : shell_complain("%s", why);
}

static int mode(struct shell *s, int argc, char **argv)
{
	if (argc > 1)
		return set(s, "mode", argv[1]);
	printf("Using %s mode to transfer files.\n", s->args->options.text ? "netascii" : "octet");
	return 0;
}

static int mode_text(struct shell *s, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	s->args->options.text = true;
	return 0;
}

static int mode_octet(struct shell *s, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	s->args->options.text = false;
	return 0;
}

static int toggle(bool *on, const char *what)
{
	*on = !*on;
	printf("%s %s.\n", what, *on ? "on" : "off");
	return 0;
}

static int literal(struct shell *s, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return toggle(&s->args->literal, "Literal mode is");
}

static int trace(struct shell *s, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return toggle(&s->args->options.trace, "Packet tracing");
}

static int verbose(struct shell *s, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return toggle(&s->args->verbose, "Verbose mode");
}

/* Seconds, 0 for what is the default. */
static int seconds(struct shell *s, int argc, char **argv, const char *question, unsigned max, unsigned *out)
{
	struct asked a;
	unsigned long n;
	char *end;

	if (!words_of(s, argc, argv, question, &a))
		return CLIENT_USAGE;
	n = strtoul(a.words[0], &end, 10);
	if (*a.words[0] < '0' || *a.words[0] > '9' || *end != '\0' || n > max)
		return shell_complain("\"%s\": takes seconds, at most %u", show(a.words[0]).text, max);
	*out = (unsigned)n;
	return 0;
}

static int rexmt(struct shell *s, int argc, char **argv)
{
	return seconds(s, argc, argv, "(Rexmt-interval) ", 255, &s->args->options.interval);
}

static int timeout(struct shell *s, int argc, char **argv)
{
	return seconds(s, argc, argv, "(Maximum-timeout) ", 86400, &s->args->options.give_up);
}

static int size(struct shell *s, int argc, char **argv, const char *option, const char *question)
{
	struct asked a;

	if (!words_of(s, argc, argv, question, &a))
		return CLIENT_USAGE;
	return set(s, option, a.words[0]);
}

static int blocksize(struct shell *s, int argc, char **argv)
{
	return size(s, argc, argv, "blksize", "(blocksize) ");
}

static int windowsize(struct shell *s, int argc, char **argv)
{
	return size(s, argc, argv, "windowsize", "(windowsize) ");
}

static const char *on_off(bool on)
{
	return on ? "on" : "off";
}

static int status(struct shell *s, int argc, char **argv)
{
	const struct client_options *o = &s->args->options;

	(void)argc;
	(void)argv;
	if (s->host != NULL)
		printf("Connected to %s, port %s.\n", show(s->host).text, s->port != NULL ? show(s->port).text : "69");
	else
		printf("Not connected.\n");
	printf("Mode: %s Verbose: %s Tracing: %s Literal: %s\n", o->text ? "netascii" : "octet", on_off(s->args->verbose),
	    on_off(o->trace), on_off(s->args->literal));
	if (o->interval != 0 || o->timeout != 0)
		printf("Rexmt-interval: %u seconds", o->interval != 0 ? o->interval : o->timeout);
	else
		printf("Rexmt-interval: adaptive");
	printf(", Max-timeout: %u seconds\n", o->give_up != 0 ? o->give_up : CLIENT_GIVE_UP);
	if (o->blksize != 0)
		printf("Blocksize: %u", o->blksize);
	else
		printf("Blocksize: auto");
	if (o->windowsize != 0)
		printf(" Windowsize: %u\n", o->windowsize);
	else
		printf(" Windowsize: auto\n");
	return 0;
}

static int quit(struct shell *s, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	s->quit = true;
	return 0;
}

static int help(struct shell *s, int argc, char **argv)
{
	const struct command *command;
	int n;

	(void)s;
	if (argc < 2) {
		command_help(stdout);
		return 0;
	}
	command = command_find(argv[1], &n);
	if (command == NULL)
		return shell_complain("there is no command \"%s\"", show(argv[1]).text);
	printf("%s %s\n    %s\n", command->name, command->args, command->help);
	return 0;
}

/* The table. */

const struct command commands[] = {
	{"connect", "HOST [PORT]", NULL, "use this server", false, connect_to},
	{"get", "[host:]FILE [LOCAL], or FILE FILE FILE...", "tftp://HOST[:PORT]/PATH... [LOCAL|-]", "fetch", false, get},
	{"put", "FILE [[host:]REMOTE], or FILE FILE... [host:]DIRECTORY", "LOCAL|-... tftp://HOST[:PORT]/PATH", "upload",
	    false, put},
	{"mode", "[octet|netascii]", NULL, "bytes as they are, or text; without a word say which", false, mode},
	{"ascii", "", NULL, "mode netascii", false, mode_text},
	{"netascii", "", NULL, "mode netascii", true, mode_text},
	{"binary", "", NULL, "mode octet", false, mode_octet},
	{"octet", "", NULL, "mode octet", true, mode_octet},
	{"literal", "", NULL, "toggle: a colon in a name means nothing", false, literal},
	{"rexmt", "SECONDS", NULL, "retransmit at this fixed interval, 0: adapt", false, rexmt},
	{"timeout", "SECONDS", NULL, "give up after so long without progress", false, timeout},
	{"blocksize", "N|auto", NULL, "ask for blocks of this size", true, blocksize},
	{"blksize", "N|auto", NULL, "the same", true, blocksize},
	{"windowsize", "N|auto", NULL, "ask for so many blocks in flight", true, windowsize},
	{"status", "", NULL, "show the settings", false, status},
	{"trace", "", NULL, "toggle: show every packet", false, trace},
	{"verbose", "", NULL, "toggle: a summary of each file", false, verbose},
	{"quit", "", NULL, "end the session; so does end of file", false, quit},
	{"exit", "", NULL, "the same", true, quit},
	{"?", "[COMMAND]", NULL, "show this, or what one command does", false, help},
	{"help", "[COMMAND]", NULL, "the same", false, help},
};
const int ncommands = sizeof(commands) / sizeof(commands[0]);

const struct command *command_find(const char *word, int *n)
{
	const struct command *found = NULL;

	*n = 0;
	for (int i = 0; i < ncommands; i++) {
		if (strncmp(commands[i].name, word, strlen(word)) != 0)
			continue;
		if (strcmp(commands[i].name, word) == 0) {
			*n = 1;
			return &commands[i];
		}
		if (found != NULL && commands[i].added && !found->added)
			continue;
		*n = found != NULL && found->added == commands[i].added && found->run != commands[i].run ? *n + 1 : 1;
		found = &commands[i];
	}
	return *n == 1 ? found : NULL;
}

void command_usage(FILE *out)
{
	for (int i = 0; i < ncommands; i++)
		if (commands[i].line != NULL)
			fprintf(out, "  tftp [options] %s %s\n", commands[i].name, commands[i].line);
}

void command_help(FILE *out)
{
	fputs("Commands may be abbreviated.  Commands are:\n\n", out);
	for (int i = 0; i < ncommands; i++)
		fprintf(out, "%-12s%s\n", commands[i].name, commands[i].help);
}
