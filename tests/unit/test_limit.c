/* What counts as a transfer: forged requests get an answer, and nobody else has less for it. */
#include "listen.h"
#include "server.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FORGED 50

static struct server server;
static struct config config;
static int dir;

static void begin(void)
{
	static char path[64], *argv[] = {"tftpd", "--address", "127.0.0.1:0", path, NULL};
	char error[CONFIG_ERROR_MAX], data[1500] = "";
	struct log log;

	dir = unit_dir_open();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	unit_dir_put(dir, "file", data, sizeof(data), 0644);
	ck_assert_msg(config_parse(&config, 4, argv, error) == 0, "%s", error);
	log_init(&log, -1, LOG_LEVEL_ERROR);
	MUST(server_init(&server, &config, &log) == 0);
	MUST(names_open(&server.names, &config, error) == 0 && listen_open(&server, error) == 0);
}

static void end(void)
{
	server_free(&server);
	unit_dir_close(dir);
}

/* A socket that has asked for the file. */
static int ask(void)
{
	static const char request[] = "\0\1file\0octet";
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	MUST(sendto(fd, request, sizeof(request), 0, &server.listeners[0].addr.sa, sizeof(struct sockaddr_in)) ==
	    (ssize_t)sizeof(request));
	return fd;
}

/* What has arrived at the server is dealt with. */
static void serve(void)
{
	for (int i = 0; i < 20; i++)
		loop_once(&server.loop, mono_now() + MONO_MS);
}

/* It acknowledges the first block and goes on to read: the server has its answer. */
static void acknowledge(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char data[600];

	MUST(recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &len) == 516);
	MUST(sendto(fd, "\0\4\0\1", 4, 0, (struct sockaddr *)&from, len) == 4);
}

START_TEST(those_that_never_answered_are_no_crowd)
{
	int forged[FORGED], client;
	mono_t one;

	begin();
	for (int i = 0; i < FORGED; i++)
		forged[i] = ask();
	serve();
	ck_assert_uint_eq(server.njobs, FORGED);
	ck_assert_int_eq(server.policy.crowd, 0);
	client = ask();
	serve();
	acknowledge(client);
	serve();
	ck_assert_uint_eq(server.njobs, FORGED + 1);
	one = server.policy.crowd;
	ck_assert_int_gt(one, 0);
	ck_assert_int_le(one, MONO_MS);
	acknowledge(forged[0]);
	serve();
	ck_assert_int_eq(server.policy.crowd, 2 * one);
	ck_assert_int_eq(server.policy_short.crowd, 2 * one);
	while (server.jobs != NULL) {
		transfer_abandon(&server.jobs->session.transfer, "test", mono_now());
		session_pump(&server.jobs->session, mono_now());
	}
	ck_assert_int_eq(server.policy.crowd, 0);
	for (int i = 0; i < FORGED; i++)
		close(forged[i]);
	close(client);
	end();
}
END_TEST

UNIT_MAIN("limit", those_that_never_answered_are_no_crowd)
