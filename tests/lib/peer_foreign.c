/* See peer_foreign.h. Only the packet decoder is borrowed from the code under test. */
#include "peer_foreign.h"

#include "packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 100
#define DALLY (3 * MONO_SEC)

static void say(struct peer_foreign *f, const void *buf, size_t len)
{
	sim_send(&f->node, f->tid, f->peer ? f->peer : SIM_LISTENER, buf, len);
}

static void set_timer(struct peer_foreign *f, mono_t now)
{
	f->deadline = f->habits->timer ? now + f->habits->timer : f->answered ? MONO_NEVER : now + MONO_SEC;
}

static size_t put_text(uint8_t *buf, size_t at, const char *text)
{
	size_t len = strlen(text) + 1;

	memcpy(buf + at, text, len);
	return at + len;
}

static size_t put_option(uint8_t *buf, size_t at, const char *name, unsigned long value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%lu", value);
	return put_text(buf, put_text(buf, at, name), digits);
}

static size_t put_options(const struct peer_foreign *f, uint8_t *buf, size_t at)
{
	if (f->habits->windowsize > 1)
		at = put_option(buf, at, "windowsize", f->windowsize);
	return put_option(buf, at, "blksize", f->blksize);
}

static void say_request(struct peer_foreign *f)
{
	uint8_t buf[200] = {0, f->sender ? PACKET_WRQ : PACKET_RRQ};
	size_t at = put_text(buf, put_text(buf, 2, "file"), "octet");

	if (f->habits->options)
		at = put_options(f, buf, at);
	say(f, buf, at);
}

static void say_oack(struct peer_foreign *f)
{
	uint8_t buf[200] = {0, PACKET_OACK};

	say(f, buf, put_options(f, buf, 2));
}

static uint16_t wire(const struct peer_foreign *f, uint64_t block)
{
	if (f->habits->rolls_to_one && block > 0)
		return (uint16_t)((block - 1) % 65535 + 1);
	return (uint16_t)block;
}

static void say_ack(struct peer_foreign *f)
{
	uint8_t buf[4] = {0, PACKET_ACK};

	f->last_ack = f->base - 1;
	buf[2] = (uint8_t)(wire(f, f->last_ack) >> 8);
	buf[3] = (uint8_t)wire(f, f->last_ack);
	f->acks++;
	say(f, buf, sizeof(buf));
}

static uint64_t final_block(const struct peer_foreign *f)
{
	return f->size / f->blksize + 1;
}

/* The window from `base` on, all of it, every time. */
static void say_window(struct peer_foreign *f)
{
	uint8_t *buf = malloc(f->blksize + 4u);
	uint64_t end = f->base + f->windowsize;

	if (!buf)
		abort();
	if (end > final_block(f) + 1)
		end = final_block(f) + 1;
	for (uint64_t block = f->base; block < end; block++) {
		size_t off = (size_t)(block - 1) * f->blksize;
		size_t len = f->size - off < f->blksize ? f->size - off : f->blksize;

		packet_data_header(buf, wire(f, block));
		memcpy(buf + 4, f->file + off, len);
		f->data++;
		say(f, buf, len + 4);
	}
	if (end > f->sent_to)
		f->sent_to = end;
	free(buf);
}

/* What it is waiting for an answer to, again. */
static void say_again(struct peer_foreign *f)
{
	if (f->complete)
		return;
	if (f->client && !f->answered)
		say_request(f);
	else if (!f->client && !f->answered && f->oack)
		say_oack(f);
	else if (f->sender)
		say_window(f);
	else
		say_ack(f);
}

static void take_options(struct peer_foreign *f, const struct packet *p)
{
	const char *name, *value;
	size_t at = 0;

	f->blksize = PACKET_BLKSIZE;
	f->windowsize = 1;
	while (packet_option(p, &at, &name, &value)) {
		unsigned long n = strtoul(value, NULL, 10);

		if (strcmp(name, "blksize") == 0)
			f->blksize = (uint32_t)n;
		else if (strcmp(name, "windowsize") == 0)
			f->windowsize = n < f->habits->windowsize ? (uint32_t)n : f->habits->windowsize;
		else
			continue;
		f->oack = true;
	}
}

static void begin(struct peer_foreign *f, const struct sim_datagram *d, const struct packet *p, mono_t now)
{
	f->peer = d->from;
	f->oack = false;
	if (f->habits->options)
		take_options(f, p);
	say_again(f);
	set_timer(f, now);
}

static void finish(struct peer_foreign *f, mono_t now)
{
	f->complete = true;
	if (f->sender || f->habits->leaves_at_once)
		f->gone = true;
	f->deadline = f->gone ? MONO_NEVER : now + DALLY;
}

