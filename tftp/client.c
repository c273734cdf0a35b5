/*
 * The run of a list of jobs in one event loop: begins them, some at a time, wakes those whose pipe has something again,
 * clears away those that are over, and ends all of them when the user says so.
 */
#include "client_int.h"

#include "store_temp.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TICK (MONO_SEC / 5)
#define DALLYING_MAX 64 /* complete, still answering a repeated last block; no reason to keep the next file waiting */

static struct client *client_of(struct loop *l)
{
	return (struct client *)((char *)l - offsetof(struct client, loop));
}

void client_job_done(struct client *c, struct client_job *job)
{
	job->out.decided = true;
	c->running--;
	if (c->view->done != NULL)
		c->view->done(c->view->arg, job);
}

void client_tidy(struct client *c, int dir)
{
	struct stat st;

	if (fstat(dir, &st) != 0 || (st.st_ino == c->tidied && st.st_dev == c->tidied_on))
		return;
	c->tidied = st.st_ino;
	c->tidied_on = st.st_dev;
	store_temp_tidy(dir);
}

static void on_signal(struct loop *l, int signo, mono_t now)
{
	(void)now;
	client_of(l)->interrupted = signo;
}

static void on_packet(const struct session *s, bool sent, const uint8_t *buf, size_t len, mono_t now)
{
	const struct task *t = s->endpoint->owner;
	const struct client_view *view = t->client->view;

	(void)now;
	if (view->packet != NULL)
		view->packet(view->arg, sent, &s->peer, buf, len);
}

bool client_await(struct client *c, int fd, short events, mono_t until)
{
	struct loop_fd *signals = &c->loop.signal_io;
	struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = signals->fd, .events = POLLIN}};

	for (mono_t now = c->loop.clock(); now < until && c->interrupted == 0 && p[0].revents == 0; now = c->loop.clock()) {
		struct timespec left = {.tv_sec = (until - now) / MONO_SEC, .tv_nsec = (until - now) % MONO_SEC};

		if (ppoll(p, 2, until == MONO_NEVER ? NULL : &left, NULL) > 0 && p[1].revents != 0)
			signals->ready(signals, p[1].revents, now);
	}
	return p[0].revents != 0 && c->interrupted == 0;
}

/* Progress. */

static uint64_t expected_of(const struct task *t)
{
	if (t->job->write)
		return t->size;
	return transfer_answered(&t->session.transfer) ? transfer_terms(&t->session.transfer)->tsize : TSIZE_UNKNOWN;
}

static void add_task(struct client_state *state, const struct task *t)
{
	uint64_t expected;

	if (t->job->out.decided || !t->open)
		return;
	expected = expected_of(t);
	state->job = t->job;
	state->running++;
	state->bytes += transfer_bytes(&t->session.transfer);
	if (expected == UINT64_MAX || state->expected == UINT64_MAX)
		state->expected = UINT64_MAX;
	else
		state->expected += expected;
}

static void tick(struct loop_timer *timer, mono_t now)
{
	struct client *c = (struct client *)((char *)timer - offsetof(struct client, tick));
	struct client_state state = {.jobs = c->njobs, .elapsed = now - c->started};

	for (const struct task *t = c->tasks; t != NULL; t = t->next)
		add_task(&state, t);
	for (size_t i = 0; i < c->begun; i++) {
		state.done += c->jobs[i].out.decided;
		state.failed += c->jobs[i].out.decided && c->jobs[i].out.status != CLIENT_OK;
		state.finished += c->jobs[i].out.decided ? c->jobs[i].out.bytes : 0;
	}
	c->view->tick(c->view->arg, &state);
	loop_timer_set(&c->loop, &c->tick, now + TICK);
}

/* Running. */

/* A pipe we send from has something again. */
static void input_ready(struct loop_fd *h, short revents, mono_t now)
{
	struct task *t = (struct task *)((char *)h - offsetof(struct task, input));

	(void)revents;
	loop_fd_del(&t->client->loop, h);
	transfer_wake(&t->session.transfer, now);
	session_pump(&t->session, now);
}

