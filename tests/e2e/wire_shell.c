/* The real client on a terminal: prompts, questions, ^C, ^D, and the progress line. */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct wire listener, tid;
static uint8_t data[4000];
static char host[64], seen[65536];
static size_t at;       /* what of `seen` an earlier sees() has used up */
static int terminal;
static pid_t pid;

/* Start the client on a terminal of this width, in a directory of the test's own. */
static void start(unsigned short columns, char *const argv[])
{
	struct winsize size = {.ws_row = 24, .ws_col = columns};
	const char *build = getenv("BUILD");
	char path[PATH_ROOM], *program;

	wire_fill(data, sizeof(data), 3);
	snprintf(path, sizeof(path), "%s/tftp", build ? build : "build");
	program = realpath(path, NULL);
	ck_assert_ptr_nonnull(program);
	files_dir();
	pid = forkpty(&terminal, NULL, NULL, &size);
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		setenv("TERM", "vt100", 1);
		if (chdir(files_dir()) == 0)
			execv(program, argv);
		_exit(127);
	}
	free(program);
	seen[at = 0] = '\0';
}

/* Read what comes until `words` stand in it, behind those that an earlier call found. */
static void sees(const char *words)
{
	for (;;) {
		char *hit = strstr(seen + at, words);
		struct pollfd p = {.fd = terminal, .events = POLLIN};
		size_t len = strlen(seen);
		ssize_t n;

		if (hit) {
			at = (size_t)(hit - seen) + strlen(words);
			return;
		}
		ck_assert_msg(poll(&p, 1, WIRE_WAIT) == 1, "<%s> did not come, but: %s", words, seen + at);
		n = read(terminal, seen + len, sizeof(seen) - len - 1);
		ck_assert_msg(n > 0, "it ended before <%s>: %s", words, seen + at);
		seen[len + (size_t)n] = '\0';
	}
}

static void type(const char *keys)
{
	ck_assert_int_eq((int)write(terminal, keys, strlen(keys)), (int)strlen(keys));
}

static void ends(int wanted)
{
	int status;
	char rest[1024];
	struct pollfd p = {.fd = terminal, .events = POLLIN};

	while (poll(&p, 1, WIRE_WAIT) == 1 && read(terminal, rest, sizeof(rest)) > 0)
		;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == wanted, "status %#x", status);
	close(terminal);
}

/* A session with a server by hand at `host`. */
static void session(unsigned short columns)
{
	static char port[16];
	char *argv[] = {"tftp", "127.0.0.1", port, NULL};

	wire_open(&listener, "127.0.0.1");
	snprintf(port, sizeof(port), "%u", wire_port(&listener));
	snprintf(host, sizeof(host), "127.0.0.1");
	start(columns, argv);
	sees("tftp> ");
}

static void take(const char *name, int op)
{
	ck_assert_str_eq(wire_expect_new_request(&listener, op), name);
	wire_open(&tid, "127.0.0.1");
	tid.peer = listener.from;
}

static bool holds(const char *name, size_t len)
{
	char path[PATH_ROOM];
	path_join(path, files_dir(), name);
	return file_is(path, data, len);
}

START_TEST(commands_are_prompted_for_and_end_of_file_quits)
{
	session(80);
	type("status\r");
	sees("Connected to 127.0.0.1");
	sees("tftp> ");
	type("get name\r");
	take("name", OP_RRQ);
	wire_write_rest(&tid, 512, data, 600);
	sees("tftp> ");
	ck_assert(holds("name", 600));
	type("\004");
	ends(0);
}
END_TEST

START_TEST(missing_words_are_asked_for)
{
	session(80);
	type("connect\r");
	sees("(to) ");
	char answer[32];
	snprintf(answer, sizeof(answer), "127.0.0.1 %u\r", wire_port(&listener));
	type(answer);
	sees("tftp> ");
	type("get\r");
	sees("(files) ");
	type("name mine\r");
	take("name", OP_RRQ);
	wire_write_rest(&tid, 512, data, 10);
	sees("tftp> ");
	ck_assert(holds("mine", 10));
	type("put\r");
	sees("(file) ");
	type("mine theirs\r");
	take("theirs", OP_WRQ);
	wire_ack(&tid, 0);
	wire_read_rest(&tid, 512, data, 10);
	sees("tftp> ");
	type("rexmt\r");
	sees("(Rexmt-interval) ");
	type("2\r");
	type("timeout\r");
	sees("(Maximum-timeout) ");
	type("9\r");
	type("status\r");
	sees("Rexmt-interval: 2 seconds, Max-timeout: 9 seconds");
	type("q\r");
	ends(0);
}
END_TEST

