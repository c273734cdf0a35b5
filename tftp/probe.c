/* Questions and answers. */
#include "probe.h"

#include "log.h"
#include "udp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

size_t probe_request(uint8_t *buf, size_t cap, bool write, const char *name, const struct option_set *options)
{
	struct packet_writer w;

	packet_write(&w, buf, cap);
	packet_write_u16(&w, write ? PACKET_WRQ : PACKET_RRQ);
	packet_write_string(&w, name);
	packet_write_string(&w, "octet");
	options_write(options, &w);
	return w.full ? 0 : w.len;
}

static void read_oack(struct probe_answer *a, const struct packet *p)
{
	const char *name, *text;
	size_t at = 0, n = 0;

	while (packet_option(p, &at, &name, &text)) {
		char safe[2][48];
		int id = options_find(name);

		a->multicast |= strcasecmp(name, "multicast") == 0;
		if (id >= 0) {
			a->options |= OPTION_BIT(id);
			sscanf(text, "%20llu", (unsigned long long *)&a->value[id]);
		}
		n += (size_t)snprintf(a->names + n, sizeof(a->names) - n, "%s%s=%s", n > 0 ? " " : "",
		    log_safe(safe[0], sizeof(safe[0]), name, strlen(name)), log_safe(safe[1], sizeof(safe[1]), text,
		    strlen(text)));
		if (n >= sizeof(a->names))
			n = sizeof(a->names) - 1;
	}
}

/* Take the packet over. False: it is none that answers. */
static bool read_packet(struct probe_answer *a, const struct udp_datagram *d)
{
	struct packet p;

	if (packet_decode(&p, d->buf, d->len) != PACKET_OK || p.op == PACKET_RRQ || p.op == PACKET_WRQ)
		return false;
	a->op = p.op;
	if (p.op == PACKET_DATA) {
		a->data = p.block == 1;
		a->len = p.len;
	}
	if (p.op == PACKET_ERROR) {
		a->code = p.code;
		log_safe(a->text, sizeof(a->text), p.len > 0 ? p.text : packet_error_text(p.code),
		    p.len > 0 ? p.len : strlen(packet_error_text(p.code)));
	}
	if (p.op == PACKET_OACK)
		read_oack(a, &p);
	return true;
}

/* The next packet within `wait`, from *only if that is not NULL. */
static bool listen_for(struct udp *u, struct udp_batch *b, mono_t wait, const struct addr *only, struct probe_answer *a)
{
	mono_t until = mono_now() + wait;

	for (mono_t now = mono_now(); now < until; now = mono_now()) {
		struct pollfd p = {.fd = u->fd, .events = POLLIN};
		struct udp_datagram d;
		struct addr peer;
		int err;

		if (poll(&p, 1, (int)((until - now) / MONO_MS) + 1) <= 0)
			continue;
		while ((err = udp_error(u, &peer)) != 0)
			a->err = err;
		if (a->err != 0)
			return false;
		if (udp_recv(u, b, 1) <= 0)
			continue;
		while (udp_next(b, &d))
			if ((only == NULL || addr_equal(only, &d.from)) && read_packet(a, &d)) {
				a->from = d.from;
				return true;
			}
	}
	return false;
}

static void say(struct udp *u, const struct addr *to, const uint8_t *buf, size_t len)
{
	udp_send(u, to, NULL, 0, buf, len, len);
}

/* The OACK is there: does the block it promises come as well? */
static void want_data(const struct probe *p, struct udp *u, struct udp_batch *b, struct probe_answer *a)
{
	struct probe_answer first = *a;
	uint8_t ack[PACKET_HEADER];

	for (unsigned i = 0; i < p->tries && !a->data && a->err == 0; i++) {
		say(u, &first.from, ack, packet_ack(ack, sizeof(ack), 0));
		if (listen_for(u, b, p->wait, &first.from, a) && a->op == PACKET_ERROR)
			break;
	}
	first.data = a->data;
	first.len = a->len;
	*a = first;
}

static void converse(const struct probe *p, struct udp *u, struct udp_batch *b, const void *bytes, size_t len,
    struct probe_answer *a)
{
	uint8_t bye[64];

	while (!a->came && a->err == 0 && a->lost < p->tries) {
		mono_t sent = mono_now();
		int n = udp_send(u, p->to, NULL, 0, bytes, len, len);

		if (n < 0 && n != -EAGAIN) {
			a->err = -n;
			return;
		}
		a->came = listen_for(u, b, p->wait, NULL, a);
		a->rtt = mono_now() - sent;
		a->lost += !a->came;
	}
	if (!a->came)
		return;
	a->same_host = addr_same_host(&a->from, p->to);
	a->same_port = addr_port(&a->from) == addr_port(p->to);
	if (a->op == PACKET_OACK && p->data)
		want_data(p, u, b, a);
	if (a->op != PACKET_ERROR)
		say(u, &a->from, bye, packet_error(bye, sizeof(bye), ERROR_UNDEFINED, "thank you, only looking"));
}

int probe_ask(const struct probe *p, const void *bytes, size_t len, struct probe_answer *a)
{
	struct addr any = {.sa.sa_family = p->to->sa.sa_family};
	struct udp_batch *b = udp_batch_new();
	struct udp u;
	int err;

	memset(a, 0, sizeof(*a));
	if (b == NULL)
		return -ENOMEM;
	err = udp_open(&u, p->local.sa.sa_family != AF_UNSPEC ? &p->local : &any, false, UDP_NO_GRO);
	if (err == 0) {
		converse(p, &u, b, bytes, len, a);
		udp_close(&u);
	}
	udp_batch_del(b);
	return err;
}
