/* Lines in, commands run. ^C at the prompt begins a new line, during a transfer it ends that; end of file quits. */
#include "shell.h"

#include "command.h"
#include "log.h"
#include "words.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void shell_init(struct shell *s, struct args *args, struct report *report, struct client *client)
{
	*s = (struct shell){.args = args, .report = report, .client = client};
}

void shell_free(struct shell *s)
{
	free(s->host);
	free(s->port);
	s->host = s->port = NULL;
}

bool shell_connect(struct shell *s, const char *host, const char *port)
{
	char *h = host != NULL ? strdup(host) : NULL, *p = port != NULL ? strdup(port) : NULL;

	if ((host != NULL && h == NULL) || (port != NULL && p == NULL)) {
		free(h);
		free(p);
		return false;
	}
	shell_free(s);
	s->host = h;
	s->port = p;
	return true;
}

int shell_complain(const char *fmt, ...)
{
	va_list ap;

	fputs("tftp: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return CLIENT_USAGE;
}

/* Reading. */

/*
 * The line that is in the buffer, if one is. What does not fit is dropped and remembered in too_long: its rest is no
 * command of its own.
 */
static bool take_line(struct shell *s, char *line, size_t cap)
{
	char *end = memchr(s->buf, '\n', s->len);
	size_t len = end != NULL ? (size_t)(end - s->buf) : s->len, used = end != NULL ? len + 1 : len;

	if (end == NULL && s->len == sizeof(s->buf)) {
		s->too_long = true;
		s->len = 0;
	}
	if (end == NULL && !(s->eof && (s->len > 0 || s->too_long)))
		return false;
	s->too_long |= len >= cap;
	snprintf(line, cap, "%.*s", (int)len, s->buf);
	memmove(s->buf, s->buf + used, s->len - used);
	s->len -= used;
	return true;
}

/* Wait for input; the signals that are blocked for the transfers' sake come through meanwhile. False: ^C. */
static bool wait_for_input(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	sigset_t none;

	sigemptyset(&none);
	return ppoll(&p, 1, NULL, &none) >= 0 || errno != EINTR;
}

enum shell_line shell_read(struct shell *s, const char *prompt, char *line, size_t cap)
{
	ssize_t n;

	if (s->terminal) {
		fputs(prompt, stdout);
		fflush(stdout);
	}
	while (!take_line(s, line, cap)) {
		if (s->eof)
			return SHELL_EOF;
		if (!wait_for_input()) {
			if (s->terminal)
				puts("");
			return SHELL_INTERRUPTED;
		}
		n = read(STDIN_FILENO, s->buf + s->len, sizeof(s->buf) - s->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			s->eof = true;
		else
			s->len += (size_t)n;
	}
	if (!s->too_long)
		return SHELL_LINE;
	s->too_long = false;
	shell_complain("a line has more than %zu bytes; it was passed over", cap - 1);
	return SHELL_TOO_LONG;
}

/* Running. */

int shell_command(struct shell *s, int argc, char **argv)
{
	int n, status;
	const struct command *command = command_find(argv[0], &n);
	char safe[96];

	if (command == NULL)
		return shell_complain(n > 1 ? "?Ambiguous command \"%s\"" : "?Invalid command \"%s\" (help lists them)",
		    log_safe(safe, sizeof(safe), argv[0], strlen(argv[0])));
	status = command->run(s, argc, argv);
	fflush(stdout);
	return status;
}

/* tftp-hpa begins by asking where to connect to, so what is fed to it begins with a host, and perhaps a port. */
static bool first_line_is_host(struct shell *s, int n, char **words)
{
	bool first = !s->begun && s->host == NULL;
	int matches;

	s->begun = true;
	if (!first || n > 2 || command_find(words[0], &matches) != NULL || matches > 0 ||
	    !client_finds(s->client, words[0], n > 1 ? words[1] : NULL))
		return false;
	return shell_connect(s, words[0], n > 1 ? words[1] : NULL);
}

static int run_line(struct shell *s, char *line)
{
	char *words[WORDS_MAX + 1];
	const char *why;
	int n = words_split(line, words, &why);
	bool begun = s->begun;

	if (n < 0)
		return shell_complain("%s", why);
	if (n > 0 && first_line_is_host(s, n, words))
		return 0;
	if (!begun && client_interrupted(s->client) != 0)
		return CLIENT_INTERRUPTED;
	return n == 0 ? 0 : shell_command(s, n, words);
}

/* Its only use is to end a system call. */
static void on_interrupt(int signo)
{
	(void)signo;
}

int shell_run(struct shell *s)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt};
	char line[sizeof(s->buf)];
	int status, first = 0, ended;

	s->interactive = true;
	s->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (s->terminal)
		sigaction(SIGINT, &interrupt, NULL);
	while (!s->quit) {
		status = 0;
		switch (shell_read(s, "tftp> ", line, sizeof(line))) {
		case SHELL_EOF:
			if (s->terminal)
				puts("");
			s->quit = true;
			break;
		case SHELL_INTERRUPTED:
			break;
		case SHELL_TOO_LONG:
			status = CLIENT_USAGE;
			break;
		case SHELL_LINE:
			status = run_line(s, line);
			/* A person goes on after ^C; a script was meant as a whole, and other signals are for all of us. */
			ended = client_interrupted(s->client);
			if (ended != 0 && !(s->terminal && ended == SIGINT))
				s->quit = true;
			break;
		}
		if (first == 0)
			first = status;
	}
	return s->terminal ? 0 : first;
}