START_TEST(interrupt_ends_the_transfer_and_not_the_session)
{
	session(80);
	type("get name\r");
	take("name", OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	type("\003");
	wire_expect_error(&tid, 0);
	sees("interrupted");
	sees("tftp> ");
	ck_assert_uint_eq(dir_entries(files_dir()), 0);
	wire_close(&tid);
	/* and the next one works */
	type("get name\r");
	take("name", OP_RRQ);
	wire_write_rest(&tid, 512, data, 600);
	sees("tftp> ");
	ck_assert(holds("name", 600));
	type("quit\r");
	ends(0);
}
END_TEST

START_TEST(other_signals_end_the_transfer_and_the_session)
{
	session(80);
	type("get name\r");
	take("name", OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	wire_expect_error(&tid, 0);
	sees("interrupted");
	ends(0);
	ck_assert_uint_eq(dir_entries(files_dir()), 0);
}
END_TEST

START_TEST(interrupt_at_the_prompt_begins_a_new_line)
{
	session(80);
	type("get na\003");
	sees("tftp> ");
	type("\003");
	sees("tftp> ");
	type("mode\r");
	sees("Using octet mode");
	type("\004");
	ends(0);
}
END_TEST

START_TEST(interrupt_at_a_question_takes_the_command_back)
{
	session(80);
	type("get\r");
	sees("(files) ");
	type("na\003");
	sees("tftp> ");
	type("status\r");
	sees("Connected to");
	ck_assert_ptr_null(strstr(seen, "usage"));
	type("quit\r");
	ends(0);
}
END_TEST

START_TEST(failures_are_said_and_the_session_goes_on)
{
	session(80);
	type("get name\r");
	take("name", OP_RRQ);
	wire_error(&tid, 1, "not here");
	sees("not here");
	sees("tftp> ");
	type("wrong\r");
	sees("?Invalid command");
	type("t\r");
	sees("?Ambiguous command");
	type("help put\r");
	sees("upload");
	type("quit\r");
	ends(0);
}
END_TEST

/* One line that is drawn over itself, never wider than the terminal, and gone at the end. */
START_TEST(progress_is_one_line_of_the_terminals_width)
{
	static const unsigned short widths[] = {20, 40, 80, 200};
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		session(widths[i]);
		type("get name\r");
		take("name", OP_RRQ);
		wire_oack(&tid, "tsize", "1024", NULL);
		wire_expect_ack(&tid, 0);
		wire_data(&tid, 1, data, 512);
		wire_expect_ack(&tid, 1);
		size_t from = at;
		sees("50%");
		sleep_ms(450);
		wire_data(&tid, 2, data + 512, 512);
		wire_expect_ack(&tid, 2);
		wire_data(&tid, 3, data, 0);
		wire_expect_ack(&tid, 3);
		sees("tftp> ");
		size_t column = 0;
		for (const char *p = strchr(seen + from, '\r'); p && *p; p++) {
			if (*p == '\x1b')
				p += 2;
			else
				column = *p == '\r' || *p == '\n' ? 0 : column + 1;
			ck_assert_msg(column < widths[i], "width %u: %s", widths[i], seen + from);
		}
		type("quit\r");
		ends(0);
		wire_close(&listener);
		wire_close(&tid);
	}
}
END_TEST

/* It would be drawn over the end of a line, and wiped away with it. */
START_TEST(there_is_no_progress_where_the_file_itself_is_shown_or_typed)
{
	static char text[512];
	session(80);
	type("get name -\r");
	take("name", OP_RRQ);
	memset(text, 'x', sizeof(text));
	wire_data(&tid, 1, text, sizeof(text));
	wire_expect_ack(&tid, 1);
	sleep_ms(450);
	wire_data(&tid, 2, "no newline", 10);
	wire_expect_ack(&tid, 2);
	sees("no newline");
	sees("tftp> ");
	wire_close(&tid);
	type("put - name\r");
	sleep_ms(450);
	type("typed\r\004");
	take("name", OP_WRQ);
	wire_ack(&tid, 0);
	sleep_ms(450);
	wire_expect_data(&tid, 1, (const uint8_t *)"typed\n", 6);
	wire_ack(&tid, 1);
	sees("tftp> ");
	ck_assert_ptr_null(strstr(seen, "\x1b["));
	type("quit\r");
	ends(0);
}
END_TEST

WIRE_MAIN("wire_shell", commands_are_prompted_for_and_end_of_file_quits, missing_words_are_asked_for,
    interrupt_ends_the_transfer_and_not_the_session, other_signals_end_the_transfer_and_the_session,
    interrupt_at_the_prompt_begins_a_new_line, interrupt_at_a_question_takes_the_command_back,
    failures_are_said_and_the_session_goes_on, progress_is_one_line_of_the_terminals_width,
    there_is_no_progress_where_the_file_itself_is_shown_or_typed)
