/*
 * One attempt: a socket, a local file, a session, and what ends it early: the user, the time in all, a way that is too
 * narrow for the blocks.
 *
 * The local end is opened before anything is sent, so that a download that could not be stored is not asked for.
 */
#include "client_int.h"
#include "local.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

/* The first block takes at most so long after the answer, or the way is too narrow for it. */
#define HOLE_GET (3 * MONO_SEC)
#define HOLE_PUT (5 * MONO_SEC)  /* the server's disk has a part in it */
#define HOLE_LOOK (MONO_SEC / 2)

#define PIPE_LOOK (MONO_SEC / 20) /* how often to try whether somebody reads a named pipe now */

static const struct client_options *options_of(const struct task *t)
{
	return t->client->options;
}

static struct task *task_of(const struct session *s)
{
	return (struct task *)((char *)s - offsetof(struct task, session));
}

/* What the session tells. */

void attempt_remember(struct task *t)
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
	attempt_remember(t); /* the next file does not wait for this session to end */
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
	const struct client_view *view = t->client->view;

	if (view->stranger != NULL)
		view->stranger(view->arg, &d->from, d->buf, d->len);
	if (p != NULL && t->session.any_port && !addr_same_host(&t->session.peer, &d->from) &&
	    (p->op == PACKET_OACK || p->op == PACKET_DATA || p->op == PACKET_ACK))
		t->elsewhere = d->from;
	endpoint_reject(e, d, p, fault, op, now);
}

static void stop_waiting(struct task *t)
{
	loop_fd_del(&t->client->loop, &t->input);
	loop_timer_clear(&t->client->loop, &t->look);
	t->waits = false;
}

static void say_early(struct task *t)
{
	verdict_early(t, t->job->write ? "not even one block had come that could be sent" :
	    "the named pipe had nobody at its other end");
}

void attempt_cancel(struct task *t, const char *why, mono_t now)
{
	if (t->waits) {
		stop_waiting(t);
		say_early(t);
		t->over = true;
	}
	if (!t->open || t->over || t->complete)
		return;
	transfer_cancel(&t->session.transfer, ERROR_UNDEFINED, why, now);
	session_pump(&t->session, now);
}

static void limit_fired(struct loop_timer *timer, mono_t now)
{
	struct task *t = (struct task *)((char *)timer - offsetof(struct task, limit));

	t->out_of_time = true;
	attempt_cancel(t, "the client's time is up", now);
}

/* Of what is sent: a pipe's is known once it has ended. */
static uint64_t source_size(const struct task *t)
{
	return t->stream && t->file.eof ? t->file.end : t->size;
}

/* How long the first block may take, or 0 where a smaller one would not help. */
static mono_t patience(const struct task *t)
{
	const struct option_terms *terms = transfer_terms(&t->session.transfer);
	mono_t wait = t->job->write ? HOLE_PUT : HOLE_GET, agreed = (mono_t)terms->timeout_us * 2 * MONO_US + MONO_SEC;

	if (ask_smaller(terms->blksize) == 0 || (t->job->write && source_size(t) <= ask_smaller(terms->blksize)))
		return 0;
	return terms->timeout_us > 0 && wait < agreed ? agreed : wait;
}

/*
 * Small packets came through, a block does not: somewhere the MTU is smaller than both ends believe, and nobody says
 * so. Ask again for smaller blocks.
 */
static void hole_fired(struct loop_timer *timer, mono_t now)
{
	struct task *t = (struct task *)((char *)timer - offsetof(struct task, hole));
	const struct transfer *transfer = &t->session.transfer;

	if (t->complete || t->over || transfer_bytes(transfer) > 0 || transfer_verdict(transfer) != NULL)
		return;
	if (transfer_answered(transfer)) {
		if (patience(t) == 0)
			return;
		if (t->answered == 0)
			t->answered = now;
		if (now - t->answered >= patience(t)) {
			t->black_hole = true;
			attempt_cancel(t, "no block comes through", now);
			return;
		}
	}
	loop_timer_set(&t->client->loop, &t->hole, now + HOLE_LOOK);
}

/* Whoever reads the pipe takes his time, or has been stopped: neither the user nor --max-time waits for that. */
static int wait_to_write(struct store_wait *w, int fd)
{
	struct task *t = (struct task *)((char *)w - offsetof(struct task, wait));

	if (client_await(t->client, fd, POLLOUT, t->limit.at))
		return 0;
	attempt_ended_early(t);
	return t->client->interrupted != 0 ? -EINTR : -ETIME;
}

/* One attempt. */

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
		unsigned port = o->port_hi != 0 ? o->port_lo + (start + i) % n : 0;

		addr_set_port(&local, (uint16_t)port);
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

/* The timer of --max-time has no chance to say so. */
bool attempt_ended_early(struct task *t)
{
	t->out_of_time = t->out_of_time || t->client->loop.clock() >= t->limit.at;
	return t->out_of_time || t->client->interrupted != 0;
}

/* The most that a window can hold. A server that takes none of the options has blocks of 512, whatever was asked. */
static size_t window_bytes(const struct task *t)
{
	size_t most = (size_t)t->blksize * t->windowsize;

	return most > PACKET_BLKSIZE ? most : PACKET_BLKSIZE;
}

/* A named pipe needs somebody at its other end before a server is kept waiting: -EAGAIN. */
static int open_sink(struct task *t)
{
	const struct client_job *job = t->job;
	struct client *c = t->client;
	int err = local_sink(&t->file, &t->store, job->local, job->remote, job->text, &c->behind, &t->wait, &t->stream);

	t->ready = err == 0;
	if (err == 0 && !t->stream)
		client_tidy(c, t->file.dir);
	return err;
}

