/*
 * One job: which server, which address, with which options, again or not. An attempt is one session; what it came to
 * decides whether there is another one worth making.
 *
 * The local end is opened before anything is sent, so that a download that could not be stored is not asked for.
 */
#include "client_int.h"
#include "local.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* The first block takes at most so long after the answer, or the way is too narrow for it. */
#define HOLE_GET (3 * MONO_SEC)
#define HOLE_PUT (5 * MONO_SEC)  /* the server's disk has a part in it */
#define HOLE_LOOK (MONO_SEC / 2)

static const struct client_options *options_of(const struct task *t)
{
	return t->client->options;
}

static struct task *task_of(const struct session *s)
{
	return (struct task *)((char *)s - offsetof(struct task, session));
}

/* ---- what the session tells ---------------------------------------------------------------------------------------- */

/* What worked is what the next file begins with. */
static void remember(struct task *t)
{
	if (!transfer_answered(&t->session.transfer))
		return;
	t->host->silent = false;
	if (!options_of(t)->no_options)
		t->host->level = t->level;
}

static void on_verdict(struct session *s, const struct transfer_result *r, mono_t now)
{
	struct task *t = task_of(s);

	(void)now;
	if (r->outcome != TRANSFER_DONE)
		return;
	t->complete = true;
	remember(t); /* the next file does not wait for this session to end */
	verdict_judge(t);
	client_job_done(t->client, t->job);
}

static void on_over(struct session *s, mono_t now)
{
	(void)now;
	task_of(s)->over = true;
}

static const struct session_ops session_ops = {.verdict = on_verdict, .over = on_over};

/* Remembered for the verdict: servers with several addresses, and NAT, answer from the wrong one. */
static void on_stranger(struct endpoint *e, const struct udp_datagram *d, const struct packet *p, int fault, int op,
    mono_t now)
{
	struct task *t = e->owner;

	if (p != NULL && t->session.any_port && (p->op == PACKET_OACK || p->op == PACKET_DATA || p->op == PACKET_ACK))
		t->elsewhere = d->from;
	endpoint_reject(e, d, p, fault, op, now);
}

void task_cancel(struct task *t, const char *why, mono_t now)
{
	if (!t->open || t->over || t->complete)
		return;
	transfer_cancel(&t->session.transfer, ERROR_UNDEFINED, why, now);
	session_pump(&t->session, now);
}

static void limit_fired(struct loop_timer *timer, mono_t now)
{
	struct task *t = (struct task *)((char *)timer - offsetof(struct task, limit));

	t->out_of_time = true;
	task_cancel(t, "the client's time is up", now);
}

/* How long the first block may take, or 0 where a smaller one would not help. */
static mono_t patience(const struct task *t)
{
	const struct option_terms *terms = transfer_terms(&t->session.transfer);
	mono_t wait = t->job->write ? HOLE_PUT : HOLE_GET, agreed = (mono_t)terms->timeout_us * 2 * MONO_US + MONO_SEC;

	if (ask_smaller(terms->blksize) == 0 || t->stream)
		return 0;
	if (t->job->write && t->size <= ask_smaller(terms->blksize))
		return 0;
	return terms->timeout_us > 0 && wait < agreed ? agreed : wait;
}

/*
 * Small packets came through, a block does not: somewhere the MTU is smaller than both ends believe, and nobody says so.
 * Ask again for smaller blocks.
 */
static void hole_fired(struct loop_timer *timer, mono_t now)
{
	struct task *t = (struct task *)((char *)timer - offsetof(struct task, hole));
	const struct transfer *transfer = &t->session.transfer;

	if (t->complete || t->over || transfer_so_far(transfer) > 0 || transfer_verdict(transfer) != NULL)
		return;
	if (transfer_answered(transfer)) {
		if (patience(t) == 0)
			return;
		if (t->answered == 0)
			t->answered = now;
		if (now - t->answered >= patience(t)) {
			t->black_hole = true;
			task_cancel(t, "no block comes through", now);
			return;
		}
	}
	loop_timer_set(&t->client->loop, &t->hole, now + HOLE_LOOK);
}

/* ---- one attempt ---------------------------------------------------------------------------------------------------- */

static int open_socket(struct task *t)
{
	const struct client_options *o = options_of(t);
	struct addr local = {.sa.sa_family = t->host->addrs[t->at].sa.sa_family};
	unsigned n = o->port_hi != 0 ? o->port_hi - o->port_lo + 1u : 1;
	uint16_t start = 0;
	int err = -EADDRINUSE;

	if (o->bind.sa.sa_family != AF_UNSPEC)
		local = o->bind;
	if (n > 1 && getrandom(&start, sizeof(start), 0) != (ssize_t)sizeof(start))
		start = 0;
	for (unsigned i = 0; i < n && err == -EADDRINUSE; i++) {
		addr_set_port(&local, o->port_hi != 0 ? (uint16_t)(o->port_lo + (start + i) % n) : 0);
		err = udp_open(&t->endpoint.udp, &local, false, o->without);
	}
	return err;
}

