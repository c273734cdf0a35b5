/* Packets in words, in the style of tftp-hpa's trace. */
#include "trace.h"

#include "log.h"
#include "packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
	char *buf;
	size_t cap, len;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->cap - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n < t->cap - t->len ? (size_t)n : t->cap - t->len - 1;
}

static void add_safe(struct text *t, const char *bytes, size_t len)
{
	char safe[256];

	add(t, "%s", log_safe(safe, sizeof(safe), bytes, len));
}

static void add_options(struct text *t, const struct packet *p, const char *between)
{
	const char *name, *value;
	size_t at = 0;

	while (packet_option(p, &at, &name, &value)) {
		add(t, "%s", between);
		add_safe(t, name, strlen(name));
		add(t, "=");
		add_safe(t, value, strlen(value));
		between = ", ";
	}
}

static void add_request(struct text *t, const struct packet *p)
{
	add(t, "%s <file=", p->op == PACKET_RRQ ? "RRQ" : "WRQ");
	add_safe(t, p->name, strlen(p->name));
	add(t, ", mode=");
	add_safe(t, p->mode, strlen(p->mode));
	add_options(t, p, ", ");
	add(t, ">");
}

static void add_packet(struct text *t, const struct packet *p)
{
	switch (p->op) {
	case PACKET_RRQ:
	case PACKET_WRQ:
		add_request(t, p);
		break;
	case PACKET_DATA:
		add(t, "DATA <block=%u, %zu bytes>", p->block, p->len);
		break;
	case PACKET_ACK:
		add(t, "ACK <block=%u>", p->block);
		break;
	case PACKET_ERROR:
		add(t, "ERROR <code=%u, msg=", p->code);
		add_safe(t, p->text, p->len);
		add(t, ">");
		break;
	case PACKET_OACK:
		add(t, "OACK <");
		add_options(t, p, "");
		add(t, ">");
		break;
	}
}

char *trace_packet(char *buf, size_t cap, bool sent, const struct addr *peer, const uint8_t *bytes, size_t len)
{
	struct text t = {.buf = buf, .cap = cap};
	char address[ADDR_TEXT];
	struct packet p;
	int fault = packet_decode(&p, bytes, len);

	buf[0] = '\0';
	add(&t, sent ? "sent " : "received ");
	if (fault == PACKET_OK)
		add_packet(&t, &p);
	else
		add(&t, "%zu bytes that are no packet (%s)", len, packet_fault_text(fault));
	/* Who it is matters where it may change: with the request and its first answers. */
	if (fault != PACKET_OK || (p.op != PACKET_DATA && p.op != PACKET_ACK) || p.block <= 1)
		add(&t, sent ? " to %s" : " from %s", addr_print(peer, address));
	return buf;
}