/* RFC 7440 as it is mostly written: what comes out of order is thrown away. */
static void data_arrived(struct peer_foreign *f, const struct packet *p, mono_t now)
{
	if (f->complete) {
		say_ack(f);
		return;
	}
	if (p->block != wire(f, f->base)) {
		bool repeated = p->block == wire(f, f->base - 1); /* our ACK was lost */

		if (repeated || !f->gap_acked || f->habits->ack_every_stray)
			say_ack(f);
		f->gap_acked |= !repeated;
		return;
	}
	sim_assert(f->node.sim, f->size + p->len <= f->cap, "the foreign receiver was sent too much");
	memcpy(f->file + f->size, p->data, p->len);
	f->size += p->len;
	f->base++;
	f->gap_acked = false;
	f->tries = 0;
	set_timer(f, now);
	if (p->len < f->blksize) {
		say_ack(f);
		finish(f, now);
	} else if (f->base - 1 - f->last_ack >= f->windowsize) {
		say_ack(f);
	}
}

static void ack_arrived(struct peer_foreign *f, const struct packet *p, mono_t now)
{
	uint64_t block;

	for (block = f->base - 1; block < f->sent_to && wire(f, block) != p->block; block++)
		;
	if (block >= f->sent_to)
		return;
	if (block == f->base - 1) {
		if (f->habits->doubles || f->sent_to == 1)
			say_window(f);
		return;
	}
	f->base = block + 1;
	f->tries = 0;
	set_timer(f, now);
	if (f->base > final_block(f))
		finish(f, now);
	else
		say_window(f);
}

static void foreign_input(struct sim_node *n, const struct sim_datagram *d, mono_t now)
{
	struct peer_foreign *f = (struct peer_foreign *)n;
	struct packet p;

	if (f->gone) {
		sim_refuse(n, d);
		return;
	}
	if (d->icmp || packet_decode(&p, d->buf, d->len) != PACKET_OK)
		return; /* most programs never see it */
	if (p.op == PACKET_RRQ || p.op == PACKET_WRQ) {
		if (f->peer == 0 || !f->answered)
			begin(f, d, &p, now);
		return;
	}
	if (f->peer == 0)
		f->peer = d->from;
	if (d->from != f->peer)
		return;
	if (p.op == PACKET_ERROR) {
		f->error = !f->complete;
		f->gone = true;
		f->deadline = MONO_NEVER;
	} else if (p.op == PACKET_OACK && f->client && f->base == 1) {
		take_options(f, &p);
		f->answered = true;
		say_again(f);
		set_timer(f, now);
	} else if (p.op == PACKET_DATA && !f->sender) {
		f->answered = true;
		data_arrived(f, &p, now);
	} else if (p.op == PACKET_ACK && f->sender) {
		f->answered = true;
		ack_arrived(f, &p, now);
	}
}

static void foreign_timeout(struct sim_node *n, mono_t now)
{
	struct peer_foreign *f = (struct peer_foreign *)n;

	if (f->complete || ++f->tries > TRIES) {
		f->gone = true;
		f->deadline = MONO_NEVER;
		return;
	}
	f->gap_acked = false;
	say_again(f);
	set_timer(f, now);
}

static void foreign_pump(struct sim_node *n, mono_t now)
{
	struct peer_foreign *f = (struct peer_foreign *)n;

	if (!f->client || f->deadline != 0)
		return;
	say_request(f);
	set_timer(f, now);
}

static mono_t foreign_deadline(const struct sim_node *n)
{
	const struct peer_foreign *f = (const struct peer_foreign *)n;

	return f->deadline == 0 ? MONO_NEVER : f->deadline;
}

static const struct sim_node_ops foreign_ops = {
	.input = foreign_input,
	.timeout = foreign_timeout,
	.pump = foreign_pump,
	.deadline = foreign_deadline,
};

void peer_foreign_init(struct peer_foreign *f, struct sim *sim, const struct peer_habits *habits, bool client,
    bool sender, uint8_t *file, size_t size, size_t cap)
{
	*f = (struct peer_foreign){
		.habits = habits,
		.client = client,
		.sender = sender,
		.tid = client ? SIM_CLIENT_TID : 3000,
		.blksize = PACKET_BLKSIZE,
		.windowsize = 1,
		.file = file,
		.size = sender ? size : 0,
		.cap = cap,
		.base = 1,
		.sent_to = 1,
	};
	sim_add(sim, &f->node, client ? SIM_CLIENT : SIM_SERVER, &foreign_ops);
}