static void set_policy(struct task *t)
{
	const struct client_options *o = options_of(t);
	mono_t fixed = (mono_t)(o->interval != 0 ? o->interval : o->timeout) * MONO_SEC;

	t->policy = (struct transfer_policy){
		.first = t->repeated ? 2 * RETRANSMIT_FIRST : 0,
		.fixed = fixed,
		.give_up = (mono_t)(o->give_up != 0 ? o->give_up : CLIENT_GIVE_UP) * MONO_SEC,
		.tries = ask_share(t->sends, t->first, t->level),
		.dally_min = 50 * MONO_MS,
		.dally_max = MONO_SEC,
	};
	if (fixed != 0 && o->give_up == 0)
		t->policy.give_up = CLIENT_RETRIES * fixed + fixed;
}

static int open_local(struct task *t, struct store *store)
{
	const struct client_job *job = t->job;

	t->size = UINT64_MAX;
	if (!job->write)
		return local_sink(&t->file, store, job->local, job->remote, job->text, &t->stream);
	return local_source(&t->file, store, job->local, job->text, (size_t)t->blksize * t->windowsize, &t->size, &t->stream);
}

/* The session takes over the store, whatever happens. */
static int open_session(struct task *t, const struct store *store, mono_t now)
{
	struct exchange *x = t->client->exchange;
	struct session *s = &t->session;
	int err;

	memset(s, 0, sizeof(*s));
	s->peer = t->host->addrs[t->at];
	s->any_port = true;
	s->any_host = options_of(t)->relaxed_peer;
	if (t->job->write)
		transfer_put(&s->transfer, store, &t->request, &t->policy, now);
	else
		transfer_get(&s->transfer, store, &x->gather, &t->request, &t->policy, now);
	err = open_socket(t);
	if (err != 0)
		return err;
	if (!t->job->write)
		udp_coalesce(&t->endpoint.udp, options_of(t)->without);
	err = endpoint_add(&t->endpoint, x, on_stranger, t);
	if (err != 0) {
		udp_close(&t->endpoint.udp);
		return err;
	}
	err = session_attach(s, &t->endpoint, true, false, &session_ops);
	if (err != 0)
		endpoint_close(&t->endpoint);
	return err;
}

/* False: it failed before anything was sent, and the outcome says why. */
static bool attempt(struct task *t)
{
	struct client *c = t->client;
	mono_t now = c->loop.clock();
	struct store store;
	int err;

	t->over = t->complete = t->black_hole = false;
	t->answered = 0;
	ask_sizes(t);
	err = open_local(t, &store);
	if (err != 0) {
		verdict_local(t, err);
		return false;
	}
	ask_offer(t);
	set_policy(t);
	err = open_session(t, &store, now);
	if (err != 0) {
		transfer_free(&t->session.transfer);
		verdict_say(&t->job->out, CLIENT_REFUSED, "cannot send to %s: %s", printable(t->host->name).text, strerror(-err));
		return false;
	}
	t->open = true;
	loop_timer_set(&c->loop, &t->hole, now + HOLE_LOOK);
	session_pump(&t->session, now);
	return true;
}

static void close_attempt(struct task *t)
{
	if (!t->open)
		return;
	t->open = false;
	loop_fd_del(&t->client->loop, &t->input);
	loop_timer_clear(&t->client->loop, &t->hole);
	session_detach(&t->session);
	endpoint_close(&t->endpoint);
	transfer_free(&t->session.transfer);
}

/* ---- which server, which address ------------------------------------------------------------------------------------ */

static void begin_address(struct task *t)
{
	unsigned sends = options_of(t)->retries + 1;
	bool others = t->rest != NULL || t->at + 1 < t->host->n;

	/* Where somebody else may have the file, and where nobody answered before, waiting long is waste. */
	if (others && sends > 3)
		sends = 3;
	if (t->host->silent && sends > 2)
		sends = 2;
	t->sends = sends;
	t->first = t->level = options_of(t)->no_options ? ASK_NONE : t->host->level;
	t->repeated = false;
	t->elsewhere.sa.sa_family = AF_UNSPEC;
}

/* Take the next server from the list. False: the outcome says why it cannot be asked. */
static bool begin_host(struct task *t)
{
	char *name = t->rest, *comma = strchr(name, ',');

	t->rest = NULL;
	if (comma != NULL) {
		*comma = '\0';
		t->rest = comma + 1;
	}
	t->at = 0;
	t->host = host_find(t->client, name, t->job->port);
	if (t->host != NULL && t->host->n > 0) {
		begin_address(t);
		return true;
	}
	if (t->host != NULL && t->host->n == EAI_SERVICE)
		verdict_say(&t->job->out, CLIENT_USAGE, "\"%s\" is no port: it takes 1 to 65535 or the name of a service",
		    printable(t->job->port != NULL ? t->job->port : name).text);
	else
		verdict_say(&t->job->out, CLIENT_HOST, "cannot find the host \"%s\": %s", printable(name).text,
		    gai_strerror(t->host != NULL ? t->host->n : EAI_MEMORY));
	return false;
}

