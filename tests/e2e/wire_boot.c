/* Boot storms and their quirks, with ports of their own and on the single port. */
#include "wire_peer.h"
#include "wire_process.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define PI 8
#define STORM 1500

static struct wire w, other;
static uint8_t data[70000];

static void start(struct server *s, const char *mode)
{
	server_start(s, "--create", mode, NULL);
	wire_fill(data, sizeof(data), 5);
	server_put(s, "kernel", data, 2000);
	server_put(s, "large", data, sizeof(data));
}

/* Eight requests in an instant from successive ports, most of them for what is not there, two for the same file. */
static void raspberry_pi(const char *mode)
{
	static const char *const names[PI] = {"start4.elf", "kernel", "pieeprom.sig", "kernel", "recover4.elf", "bootcfg.txt",
		"large", "vl805.sig"};
	static struct wire pi[PI];
	struct server s;
	start(&s, mode);
	for (size_t i = 0; i < PI; i++)
		wire_dial(&pi[i], wire_local, s.port);
	for (size_t i = 0; i < PI; i++)
		wire_request(&pi[i], OP_RRQ, names[i], "octet", "tsize", "0", "blksize", "1024", NULL);
	for (size_t i = 0; i < PI; i++) {
		bool large = strcmp(names[i], "large") == 0;
		if (!large && strcmp(names[i], "kernel") != 0) {
			wire_expect_error(&pi[i], 1);
			continue;
		}
		if (large)
			wire_expect_oack(&pi[i], "tsize\0" "70000\0" "blksize\0" "1024");
		else
			wire_expect_oack(&pi[i], "tsize\0" "2000\0" "blksize\0" "1024");
		wire_follow(&pi[i]);
		wire_ack(&pi[i], 0);
		wire_read_rest(&pi[i], 1024, data, large ? sizeof(data) : 2000);
	}
	for (size_t i = 0; i < PI; i++)
		wire_close(&pi[i]);
	server_expect_logged(&s, "file not found", 5);
	server_expect_logged(&s, "sent file=", 3);
	server_stop(&s);
}

START_TEST(eight_requests_in_an_instant)
{
	raspberry_pi("--verbose");
}
END_TEST

START_TEST(eight_requests_in_an_instant_on_the_single_port)
{
	raspberry_pi("--single-port");
}
END_TEST

static void probe(const char *mode)
{
	struct server s;
	start(&s, mode);
	for (unsigned i = 0; i < 5; i++) {
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, OP_RRQ, "kernel", "octet", "tsize", "0", "blksize", "1468", "windowsize", "4", NULL);
		wire_expect_oack(&w, "tsize\0" "2000\0" "blksize\0" "1468\0" "windowsize\0" "4");
		wire_follow(&w);
		wire_error(&w, i % 2 == 0 ? 8 : 0, "User aborted the transfer");
		wire_close(&w);
	}
	server_expect_logged(&s, "probed file=kernel", 5);
	ck_assert_uint_eq(server_log_count(&s, "failed"), 0);
	server_stop(&s);
}

START_TEST(size_probes_are_logged_as_such)
{
	probe("--verbose");
	probe("--single-port");
}
END_TEST

/* Cisco IOS repeats its WRQ when the answer is late: "file exists", or a second file, would be wrong. */
static void repeated_write(const char *mode)
{
	struct server s;
	start(&s, mode);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_WRQ, "config", "octet", NULL);
	wire_expect_ack(&w, 0);
	uint16_t tid = wire_from_port(&w);
	sleep_ms(1200);
	wire_drain(&w, 0);
	wire_request(&w, OP_WRQ, "config", "octet", NULL);
	wire_expect_ack(&w, 0);
	ck_assert_uint_eq(wire_from_port(&w), tid);
	wire_follow(&w);
	wire_write_rest(&w, 512, data, 1300);
	ck_assert(server_has(&s, "config", data, 1300));
	wire_close(&w);
	server_is_well(&s);
	ck_assert_uint_eq(server_log_count(&s, "config"), 1);
	server_stop(&s);
}

START_TEST(repeated_write_belongs_to_the_running_transfer)
{
	repeated_write("--verbose");
	repeated_write("--single-port");
}
END_TEST

