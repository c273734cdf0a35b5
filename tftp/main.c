/* tftp: read the command line, do what it says, end with its status. */
#include "args.h"
#include "client.h"
#include "command.h"
#include "doctor.h"
#include "form.h"
#include "report.h"
#include "shell.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define VERSION "0.1.0"

static void usage(FILE *out)
{
	fputs("usage:\n", out);
	command_usage(out);
	fputs("  tftp [options] tftp://HOST/PATH [-o FILE | -O | -T FILE]\n"
	    "  tftp [options] HOST:PATH... LOCAL, or LOCAL... HOST:PATH\n  tftp [options] [HOST [PORT]] [-c COMMAND...]\n"
	    "  tftp [options] -g|-p [-l LOCAL] [-r REMOTE] HOST [PORT]\n  tftp [-i] HOST get|put SOURCE [DESTINATION]\n"
	    "  tftp [options] doctor HOST[:PORT] [FILE]\n\noptions:\n", out);
	args_help(out);
	fputs("\ncommands of a session, and behind -c:\n", out);
	command_help(out);
}

static int wrong(const char *why)
{
	fprintf(stderr, "tftp: %s\n", why);
	return CLIENT_USAGE;
}

static int session(struct args *args, const struct form *form, struct report *report, struct client *client)
{
	struct shell shell;
	int status;

	shell_init(&shell, args, report, client);
	if (form->host != NULL)
		shell_connect(&shell, form->host, form->port);
	if (args->command == NULL)
		status = shell_run(&shell);
	else if (args->ncommand == 0)
		status = wrong("-c needs a command");
	else
		status = shell_command(&shell, args->ncommand, args->command);
	shell_free(&shell);
	return status;
}

static int run(struct args *args, struct form *form)
{
	struct report report;
	struct client *client;
	int status;

	report_init(&report, args);
	args->options.hurry = form->kind != FORM_SHELL || args->command != NULL; /* one run, and we end */
	client = client_new(&args->options, &report.view);
	if (client == NULL)
		return wrong("cannot start: out of memory or descriptors");
	if (form->kind == FORM_SHELL) {
		status = session(args, form, &report, client);
	} else {
		report_update(&report, form->jobs.list, form->jobs.n);
		status = (int)client_run(client, form->jobs.list, form->jobs.n);
		report_total(&report, form->jobs.list, form->jobs.n, client_interrupted(client) != 0);
	}
	client_del(client);
	return status;
}

/*
 * Where somebody starts us without standard input, output or error, the next files and sockets would get their numbers,
 * and a message would go into the file that was just fetched. These take their places, and fail when they are used.
 */
static bool keep_places(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}

/* Objects, a doctor's findings, a list of options: who asked for them and lost them must know. */
static int all_printed(int status)
{
	if ((fflush(stdout) == 0 && !ferror(stdout)) || status != CLIENT_OK)
		return status;
	fputs("tftp: standard output cannot be written; make room there\n", stderr);
	return CLIENT_WRITE;
}

int main(int argc, char **argv)
{
	char why[ARGS_WHY];
	struct args args;
	struct form form;
	int status;

	if (!keep_places())
		return CLIENT_USAGE;
	if (args_parse(&args, argc, argv, why) != 0)
		return wrong(why);
	if (args.help || args.version) {
		if (args.help)
			usage(stdout);
		else
			printf("tftp %s\n", VERSION);
		return all_printed(CLIENT_OK);
	}
	if (form_read(&form, &args, why) != 0)
		status = wrong(why);
	else if (form.kind == FORM_DOCTOR)
		status = doctor_run(&args, form.host, form.file);
	else
		status = run(&args, &form);
	form_free(&form);
	return all_printed(status);
}
