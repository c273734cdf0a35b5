/* Hundreds of machines at once, each with its own transfer, on the real server. */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CROWD 300

/* One machine of the crowd: reads or writes its own bytes, in blocks of 512. */
struct machine {
	struct wire *w;
	bool put, done;
	unsigned block; /* reading: the next one; writing: the one last sent */
	size_t len;
	uint8_t data[6000];
	char name[32];
};

static struct machine crowd[CROWD];
static struct wire sockets[CROWD];

static void send_block(struct machine *m, unsigned block)
{
	size_t at = (size_t)(block - 1) * 512;
	wire_data(m->w, block, m->data + at, m->len - at < 512 ? m->len - at : 512);
}

/* One datagram has come. */
static void step(struct machine *m)
{
	struct wire *w = m->w;
	if (m->block == (m->put ? 0 : 1))
		wire_follow(w);
	if (m->put) {
		ck_assert_int_eq(wire_op(w), OP_ACK);
		if (wire_block(w) != m->block)
			return;
		if ((size_t)m->block * 512 > m->len) {
			m->done = true;
			return;
		}
		send_block(m, ++m->block);
		return;
	}
	ck_assert_int_eq(wire_op(w), OP_DATA);
	wire_ack(w, wire_block(w));
	if (wire_block(w) != m->block)
		return;
	size_t at = (size_t)(m->block - 1) * 512, n = m->len - at < 512 ? m->len - at : 512;
	ck_assert_uint_eq(w->len, n + 4);
	ck_assert_msg(!memcmp(w->buf + 4, m->data + at, n), "%s: block %u holds other bytes", m->name, m->block);
	m->block++;
	m->done = n < 512;
}

START_TEST(hundreds_of_transfers_run_at_once)
{
	struct server s;
	static struct pollfd fds[CROWD];
	server_start(&s, "--create", NULL);
	for (size_t i = 0; i < CROWD; i++) {
		struct machine *m = &crowd[i];
		m->w = &sockets[i];
		m->put = i % 3 == 0;
		m->block = m->put ? 0 : 1;
		m->len = 2000 + i * 13;
		wire_fill(m->data, m->len, 100 + i);
		snprintf(m->name, sizeof(m->name), "machine-%03zu", i);
		if (!m->put)
			server_put(&s, m->name, m->data, m->len);
		wire_dial(m->w, wire_local, s.port);
		fds[i] = (struct pollfd){.fd = m->w->fd, .events = POLLIN};
	}
	for (size_t i = 0; i < CROWD; i++)
		wire_request(crowd[i].w, crowd[i].put ? OP_WRQ : OP_RRQ, crowd[i].name, "octet", NULL);
	for (size_t left = CROWD; left > 0;) {
		ck_assert_msg(poll(fds, CROWD, WIRE_WAIT) > 0, "%zu transfers stand still", left);
		for (size_t i = 0; i < CROWD; i++)
			if (fds[i].revents && !crowd[i].done && wire_recv(crowd[i].w, 0)) {
				step(&crowd[i]);
				if (crowd[i].done) {
					fds[i].fd = -1;
					left--;
				}
			}
	}
	for (size_t i = 0; i < CROWD; i++) {
		if (crowd[i].put)
			ck_assert_msg(server_has(&s, crowd[i].name, crowd[i].data, crowd[i].len), "%s", crowd[i].name);
		wire_close(crowd[i].w);
	}
	ck_assert_uint_eq(server_entries(&s), CROWD);
	server_expect_logged(&s, "machine-", CROWD);
	server_is_well(&s);
	ck_assert_uint_eq(server_log_count(&s, "machine-"), CROWD);
	server_stop(&s);
}
END_TEST

START_TEST(storm_of_misses_is_answered_to_the_last)
{
	/* a Raspberry Pi or PXELINUX: name after name that does not exist, each wants its ERROR 1 at once */
	struct server s;
	server_start(&s, NULL);
	static struct wire w;
	char name[64];
	for (int i = 0; i < 1000; i++) {
		wire_dial(&w, wire_local, s.port);
		snprintf(name, sizeof(name), "pxelinux.cfg/C0A8%04X", i);
		wire_request(&w, OP_RRQ, name, "octet", "tsize", "0", "blksize", "1408", NULL);
		wire_expect_error(&w, 1);
		wire_close(&w);
	}
	server_is_well(&s);
	server_stop(&s);
}
END_TEST

START_TEST(silent_clients_do_not_hold_up_the_others)
{
	struct server s;
	server_start(&s, NULL);
	static uint8_t data[100000];
	wire_fill(data, sizeof(data), 9);
	server_put(&s, "kernel", data, sizeof(data));
	for (size_t i = 0; i < CROWD; i++) {
		wire_dial(&sockets[i], wire_local, s.port);
		wire_request(&sockets[i], OP_RRQ, "kernel", "octet", NULL);
	}
	static struct wire w;
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_read_rest(&w, 512, data, sizeof(data));
	wire_close(&w);
	for (size_t i = 0; i < CROWD; i++)
		wire_close(&sockets[i]);
	server_is_well(&s);
	server_stop(&s);
}
END_TEST

WIRE_MAIN("wire_crowd", hundreds_of_transfers_run_at_once, storm_of_misses_is_answered_to_the_last,
    silent_clients_do_not_hold_up_the_others)