static bool worth_asking_another(const struct task *t)
{
	const struct client_outcome *out = &t->job->out;

	if (t->client->interrupted != 0 || t->out_of_time)
		return false;
	switch (out->status) {
	case CLIENT_OK:
	case CLIENT_WRITE:
	case CLIENT_READ:
	case CLIENT_USAGE:
	case CLIENT_INTERRUPTED:
		return false;
	case CLIENT_HOST:
	case CLIENT_REFUSED:
		return true;
	case CLIENT_SILENT:
		return out->bytes == 0 || (!t->job->write && !t->stream);
	default:
		/* A download that one server does not have or may not give; an upload that is refused stays refused. */
		return !t->job->write && (out->bytes == 0 || !t->stream);
	}
}

/* Another server, from the list. Skips those that have no address. */
static bool next_host(struct task *t)
{
	struct client_outcome *out = &t->job->out;

	while (t->rest != NULL && worth_asking_another(t)) {
		if (out->status != CLIENT_HOST && out->status != CLIENT_REFUSED && out->status != CLIENT_SILENT)
			t->said = *out;
		if (begin_host(t))
			return true;
	}
	if (t->said.status != CLIENT_OK && (out->status == CLIENT_HOST || out->status == CLIENT_REFUSED ||
	    out->status == CLIENT_SILENT))
		*out = t->said;
	return false;
}

/* ---- after an attempt ----------------------------------------------------------------------------------------------- */

/* Some old servers answer options with an error instead of ignoring them (RFC 1782 asked for that). */
static bool refuses_options(const struct task *t)
{
	const struct transfer *transfer = &t->session.transfer;
	const struct transfer_result *r = &transfer->result;

	return t->request.offered.n > 0 && r->outcome == TRANSFER_PEER_ERROR && !transfer_answered(transfer) &&
	    (r->code == ERROR_OPTION || r->code == ERROR_ILLEGAL || r->code == ERROR_UNDEFINED);
}

/* The server has answered, but not to these options. */
static bool ask_for_less(struct task *t)
{
	unsigned had = t->request.offered.present;

	t->host->silent = false;
	while (t->level < ASK_NONE) {
		t->first = ++t->level;
		ask_offer(t);
		if (t->request.offered.present != had)
			return true;
	}
	return false;
}

/* Silence: perhaps it was the options. */
static bool ask_more_quietly(struct task *t)
{
	t->repeated = true;
	while (t->level < ASK_NONE)
		if (ask_share(t->sends, t->first, ++t->level) > 0)
			return true;
	t->host->silent = true;
	return false;
}

static bool ask_for_smaller_blocks(struct task *t)
{
	uint32_t smaller = ask_smaller(transfer_terms(&t->session.transfer)->blksize);

	if (smaller == 0)
		return false;
	t->host->most = smaller;
	return true;
}

static bool next_address(struct task *t)
{
	enum client_status status = t->job->out.status;
	bool answered = transfer_answered(&t->session.transfer);

	if (t->at + 1 >= t->host->n || !(status == CLIENT_REFUSED || (status == CLIENT_SILENT && !answered)))
		return false;
	t->at++;
	begin_address(t);
	return true;
}

/* Whether the same server is worth another attempt. */
static bool same_server(struct task *t)
{
	enum transfer_outcome outcome = t->session.transfer.result.outcome;

	if (t->client->interrupted != 0 || t->out_of_time)
		return false;
	if (t->black_hole)
		return ask_for_smaller_blocks(t);
	if (refuses_options(t))
		return ask_for_less(t);
	if (outcome == TRANSFER_TIMED_OUT && !transfer_answered(&t->session.transfer) && ask_more_quietly(t))
		return true;
	return next_address(t);
}

bool task_next(struct task *t)
{
	bool again;

	loop_timer_clear(&t->client->loop, &t->hole);
	remember(t);
	if (t->complete) {
		close_attempt(t);
		return false;
	}
	verdict_judge(t);
	again = same_server(t);
	close_attempt(t);
	if (again && attempt(t))
		return true;
	while (next_host(t))
		if (attempt(t))
			return true;
	return false;
}

bool task_start(struct task *t)
{
	const struct client_options *o = options_of(t);
	bool found;

	t->began = t->client->loop.clock();
	if (o->max_time != 0)
		loop_timer_set(&t->client->loop, &t->limit, t->began + (mono_t)o->max_time * MONO_SEC);
	t->rest = t->hosts;
	for (found = begin_host(t); found; found = next_host(t))
		if (attempt(t))
			return true;
	return false;
}

struct task *task_new(struct client *c, struct client_job *job)
{
	struct task *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->client = c;
	t->job = job;
	t->input.index = LOOP_UNSET;
	loop_timer_init(&t->limit, limit_fired);
	loop_timer_init(&t->hole, hole_fired);
	t->hosts = strdup(job->host);
	if (t->hosts != NULL)
		return t;
	free(t);
	return NULL;
}

void task_del(struct task *t)
{
	close_attempt(t);
	loop_timer_clear(&t->client->loop, &t->limit);
	free(t->hosts);
	free(t);
}