static void watch_input(struct client *c, struct task *t)
{
	if (t->open && !t->over && t->stream && t->job->write && t->input.index == LOOP_UNSET &&
	    transfer_blocked(&t->session.transfer))
		loop_fd_add(&c->loop, &t->input, t->file.fd, POLLIN, input_ready);
}

/* Its verdict is known: with a complete file it was when the last block came. */
static void end_task(struct client *c, struct task *t)
{
	if (!t->complete) {
		t->job->out.took = c->loop.clock() - t->began;
		client_job_done(c, t->job);
	}
	task_del(t);
}

static void begin_job(struct client *c, struct client_job *job)
{
	struct task *t;

	memset(&job->out, 0, sizeof(job->out));
	c->running++;
	t = task_new(c, job);
	if (t == NULL) {
		verdict_say(&job->out, CLIENT_WRITE, "cannot start with \"%s\" on %s: out of memory; try a smaller --parallel",
		    printable(job->remote).text, printable(job->host).text);
		client_job_done(c, job);
		return;
	}
	if (!task_start(t)) {
		end_task(c, t);
		return;
	}
	t->next = c->tasks;
	c->tasks = t;
	c->live++;
}

bool client_writes_stdout(const struct client_job *job)
{
	return !job->write && strcmp(job->local, "-") == 0;
}

/* Local ports to send from. Each session has one of its own, a complete one until it has dallied. */
static size_t ports(const struct client *c)
{
	const struct client_options *o = c->options;

	return o->port_hi != 0 ? o->port_hi - o->port_lo + 1u : 65536;
}

/* Two files at a time would come out of standard output as a mixture. */
static size_t at_a_time(const struct client *c)
{
	for (size_t i = 0; i < c->njobs; i++)
		if (client_writes_stdout(&c->jobs[i]))
			return 1;
	return c->options->parallel > 0 ? c->options->parallel : 1;
}

static void begin_jobs(struct client *c)
{
	while (c->interrupted == 0 && c->begun < c->njobs && c->running < c->most &&
	    c->live < c->running + DALLYING_MAX && c->live < ports(c))
		begin_job(c, &c->jobs[c->begun++]);
}

/* Not where the signal came: a transfer may have been in the middle of a write, which waited for room in a pipe. */
static void cancel_all(struct client *c)
{
	for (struct task *t = c->tasks; t != NULL; t = t->next)
		attempt_cancel(t, "interrupted by the user", c->loop.clock());
}

/* Those whose attempt is over go on to another one, or away. False: nobody went. */
static bool reap(struct client *c)
{
	struct task **p = &c->tasks;
	bool went = false;

	while (*p != NULL) {
		struct task *t = *p;

		watch_input(c, t);
		if (!t->over) {
			p = &t->next;
			continue;
		}
		if (task_next(t))
			continue; /* that attempt may be over as well */
		went = true;
		*p = t->next;
		c->live--;
		end_task(c, t);
	}
	return went;
}

static bool decided(const struct client *c)
{
	return c->running == 0 && (c->begun == c->njobs || c->interrupted != 0);
}

/* Wait, and let all go that only dally once it is time. */
static int wait_once(struct client *c)
{
	int err;

	if (decided(c) && c->leave == MONO_NEVER)
		c->leave = dally_in_child(c) ? c->loop.clock() : dally_until(c, c->loop.clock());
	err = loop_once(&c->loop, c->leave);
	for (struct task *t = c->tasks; t != NULL && c->loop.clock() >= c->leave; t = t->next)
		t->over = true;
	return err;
}

/* The loop cannot wait any more: nothing of what runs will end well. */
static void drop_all(struct client *c, int err)
{
	struct task *t;

	while ((t = c->tasks) != NULL) {
		c->tasks = t->next;
		c->live--;
		if (!t->complete)
			verdict_say(&t->job->out, CLIENT_REFUSED, "cannot wait for %s to answer for \"%s\": %s; try again",
			    printable(t->job->host).text, printable(t->job->remote).text, strerror(-err));
		end_task(c, t);
	}
}

