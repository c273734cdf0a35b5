/*
 * The client when memory runs out: starting it, reading a command line, and a run of jobs against a port where nobody
 * listens, with the Nth allocation failing for every N. It says so by its status, and leaves nothing behind.
 */
#include "client.h"
#include "fault_alloc.h"
#include "form.h"
#include "unit.h"
#include "unit_must.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Runs `attempt` until no allocation of it fails any more. */
static void for_every_allocation(void (*attempt)(void))
{
	bool failed = true;
	unsigned n = 0;

	/* What the C library and a first use keep for good. */
	attempt();
	while (failed) {
		long live = fault_alloc_live();
		int fds = fault_open_fds();

		MUST(n < 200);
		fault_alloc_fail(++n, false);
		attempt();
		failed = fault_alloc_hit();
		fault_alloc_fail(0, false);
		if (fault_alloc_live() != live || fault_open_fds() != fds)
			ck_abort_msg("allocation %u: %ld objects and %d descriptors are lost", n, fault_alloc_live() - live,
			    fault_open_fds() - fds);
	}
	MUST(n > 1);
}

static struct client_options options;
static const struct client_view view;

static void start(void)
{
	struct client *c = client_new(&options, &view);

	if (c != NULL)
		client_del(c);
}

START_TEST(a_start_without_memory_leaves_nothing)
{
	for_every_allocation(start);
}
END_TEST

static void command_lines(void)
{
	static const char *const lines[] = {
		"tftp get tftp://h:70/a tftp://h/b /tmp", "tftp put a b tftp://h/up/", "tftp h:x h:y /tmp", "tftp -g -r d/x h",
		"tftp -i h put a b",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char line[128], why[ARGS_WHY], *argv[16], *rest = line;
		struct args args;
		struct form form;
		int argc = 0;

		strcpy(line, lines[i]);
		for (char *word; (word = strsep(&rest, " ")) != NULL;)
			argv[argc++] = word;
		argv[argc] = NULL;
		MUST(args_parse(&args, argc, argv, why) == 0);
		if (form_read(&form, &args, why) != 0)
			MUST(strstr(why, "memory") != NULL);
		form_free(&form);
	}
}

START_TEST(a_command_line_without_memory_is_refused)
{
	for_every_allocation(command_lines);
}
END_TEST

static char port[8];

static void run(void)
{
	struct client_job jobs[] = {
		{.host = "127.0.0.1", .port = port, .remote = "x", .local = "/dev/null"},
		{.host = "127.0.0.1", .port = port, .remote = "x", .local = "/tmp"},
		{.host = "127.0.0.1", .port = port, .remote = "x", .local = "/proc/self/status", .write = true, .text = true},
	};
	struct client *c = client_new(&options, &view);

	if (c == NULL)
		return;
	MUST(client_run(c, jobs, sizeof(jobs) / sizeof(jobs[0])) != CLIENT_OK);
	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
		MUST(jobs[i].out.decided && jobs[i].out.status != CLIENT_OK && jobs[i].out.message[0] != '\0');
	client_del(c);
}

/* The port is taken and deaf to others, so that nobody else's server can be there. */
START_TEST(jobs_without_memory_fail_and_leave_nothing)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	MUST(bind(fd, (struct sockaddr *)&a, len) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	/* Connected to itself it takes nothing from anybody else: the kernel answers "port unreachable". */
	MUST(connect(fd, (struct sockaddr *)&a, len) == 0);
	snprintf(port, sizeof(port), "%u", ntohs(a.sin_port));
	options.max_time = 2;
	for_every_allocation(run);
	close(fd);
}
END_TEST

UNIT_MAIN("faults_client", a_start_without_memory_leaves_nothing, a_command_line_without_memory_is_refused,
    jobs_without_memory_fail_and_leave_nothing)
