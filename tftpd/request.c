/* Requests, as they arrive at a listening socket. */
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Tell the client. True: the log is to have a line at *level about it. */
static bool refuse(const struct request *r, uint16_t code, const char *text, enum log_level *level)
{
	struct server *s = r->server;

	endpoint_say(r->listener, r->datagram, code, text);
	s->counters.refused++;
	if (!limit_may_log(&s->limits, LIMIT_LINE_STRANGER, r->now))
		return false;
	*level = LOG_LEVEL_INFO;
	if (code == ERROR_NOT_FOUND && !r->write)
		*level = logs_missed(&s->logs, &r->datagram->from, r->now);
	return *level <= s->log.level;
}

static void log_refusal(const struct request *r, uint16_t code, const char *text, const char *detail,
    enum log_level level)
{
	struct log_event e;
	char peer[ADDR_TEXT];

	log_begin(&e, &r->server->log, level, r->write ? "refused write" : "refused read");
	log_text(&e, "file", r->packet->name);
	log_text(&e, "peer", addr_print(&r->datagram->from, peer));
	log_u64(&e, "code", code);
	log_text(&e, "reason", text);
	if (detail != NULL)
		log_text(&e, "detail", detail);
	log_end(&e);
}

void request_refuse(const struct request *r, uint16_t code, const char *text, const char *detail)
{
	enum log_level level;

	if (refuse(r, code, text, &level))
		log_refusal(r, code, text, detail, level);
}

void request_refuse_open(const struct request *r, int err)
{
	const char *text;
	uint16_t code = path_refusal(err, r->write, &text);

	/* The PATH_ reasons say it all; for the others the log has the kernel's own word. */
	request_refuse(r, code, text, err > -4096 ? strerror(-err) : NULL);
}

void request_refuse_start(const struct request *r, int err)
{
	const struct config *c = r->server->config;
	char detail[128], range[48] = "";

	if (err == -EMFILE || err == -ENFILE || err == -ENOMEM) {
		request_refuse_open(r, err);
		return;
	}
	if (c->port_lo != 0)
		snprintf(range, sizeof(range), "--port-range %u:%u", c->port_lo, c->port_hi);
	if (err == -EADDRINUSE && c->port_lo != 0) {
		snprintf(detail, sizeof(detail), "%s is used up", range);
		request_refuse(r, ERROR_UNDEFINED, "every port for transfers is in use, try again later", detail);
		return;
	}
	snprintf(detail, sizeof(detail), "%s%s%s", range, range[0] != '\0' ? ": " : "", strerror(-err));
	request_refuse(r, err == -EACCES ? ERROR_ACCESS : ERROR_UNDEFINED, "the server cannot open a port for the transfer",
	    detail);
}

/*
 * To find out why takes a look at each directory on the way, and what was meant takes one to be read, while everybody
 * waits: so often in a second, not more.
 */
#define BLAMES 64
#define GUESSES 8

static bool may(struct server *s, unsigned *done, unsigned most, mono_t now)
{
	if (now - s->guessed >= MONO_SEC) {
		s->guessed = now;
		s->blames = s->guesses = 0;
	}
	return (*done)++ < most;
}

/* The client has its answer before anybody thinks about what it may have meant. */
void request_refuse_name(const struct request *r, int err, const struct names_found *f)
{
	struct server *s = r->server;
	struct names_ask ask = {.name = r->packet->name, .peer = &r->datagram->from, .write = r->write, .dry = true};
	char detail[2048 + PATH_NAME_MAX], near[PATH_NAME_MAX + 1], blame[1024];
	const char *text = f->text, *why, *gone;
	uint16_t code = err == NAMES_REFUSED || err == NAMES_RULES ? ERROR_ACCESS : path_refusal(err, r->write, &text);
	enum log_level level;
	int len;

	if (!refuse(r, code, text, &level))
		return;
	len = snprintf(detail, sizeof(detail), "%s", f->detail);
	if (f->name[0] != '\0' && strcmp(f->name, r->packet->name) != 0 && err != NAMES_REFUSED && err != NAMES_RULES)
		len += snprintf(detail + len, sizeof(detail) - (size_t)len, ", looked for as \"%.256s\"", f->name);
	gone = err == -ENOENT ? names_gone(&s->names) : NULL;
	if (gone != NULL)
		snprintf(detail + len, sizeof(detail) - (size_t)len, "; \"%.256s\" was removed and perhaps made anew: start the "
		    "server again", gone);
	else if (may(s, &s->blames, BLAMES, r->now) && names_blame(&s->names, &ask, f->name, err, blame, sizeof(blame)))
		snprintf(detail + len, sizeof(detail) - (size_t)len, ": %s", blame);
	else if (!r->write && (err == -ENOENT || err == -ENOTDIR) && may(s, &s->guesses, GUESSES, r->now) &&
	    names_suggest(&s->names, &ask, f->name, near, &why))
		snprintf(detail + len, sizeof(detail) - (size_t)len, "; did you mean `%s` (%s)?", near, why);
	log_refusal(r, code, text, detail, level);
}

void request_log_name(const struct request *r, const struct names_found *f)
{
	struct log_event e;

	if (f->how[0] == '\0')
		return;
	log_begin(&e, &r->server->log, LOG_LEVEL_INFO, "found by another name");
	log_text(&e, "asked", r->packet->name);
	log_text(&e, "file", f->name);
	log_text(&e, "by", f->how);
	log_end(&e);
}