/* It writes flash, and says nothing; --give-up is how long that may take. */
static void silence(const char *seconds, bool survives)
{
	struct server s;
	server_start(&s, "--give-up", seconds, "--single-port", NULL);
	wire_fill(data, sizeof(data), 5);
	server_put(&s, "kernel", data, 2000);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, data, 512);
	wire_follow(&w);
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 512);
	sleep_ms(3500);
	wire_drain(&w, 0);
	wire_ack(&w, 2);
	if (survives) {
		wire_expect_data(&w, 3, data + 1024, 512);
		wire_ack(&w, 3);
		wire_expect_data(&w, 4, data + 1536, 464);
		wire_ack(&w, 4);
		server_expect_logged(&s, "sent file=kernel", 1);
	} else {
		server_expect_logged(&s, "failed read file=kernel", 1);
	}
	wire_close(&w);
	server_stop(&s);
}

START_TEST(silent_client_is_kept_for_as_long_as_give_up_says)
{
	silence("600", true);
	silence("1", false);
}
END_TEST

START_TEST(relaxed_peer_may_change_its_port)
{
	struct server s;
	for (int relaxed = 0; relaxed < 2; relaxed++) {
		if (relaxed)
			server_start(&s, "--relaxed-peer", NULL);
		else
			server_start(&s, NULL);
		wire_fill(data, sizeof(data), 5);
		server_put(&s, "kernel", data, 2000);
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
		wire_expect_data(&w, 1, data, 512);
		wire_dial(&other, wire_local, wire_from_port(&w));
		wire_ack(&other, 1);
		if (relaxed) {
			wire_expect_data(&other, 2, data + 512, 512);
			wire_ack(&other, 2);
			wire_expect_data(&other, 3, data + 1024, 512);
			wire_ack(&other, 3);
			wire_expect_data(&other, 4, data + 1536, 464);
			wire_ack(&other, 4);
			server_expect_logged(&s, "sent file=kernel", 1);
		} else {
			wire_expect_error(&other, 5);
		}
		wire_close(&other);
		wire_close(&w);
		server_stop(&s);
	}
}
END_TEST

/* What stands in for a balancer: the same client goes on from another port. */
static void move(struct wire *from, struct wire *to)
{
	wire_dial(to, wire_local, (uint16_t)ntohs(((struct sockaddr_in *)&from->peer)->sin_port));
}

START_TEST(relaxed_peer_may_change_its_port_on_the_single_port)
{
	/* a read at block 2, another one at block 1, and an upload, all of one host */
	static struct wire up, moved_up, late;
	struct server s;
	server_start(&s, "--relaxed-peer", "--single-port", "--create", NULL);
	wire_fill(data, sizeof(data), 5);
	server_put(&s, "kernel", data, 2000);
	for (struct wire *c = &w;; c = &late) {
		wire_dial(c, wire_local, s.port);
		wire_request(c, OP_RRQ, "kernel", "octet", "timeout", "255", NULL);
		wire_expect_oack(c, "timeout\0" "255");
		wire_ack(c, 0);
		wire_expect_data(c, 1, data, 512);
		if (c == &late)
			break;
	}
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 512);
	wire_dial(&up, wire_local, s.port);
	wire_request(&up, OP_WRQ, "new", "octet", "timeout", "255", NULL);
	wire_expect_oack(&up, "timeout\0" "255");
	move(&w, &other);
	/* this could be either's, and is nobody's: what `late` waits for, and what `w` has sent before */
	wire_ack(&other, 1);
	wire_expect_silence(&other);
	wire_ack(&other, 2);
	wire_expect_data(&other, 3, data + 1024, 512);
	wire_expect_silence(&w);
	move(&up, &moved_up);
	wire_data(&moved_up, 1, data, 100);
	wire_expect_ack(&moved_up, 1);
	ck_assert(server_has(&s, "new", data, 100));
	wire_ack(&late, 1);
	wire_expect_data(&late, 2, data + 512, 512);
	wire_ack(&other, 3);
	wire_expect_data(&other, 4, data + 1536, 464);
	wire_ack(&other, 4);
	server_expect_logged(&s, "sent file=kernel", 1);
	wire_ack(&late, 2);
	wire_expect_data(&late, 3, data + 1024, 512);
	wire_close(&late);
	wire_close(&other);
	server_stop(&s);
}
END_TEST