/*
 * A server that takes an upload gives up if no block comes within seconds, and we would think that none comes through.
 * So what may take its time, a pipe or somebody who types, is asked for the first block before anybody else is: it
 * stays in the store. Returns 0, -EAGAIN or another -errno.
 */
static int first_block(struct task *t)
{
	struct iovec iov = {.iov_base = t->client->exchange->scratch, .iov_len = t->blksize};
	ssize_t got = t->store.ops->read(t->store.arg, 0, &iov, 1);

	return got == STORE_AGAIN ? -EAGAIN : got < 0 ? (int)got : 0;
}

static int open_source(struct task *t)
{
	const struct client_job *job = t->job;
	int err = t->ready ? 0 :
	    local_source(&t->file, &t->store, job->local, job->text, window_bytes(t), &t->size, &t->stream);

	t->ready = err == 0;
	return err == 0 && t->stream ? first_block(t) : err;
}

static int open_parked(struct task *t)
{
	int err = store_file_again(&t->park, &t->file, &t->store, window_bytes(t));

	t->parked = false;
	t->park_store.ops->close(&t->park);
	t->stream = true;
	t->ready = err == 0;
	return err;
}

/* Returns 0, -EAGAIN: it is for a pipe to be ready, or another -errno. */
static int open_local(struct task *t)
{
	return t->parked ? open_parked(t) : t->job->write ? open_source(t) : open_sink(t);
}

static void close_local(struct task *t)
{
	if (t->ready)
		t->store.ops->close(t->store.arg);
	t->ready = false;
}

/* The session takes over the store, whatever happens. */
static int open_session(struct task *t, mono_t now)
{
	struct exchange *x = t->client->exchange;
	struct session *s = &t->session;
	int err;

	t->ready = false;
	memset(s, 0, sizeof(*s));
	s->peer = t->host->addrs[t->at];
	s->any_port = true;
	s->any_host = options_of(t)->relaxed_peer;
	if (t->job->write)
		transfer_put(&s->transfer, &t->store, &t->request, &t->policy, now);
	else
		transfer_get(&s->transfer, &t->store, &x->gather, &t->request, &t->policy, now);
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

/*
 * What was read from a pipe cannot be read again. Until something of it is acknowledged all of it is still there, and
 * the next attempt begins with that.
 */
static void park(struct task *t)
{
	if (!t->job->write || !t->stream)
		return;
	t->parked = store_file_again(&t->file, &t->park, &t->park_store, 0) == 0;
	t->gone = !t->parked;
}

/* The local end is ready. */
static bool ask(struct task *t)
{
	struct client *c = t->client;
	mono_t now = c->loop.clock(); /* what was waited for, a pipe, may have taken its time */
	int err;

	ask_offer(t);
	set_policy(t);
	err = open_session(t, now);
	if (err != 0) {
		park(t);
		transfer_free(&t->session.transfer);
		verdict_say(&t->job->out, CLIENT_REFUSED, "cannot ask %s for \"%s\": %s; check --bind and --port-range",
		    printable(t->host->name).text, printable(t->job->remote).text, strerror(-err));
		return false;
	}
	t->open = true;
	loop_timer_set(&c->loop, &t->hole, now + HOLE_LOOK);
	session_pump(&t->session, now);
	return true;
}

static void input_came(struct loop_fd *h, short revents, mono_t now);

/* The loop goes on with the other files meanwhile. 0 or -errno. */
static int wait_for_pipe(struct task *t)
{
	struct loop *loop = &t->client->loop;
	int err = t->ready ? loop_fd_add(loop, &t->input, t->file.fd, POLLIN, input_came) :
	    loop_timer_set(loop, &t->look, loop->clock() + PIPE_LOOK);

	t->waits = err == 0;
	return err;
}

/* Open what is not open yet, and ask or wait. False: the outcome says why not. */
static bool go_on(struct task *t)
{
	int err = open_local(t);

	if (err == 0)
		return ask(t);
	if (err == -EAGAIN && !attempt_ended_early(t)) {
		err = wait_for_pipe(t);
		if (err == 0)
			return true;
	}
	close_local(t);
	if (err == -EAGAIN)
		say_early(t);
	else
		verdict_local(t, err);
	return false;
}

static void look_again(struct task *t)
{
	stop_waiting(t);
	t->over = !go_on(t);
}

static void input_came(struct loop_fd *h, short revents, mono_t now)
{
	(void)revents;
	(void)now;
	look_again((struct task *)((char *)h - offsetof(struct task, input)));
}

static void look_fired(struct loop_timer *timer, mono_t now)
{
	(void)now;
	look_again((struct task *)((char *)timer - offsetof(struct task, look)));
}

void attempt_init(struct task *t)
{
	t->input.index = LOOP_UNSET;
	loop_timer_init(&t->look, look_fired);
	loop_timer_init(&t->limit, limit_fired);
	loop_timer_init(&t->hole, hole_fired);
	t->wait.writable = wait_to_write;
}

bool attempt_start(struct task *t)
{
	int err;

	t->over = t->complete = t->black_hole = false;
	t->answered = 0;
	t->size = UINT64_MAX;
	err = ask_sizes(t);
	if (err == 0)
		return go_on(t);
	verdict_no_way(t, -err);
	return false;
}

void attempt_park(struct task *t)
{
	if (t->open)
		park(t);
}

void attempt_close(struct task *t)
{
	stop_waiting(t);
	close_local(t);
	if (!t->open)
		return;
	t->open = false;
	loop_timer_clear(&t->client->loop, &t->hole);
	session_detach(&t->session);
	endpoint_close(&t->endpoint);
	transfer_free(&t->session.transfer);
}
