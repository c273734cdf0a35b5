/* Questions and answers. */
#include "probe.h"

#include "log.h"
#include "udp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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

/* All digits, and no more of them than a number can hold. */
static bool read_number(const char *text, uint64_t *value)
{
	unsigned long long n;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*value = n;
	return true;
}

static void read_oack(struct probe_answer *a, const struct packet *p)
{
	const char *name, *text;
	size_t at = 0, n = 0;

	while (packet_option(p, &at, &name, &text)) {
		char safe[2][48];
		int id = options_find(name);

		a->multicast |= strcasecmp(name, "multicast") == 0;
		if (id >= 0 && read_number(text, &a->value[id]))
			a->options |= OPTION_BIT(id);
		n += (size_t)snprintf(a->names + n, sizeof(a->names) - n, "%s%s=%s", n > 0 ? " " : "",
		    log_safe(safe[0], sizeof(safe[0]), name, strlen(name)), log_safe(safe[1], sizeof(safe[1]), text,
		    strlen(text)));
		if (n >= sizeof(a->names))
			n = sizeof(a->names) - 1;
	}
}

/* Take the packet over. False: it is none that answers. */
static bool read_packet(struct probe_answer *a, const struct udp_datagram *d, const struct option_set *offered)
{
	struct option_terms terms;
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
	if (p.op == PACKET_OACK) {
		read_oack(a, &p);
		a->wrong = NULL;
		if (offered != NULL)
			options_confirm(offered, &p, &terms, &a->wrong);
	}
	return true;
}

/* The next packet within the probe's time, from *only if that is not NULL. */
static bool listen_for(const struct probe *p, struct udp *u, struct udp_batch *b, const struct addr *only,
    struct probe_answer *a)
{
	mono_t until = mono_now() + p->wait;

	for (mono_t now = mono_now(); now < until; now = mono_now()) {
		struct pollfd in = {.fd = u->fd, .events = POLLIN};
		struct udp_datagram d;
		struct addr peer;
		int err;

		if (poll(&in, 1, (int)((until - now) / MONO_MS) + 1) <= 0)
			continue;
		while ((err = udp_error(u, &peer)) != 0)
			a->err = err;
		if (a->err != 0)
			return false;
		if (udp_recv(u, b, 1) <= 0)
			continue;
		while (udp_next(b, &d))
			if ((only == NULL || addr_equal(only, &d.from)) && read_packet(a, &d, p->offered)) {
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
		if (listen_for(p, u, b, &first.from, a) && a->op == PACKET_ERROR)
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
		a->came = listen_for(p, u, b, NULL, a);
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

static int open_socket(const struct probe *p, struct udp *u)
{
	struct addr any = {.sa.sa_family = p->to->sa.sa_family};

	return udp_open(u, p->local.sa.sa_family != AF_UNSPEC ? &p->local : &any, false, UDP_NO_GRO);
}

int probe_ask(const struct probe *p, const void *bytes, size_t len, struct probe_answer *a)
{
	struct udp_batch *b = udp_batch_new();
	struct udp u;
	int err;

	memset(a, 0, sizeof(*a));
	if (b == NULL)
		return -ENOMEM;
	err = open_socket(p, &u);
	if (err == 0) {
		converse(p, &u, b, bytes, len, a);
		udp_close(&u);
	}
	udp_batch_del(b);
	return err;
}

/* Loss. */

/* How many ERRORs come until `until`; ends early once there are `enough`. */
static unsigned count_errors(struct udp *u, struct udp_batch *b, mono_t until, unsigned enough)
{
	unsigned n = 0;

	for (mono_t now = mono_now(); now < until && n < enough; now = mono_now()) {
		struct pollfd in = {.fd = u->fd, .events = POLLIN};
		struct udp_datagram d;
		struct addr peer;
		struct packet p;

		if (poll(&in, 1, (int)((until - now) / MONO_MS) + 1) <= 0)
			continue;
		while (udp_error(u, &peer) != 0)
			;
		if (udp_recv(u, b, 1) <= 0)
			continue;
		while (udp_next(b, &d))
			n += packet_decode(&p, d.buf, d.len) == PACKET_OK && p.op == PACKET_ERROR;
	}
	return n;
}

static int compare_times(const void *a, const void *b)
{
	mono_t x = *(const mono_t *)a, y = *(const mono_t *)b;

	return (x > y) - (x < y);
}

static void ask_many(const struct probe *p, struct udp *u, struct udp_batch *b, const char *name, unsigned n,
    mono_t total, struct probe_loss *l)
{
	static const struct option_set none;
	mono_t times[PROBE_LOSS_MOST], began = mono_now(), least = 0;
	unsigned timed = 0;

	for (unsigned i = 0; i < n && mono_now() - began < total; i++) {
		char own[96];
		uint8_t buf[256];
		mono_t sent = mono_now();

		/* Names of their own: the same one again would be a repeated request, which may go unanswered. */
		snprintf(own, sizeof(own), "%s-%u", name, i);
		say(u, p->to, buf, probe_request(buf, sizeof(buf), false, own, &none));
		l->sent++;
		if (count_errors(u, b, sent + (least > 0 ? 3 * least + 50 * MONO_MS : p->wait), 1) == 0)
			continue;
		l->answered++;
		times[timed++] = mono_now() - sent;
		if (least == 0 || times[timed - 1] < least)
			least = times[timed - 1];
	}
	/* Late is not lost. */
	if (l->answered > 0 && l->answered < l->sent)
		l->answered += count_errors(u, b, mono_now() + p->wait, l->sent - l->answered);
	if (timed > 0) {
		qsort(times, timed, sizeof(*times), compare_times);
		l->rtt = times[timed / 2];
	}
}

int probe_loss(const struct probe *p, const char *name, unsigned n, mono_t total, struct probe_loss *l)
{
	struct udp_batch *b = udp_batch_new();
	struct udp u;
	int err;

	*l = (struct probe_loss){.sent = 0};
	if (b == NULL)
		return -ENOMEM;
	err = open_socket(p, &u);
	if (err == 0) {
		ask_many(p, &u, b, name, n < PROBE_LOSS_MOST ? n : PROBE_LOSS_MOST, total, l);
		udp_close(&u);
	}
	udp_batch_del(b);
	return err;
}