/* On the single port two transfers of one host, and an ACK from a port that has none, do not mix. */
START_TEST(single_port_tells_clients_apart)
{
	struct server s;
	static struct wire third;
	start(&s, "--single-port");
	wire_dial(&w, wire_local, s.port);
	wire_dial(&other, wire_local, s.port);
	wire_dial(&third, wire_local, s.port);
	/* patient, or one would be given up while a slow test is busy with the other */
	wire_request(&w, OP_RRQ, "kernel", "octet", "timeout", "255", NULL);
	wire_request(&other, OP_WRQ, "up", "octet", "timeout", "255", NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_expect_oack(&other, "timeout\0" "255");
	wire_ack(&w, 0);
	wire_expect_data(&w, 1, data, 512);
	ck_assert_uint_eq(wire_from_port(&w), s.port);
	ck_assert_uint_eq(wire_from_port(&other), s.port);
	wire_ack(&third, 1);
	wire_data(&third, 1, data, 512);
	wire_error(&third, 0, "go away");
	wire_expect_silence(&third);
	wire_ack(&w, 1);
	for (unsigned b = 2; b <= 4; b++) {
		wire_expect_data(&w, b, data + (b - 1) * 512, b < 4 ? 512 : 464);
		wire_ack(&w, b);
	}
	wire_write_rest(&other, 512, data, 3000);
	ck_assert(server_has(&s, "up", data, 3000));
	wire_close(&third);
	wire_close(&other);
	wire_close(&w);
	server_is_well(&s);
	server_stop(&s);
}
END_TEST

/*
 * Silence: who has not been answered asks again, as machines do. On a busy one this test may take longer to get to an
 * answer than the server waits for somebody who never was there.
 */
static void ask_again(struct wire *crowd, uint8_t *next, size_t n)
{
	for (size_t i = 0; i < n; i++)
		/* 1: the OACK that was acknowledged may have been of a transfer that was given up by then */
		if (next[i] <= 1) {
			next[i] = 0;
			wire_request(&crowd[i], OP_RRQ, "kernel", "octet", "timeout", "1", NULL);
		}
}

/* All of them at once, each a step at a time: what one costs must not grow with how many there are. */
START_TEST(single_port_serves_a_crowd)
{
	static struct wire crowd[STORM];
	static struct pollfd fds[STORM];
	static uint8_t next[STORM];
	struct server s;
	struct rlimit files;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	size_t n = STORM;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < STORM + 50)
		n = files.rlim_cur - 50;
	start(&s, "--single-port");
	for (size_t i = 0; i < n; i++) {
		wire_dial(&crowd[i], wire_local, s.port);
		wire_request(&crowd[i], OP_RRQ, "kernel", "octet", "timeout", "1", NULL);
		fds[i] = (struct pollfd){.fd = crowd[i].fd, .events = POLLIN};
	}
	for (size_t left = n, silent = 0; left > 0;) {
		if (poll(fds, (nfds_t)n, WIRE_WAIT / 10) == 0) {
			ck_assert_msg(silent++ < 10, "%zu transfers stand still", left);
			ask_again(crowd, next, n);
			continue;
		}
		silent = 0;
		for (size_t i = 0; i < n; i++) {
			struct wire *c = &crowd[i];
			if (!fds[i].revents || !wire_recv(c, 0))
				continue;
			ck_assert_uint_eq(wire_from_port(c), s.port);
			unsigned block = wire_op(c) == OP_OACK ? 0 : wire_block(c);
			if (wire_op(c) == OP_DATA)
				ck_assert(memcmp(c->buf + 4, data + (block - 1) * 512, c->len - 4) == 0);
			wire_ack(c, block);
			if (block != next[i])
				continue;
			if (++next[i] == 5) {
				fds[i].fd = -1;
				left--;
			}
		}
	}
	server_expect_logged(&s, "sent file=kernel", n);
	for (size_t i = 0; i < n; i++)
		wire_close(&crowd[i]);
	server_is_well(&s);
	server_stop(&s);
}
END_TEST

WIRE_MAIN("wire_boot", eight_requests_in_an_instant, eight_requests_in_an_instant_on_the_single_port,
    size_probes_are_logged_as_such, repeated_write_belongs_to_the_running_transfer,
    silent_client_is_kept_for_as_long_as_give_up_says, relaxed_peer_may_change_its_port,
    relaxed_peer_may_change_its_port_on_the_single_port, single_port_tells_clients_apart, single_port_serves_a_crowd)
