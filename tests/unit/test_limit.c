/*
 * What counts as a transfer: forged requests get an answer, and nobody else has less for it; a finished upload is in
 * nobody's way, but not before it has said that it is finished.
 */
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
	static char path[64], *argv[] = {"tftpd", "--create", "--address", "127.0.0.1:0", path, NULL};
	char error[CONFIG_ERROR_MAX], data[1500] = "";
	struct log log;

	dir = unit_dir_open();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	unit_dir_put(dir, "file", data, sizeof(data), 0644);
	ck_assert_msg(config_parse(&config, 5, argv, error) == 0, "%s", error);
	log_init(&log, -1, LOG_LEVEL_ERROR);
	MUST(server_init(&server, &config, &log) == 0);
	MUST(names_open(&server.names, &config, error) == 0 && listen_open(&server, error) == 0);
}

static void end(void)
{
	server_free(&server);
	unit_dir_close(dir);
}

/* A socket that has sent this request. */
static int request(const char *bytes, size_t len)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	MUST(sendto(fd, bytes, len, 0, &server.listeners[0].addr.sa, sizeof(struct sockaddr_in)) == (ssize_t)len);
	return fd;
}

/* One that has asked for the file. */
static int ask(void)
{
	static const char read[] = "\0\1file\0octet";

	return request(read, sizeof(read));
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

/* The next packet that has come, if it is the ACK of this block; where to send what follows. */
static bool acked(int fd, char block, struct sockaddr_in *from)
{
	socklen_t len = sizeof(*from);
	char packet[600];
	ssize_t n = recvfrom(fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)from, &len);

	return n == 4 && packet[1] == 4 && packet[3] == block;
}

/* Its socket is full, as send_run leaves it, when the last block comes: somebody who needs the place has to wait. */
START_TEST(an_upload_keeps_its_place_until_its_last_ack_has_left)
{
	static const char write[] = "\0\2new\0octet";
	struct sockaddr_in from;
	struct session *s;
	int fd;

	begin();
	fd = request(write, sizeof(write));
	serve();
	MUST(acked(fd, 0, &from));
	s = &server.jobs->session;
	s->waits = true;
	s->endpoint->waiting = s;
	MUST(sendto(fd, "\0\3\0\1new", 7, 0, (struct sockaddr *)&from, sizeof(from)) == 7);
	serve();
	ck_assert_int_eq(unit_dir_holds(dir, "new", "new", 3), 1);
	ck_assert_uint_eq(server.limits.finished.n, 1);
	ck_assert(!limit_make_room(&server.limits, mono_now()));
	ck_assert_uint_eq(server.njobs, 1);
	ck_assert(!acked(fd, 1, &from));
	loop_fd_events(&server.loop, &s->endpoint->io, POLLIN | POLLOUT);
	serve();
	ck_assert(acked(fd, 1, &from));
	ck_assert(limit_make_room(&server.limits, mono_now()));
	ck_assert_uint_eq(server.njobs, 0);
	close(fd);
	end();
}
END_TEST

UNIT_MAIN("limit", those_that_never_answered_are_no_crowd, an_upload_keeps_its_place_until_its_last_ack_has_left)