/* Whoever counts the verdicts, or reads them from a file, gets one for each job. */
static void drop_rest(struct client *c)
{
	while (c->begun < c->njobs) {
		struct client_job *job = &c->jobs[c->begun++];
		struct printable host = printable(job->host), file = printable(job->remote);

		memset(&job->out, 0, sizeof(job->out));
		c->running++;
		if (c->interrupted != 0)
			verdict_say(&job->out, CLIENT_INTERRUPTED, "interrupted before %s was asked for \"%s\"; run it again",
			    host.text, file.text);
		else
			verdict_say(&job->out, CLIENT_REFUSED, "%s was not asked for \"%s\", after what became of the others; try "
			    "again", host.text, file.text);
		client_job_done(c, job);
	}
}

static enum client_status worst(const struct client *c)
{
	if (c->interrupted != 0)
		return CLIENT_INTERRUPTED;
	for (size_t i = 0; i < c->njobs; i++)
		if (c->jobs[i].out.status != CLIENT_OK)
			return c->jobs[i].out.status;
	return CLIENT_OK;
}

enum client_status client_run(struct client *c, struct client_job *jobs, size_t n)
{
	int err = 0;

	c->jobs = jobs;
	c->njobs = n;
	c->most = at_a_time(c);
	c->begun = 0;
	c->interrupted = 0;
	c->leave = MONO_NEVER;
	c->started = c->loop.clock();
	c->exchange->tap = c->view->packet != NULL ? on_packet : NULL;
	c->exchange->without = c->options->without;
	if (c->view->tick != NULL)
		loop_timer_set(&c->loop, &c->tick, c->started + TICK);
	while (err == 0) {
		do {
			begin_jobs(c);
			if (c->interrupted != 0)
				cancel_all(c);
		} while (reap(c)); /* where one went the next may begin, and what waits for a pipe wakes nobody */
		if (c->live == 0 && (c->begun == n || c->interrupted != 0))
			break;
		if (c->live > 0)
			err = wait_once(c);
	}
	if (err != 0)
		drop_all(c, err);
	drop_rest(c);
	loop_timer_clear(&c->loop, &c->tick);
	return worst(c);
}

bool client_finds(struct client *c, const char *host, const char *port)
{
	const struct host *h;

	c->interrupted = 0;
	h = host_find(c, host, port, MONO_NEVER);
	return h != NULL && h->n > 0;
}

int client_interrupted(const struct client *c)
{
	return c->interrupted;
}

/* Making and unmaking. */

/*
 * What whoever started us has told to be ignored stays so (nohup, a script's `&`): blocked, and read from a descriptor,
 * it would end us all the same.
 */
static size_t signals_that_end(int signals[3])
{
	static const int ours[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (sigaction(ours[i], NULL, &action) != 0 || action.sa_handler != SIG_IGN)
			signals[n++] = ours[i];
	return n;
}

struct client *client_new(const struct client_options *options, const struct client_view *view)
{
	int signals[3];
	struct client *c = calloc(1, sizeof(*c));
	int err;

	if (c == NULL)
		return NULL;
	c->options = options;
	c->view = view;
	loop_init(&c->loop);
	loop_timer_init(&c->tick, tick);
	c->exchange = malloc(sizeof(*c->exchange));
	if (c->exchange != NULL) {
		/* Its sessions are not in the table: nobody can make them collide. */
		err = exchange_init(c->exchange, &c->loop, 0, options->without);
		if (err == 0)
			err = loop_signals(&c->loop, signals, signals_that_end(signals), on_signal);
		if (err == 0) {
			signal(SIGPIPE, SIG_IGN);
			signal(SIGXFSZ, SIG_IGN); /* ulimit -f is an error like others, and leaves nothing */
			return c;
		}
	}
	client_del(c);
	return NULL;
}

void client_del(struct client *c)
{
	while (c->tasks != NULL) {
		struct task *t = c->tasks;

		c->tasks = t->next;
		task_del(t);
	}
	host_forget(c);
	if (c->exchange != NULL)
		exchange_free(c->exchange);
	free(c->exchange);
	loop_free(&c->loop);
	free(c);
}