void request_note(void *request, const char *what, const char *text)
{
	const struct request *r = request;
	struct log_event e;

	log_begin(&e, &r->server->log, LOG_LEVEL_DEBUG, "name");
	log_text(&e, "step", what);
	log_text(&e, "name", text);
	log_end(&e);
}

static void malformed(struct server *s, struct endpoint *e, const struct udp_datagram *d, int fault, int op, mono_t now)
{
	struct log_event event;
	char peer[ADDR_TEXT];

	/* Only what looks like a request, or like nothing at all, has somebody waiting for an answer. */
	if (op != PACKET_RRQ && op != PACKET_WRQ && fault != PACKET_BAD_OP)
		return;
	endpoint_say(e, d, ERROR_ILLEGAL, packet_fault_text(fault));
	s->counters.refused++;
	if (!limit_may_log(&s->limits, LIMIT_LINE_STRANGER, now))
		return;
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

static void serve(const struct request *r)
{
	if (r->write)
		put_begin(r);
	else
		get_begin(r);
}

static void decide(struct request *r)
{
	const struct access *a = &r->server->lists.access;
	const struct addr *peer = &r->datagram->from;
	const char *mode = r->packet->mode;
	char why[ACCESS_WHY_MAX];

	if (r->write ? !access_may_write(a, peer) : !access_may_read(a, peer)) {
		request_refuse(r, ERROR_ACCESS, r->write ? "uploads are not taken from this address" :
		    "this address may only write", access_why(a, peer, r->write, why));
	} else if (strcasecmp(mode, "mail") == 0) {
		request_refuse(r, ERROR_ILLEGAL, "mail mode is not supported, use octet", NULL);
	} else if (!r->text && strcasecmp(mode, "octet") != 0) {
		request_refuse(r, ERROR_ILLEGAL, "unknown transfer mode, use octet or netascii", mode);
	} else if (!repeated(r) && limit_admit(&r->server->limits, r->listener, r->datagram, r->now)) {
		serve(r);
	}
}

/* Those who may neither read nor write here are told nothing, not even that there is a server. */
static bool denied(struct server *s, const struct udp_datagram *d, const struct packet *p, mono_t now)
{
	const struct access *a = &s->lists.access;
	char peer[ADDR_TEXT], why[ACCESS_WHY_MAX];
	struct log_event e;

	if (access_may_read(a, &d->from) || access_may_write(a, &d->from))
		return false;
	s->counters.denied++;
	if (!limit_may_log(&s->limits, LIMIT_LINE_STRANGER, now))
		return true;
	log_begin(&e, &s->log, LOG_LEVEL_INFO, "denied");
	if (p != NULL && (p->op == PACKET_RRQ || p->op == PACKET_WRQ))
		log_text(&e, "file", p->name);
	log_text(&e, "peer", addr_print(&d->from, peer));
	log_text(&e, "detail", access_why(a, &d->from, p != NULL && p->op == PACKET_WRQ, why));
	log_end(&e);
	return true;
}

void request_log_dropped(struct server *s, const struct udp_datagram *d)
{
	struct log_event e;
	char peer[ADDR_TEXT];

	log_begin(&e, &s->log, LOG_LEVEL_WARNING, "dropped request");
	log_text(&e, "peer", addr_print(&d->from, peer));
	log_text(&e, "reason", "too many transfers, and too many requests waiting for a place");
	log_end(&e);
}

static void fill(struct request *r, const struct packet *p)
{
	r->packet = p;
	r->write = p->op == PACKET_WRQ;
	r->text = strcasecmp(p->mode, "netascii") == 0;
}

void request_waited(struct server *s, struct endpoint *e, const struct udp_datagram *d, bool room, mono_t now)
{
	struct request r = {.server = s, .listener = e, .datagram = d, .now = now};
	struct packet packet;

	/* It has been decoded before, when it came. */
	if (packet_decode(&packet, d->buf, d->len) != PACKET_OK)
		return;
	fill(&r, &packet);
	if (!room)
		request_refuse(&r, ERROR_UNDEFINED, "too many transfers at once, try again later", "--max-transfers, --max-per-client");
	else if (!repeated(&r))
		serve(&r);
}

void request_arrived(struct endpoint *e, const struct udp_datagram *d, const struct packet *p, int fault, int op,
    mono_t now)
{
	struct server *s = e->owner;
	struct request r = {.server = s, .listener = e, .datagram = d, .now = now};

	/* RFC 1123 section 4.2.3.5: a request sent to a broadcast address is ignored. Port 0 cannot be answered. */
	if ((d->group && !s->config->answer_broadcast) || addr_port(&d->from) == 0 || s->stopping)
		return;
	limit_drops(&s->limits, e, now);
	if (denied(s, d, p, now))
		return;
	if (p == NULL) {
		malformed(s, e, d, fault, op, now);
		return;
	}
	if (p->op != PACKET_RRQ && p->op != PACKET_WRQ)
		return;
	s->last_work = now;
	fill(&r, p);
	decide(&r);
}

void request_stranger(struct endpoint *e, const struct udp_datagram *d, const struct packet *p, int fault, int op,
    mono_t now)
{
	if (!denied(e->owner, d, p, now))
		endpoint_reject(e, d, p, fault, op, now);
}
