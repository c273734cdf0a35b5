/* Requests, as they arrive at a listening socket. */
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void request_refuse(const struct request *r, uint16_t code, const char *text, const char *detail)
{
	struct server *s = r->server;
	struct log_event e;
	char peer[ADDR_TEXT];

	endpoint_say(r->listener, r->datagram, code, text);
	s->counters.refused++;
	log_begin(&e, &s->log, LOG_LEVEL_INFO, r->write ? "refused write" : "refused read");
	log_text(&e, "file", r->packet->name);
	log_text(&e, "peer", addr_print(&r->datagram->from, peer));
	log_u64(&e, "code", code);
	log_text(&e, "reason", text);
	if (detail != NULL)
		log_text(&e, "detail", detail);
	log_end(&e);
}

void request_refuse_open(const struct request *r, int err)
{
	const struct config *c = r->server->config;
	char detail[64];
	const char *text;
	uint16_t code;

	if (err == -EADDRINUSE && c->port_lo != 0) {
		snprintf(detail, sizeof(detail), "--port-range %u:%u is used up", c->port_lo, c->port_hi);
		request_refuse(r, ERROR_UNDEFINED, "every port for transfers is in use, try again later", detail);
		return;
	}
	code = path_refusal(err, r->write, &text);

	/* The PATH_ reasons say it all; for the others the log has the kernel's own word. */
	request_refuse(r, code, text, err > -4096 ? strerror(-err) : NULL);
}

static void malformed(struct server *s, struct endpoint *e, const struct udp_datagram *d, int fault, int op)
{
	struct log_event event;
	char peer[ADDR_TEXT];

	/* Only what looks like a request, or like nothing at all, has somebody waiting for an answer. */
	if (op != PACKET_RRQ && op != PACKET_WRQ && fault != PACKET_BAD_OP)
		return;
	endpoint_say(e, d, ERROR_ILLEGAL, packet_fault_text(fault));
	s->counters.refused++;
	log_begin(&event, &s->log, LOG_LEVEL_INFO, "refused malformed packet");
	log_text(&event, "peer", addr_print(&d->from, peer));
	log_u64(&event, "bytes", d->len);
	log_text(&event, "reason", packet_fault_text(fault));
	log_end(&event);
}

/*
 * A request from the address and port of a running transfer. The same one again is answered by that transfer (RFC 1350's
 * client has only lost our answer; Cisco repeats a WRQ after four seconds), unless the transfer has heard nothing for a
 * while: then its client was reset and starts over from the same port, as SLOF does. A different one replaces it.
 */
static bool repeated(const struct request *r)
{
	struct session *session = session_table_find(&r->server->exchange.sessions, &r->datagram->from, &r->datagram->to);
	struct job *job = (struct job *)session;
	bool same;

	if (session == NULL)
		return false;
	same = job->write == r->write && job->text == r->text && strcmp(job->name, r->packet->name) == 0;
	if (same && !transfer_stale(&session->transfer, r->now)) {
		session_input(session, r->packet, r->now);
		session_pump(session, r->now);
		return true;
	}
	transfer_abandon(&session->transfer, "replaced by a new request", r->now);
	session_pump(session, r->now);
	return false;
}

static void decide(struct request *r)
{
	const char *mode = r->packet->mode;

	r->text = strcasecmp(mode, "netascii") == 0;
	if (strcasecmp(mode, "mail") == 0) {
		request_refuse(r, ERROR_ILLEGAL, "mail mode is not supported, use octet", NULL);
	} else if (!r->text && strcasecmp(mode, "octet") != 0) {
		request_refuse(r, ERROR_ILLEGAL, "unknown transfer mode, use octet or netascii", mode);
	} else if (!repeated(r)) {
		if (r->write)
			put_begin(r);
		else
			get_begin(r);
	}
}

void request_arrived(struct endpoint *e, const struct udp_datagram *d, const struct packet *p, int fault, int op,
    mono_t now)
{
	struct server *s = e->owner;
	struct request r = {
		.server = s,
		.listener = e,
		.datagram = d,
		.packet = p,
		.now = now,
	};

	/* RFC 1123 section 4.2.3.5: a request sent to a broadcast address is ignored. Port 0 cannot be answered. */
	if ((d->group && !s->config->answer_broadcast) || addr_port(&d->from) == 0 || s->stopping)
		return;
	if (p == NULL) {
		malformed(s, e, d, fault, op);
		return;
	}
	if (p->op != PACKET_RRQ && p->op != PACKET_WRQ)
		return;
	r.write = p->op == PACKET_WRQ;
	decide(&r);
}
