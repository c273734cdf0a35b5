/*
 * Places, queues and budgets. The requests that wait are copies of their datagrams; when one has waited long enough, or
 * there is a place, it goes the way of a request that has just arrived.
 */
#include "limit.h"

#include "request.h"
#include "server.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Descriptors that are not a transfer's: standard ones, listeners, signals, a directory being looked through. */
#define OTHER_FILES 32

/* While requests wait, so often somebody looks whether an unanswered transfer has become old enough to make room. */
#define LOOK_AGAIN (50 * MONO_MS)

/* How many. */

/* What a transfer keeps open at most: its socket, its file, and for an upload the directory. */
static size_t files_each(const struct config *c)
{
	return (c->single_port ? 1 : 2) + (config_uploads(c) ? 1 : 0);
}

/* As many descriptors as we may have; root gives itself what it needs. Returns how many, or SIZE_MAX for no end. */
static size_t raise_files(size_t wanted)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return SIZE_MAX;
	if (r.rlim_max < wanted) {
		struct rlimit more = {.rlim_cur = wanted, .rlim_max = wanted};

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return wanted;
	}
	if (r.rlim_cur < wanted && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max < wanted ? r.rlim_max : wanted;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	return r.rlim_cur;
}

static void limit_transfers(struct limits *l)
{
	const struct config *c = l->server->config;
	size_t each = files_each(c), wanted = OTHER_FILES + SERVER_LISTENERS + each * c->max_transfers;
	size_t files = raise_files(wanted), room;

	l->max_transfers = c->max_transfers;
	if (files >= wanted)
		return;
	room = files > OTHER_FILES + each ? (files - OTHER_FILES) / each : 1;
	if (room >= l->max_transfers)
		return;
	l->max_transfers = room;
	log_line(&l->server->log, LOG_LEVEL_WARNING,
	    "at most %zu transfers at once instead of %u: this process may open no more than %zu files (ulimit -n)", room,
	    c->max_transfers, files);
}

/* Clients. */

static struct client **client_place(const struct limits *l, const struct addr *peer)
{
	struct addr host = *peer;
	struct client **p;

	addr_set_port(&host, 0);
	p = &l->clients[addr_hash(&host, l->server->exchange.sessions.seed) % LIMIT_BUCKETS];
	while (*p != NULL && !addr_same_host(&(*p)->host, peer))
		p = &(*p)->next;
	return p;
}

static void client_go(struct pacer_node *node, mono_t now);

static struct client *client_get(struct limits *l, const struct addr *peer)
{
	struct client **place = client_place(l, peer), *c = *place;

	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->host = *peer;
	if (l->rate_per_client != 0)
		pacer_init(&c->pacer, &l->server->loop, l->rate_per_client, client_go);
	*place = c;
	return c;
}

static void client_put(struct limits *l, struct client *c)
{
	struct client **place;

	if (--c->njobs > 0)
		return;
	place = client_place(l, &c->host);
	*place = c->next;
	if (c->pacer.rate != 0)
		pacer_free(&c->pacer);
	free(c);
}

static bool client_is_full(const struct limits *l, const struct addr *peer)
{
	const struct client *c;

	if (l->max_per_client == 0)
		return false;
	c = *client_place(l, peer);
	return c != NULL && c->njobs - c->finished >= l->max_per_client;
}

/* Known hosts. */

static struct known *known_slot(const struct limits *l, const struct addr *peer, uint64_t *hash)
{
	struct addr host = *peer;

	addr_set_port(&host, 0);
	*hash = addr_hash(&host, l->server->exchange.sessions.seed) | 1;
	return &l->known[(*hash >> 1) % LIMIT_KNOWN];
}

static void make_known(const struct limits *l, const struct addr *peer, mono_t now)
{
	uint64_t hash;
	struct known *k = known_slot(l, peer, &hash);

	if (k->host != hash)
		*k = (struct known){.host = hash};
	k->proved = now;
}

/* Counts the asking. */
static bool is_known(const struct limits *l, const struct addr *peer, mono_t now)
{
	uint64_t hash;
	struct known *k = known_slot(l, peer, &hash);

	if (k->host != hash || now - k->proved > LIMIT_KNOWN_FOR)
		return false;
	if (now - k->second > MONO_SEC) {
		k->second = now;
		k->asked = 0;
	}
	return ++k->asked <= LIMIT_KNOWN_ASKS;
}

/* Places. */

static void list_init(struct job_list *list)
{
	list->last = &list->first;
}

static void list_add(struct job_list *list, struct job *j)
{
	j->list = list;
	j->list_next = NULL;
	j->list_link = list->last;
	*list->last = j;
	list->last = &j->list_next;
	list->n++;
}

static void list_leave(struct job *j)
{
	struct job_list *list = j->list;

	if (list == NULL)
		return;
	*j->list_link = j->list_next;
	if (j->list_next != NULL)
		j->list_next->list_link = j->list_link;
	else
		list->last = j->list_link;
	j->list = NULL;
	list->n--;
}

/* A finished upload that can go; not while its last ACK waits for room in the socket. */
static struct job *finished_job(const struct limits *l)
{
	struct job *j = l->finished.first;

	return j != NULL && !j->session.waits ? j : NULL;
}

/* When the oldest transfer whose peer has never answered has had the time that an answer needs. */
static mono_t evict_at(const struct limits *l)
{
	if (finished_job(l) != NULL)
		return 0;
	return l->unproven.first != NULL ? transfer_started(&l->unproven.first->session.transfer) + LIMIT_UNANSWERED :
	    MONO_NEVER;
}

/*
 * It gives up its place then: requests from forged addresses cannot shut out clients that are there. Before that goes a
 * finished upload, which is only in the way of others in case that our last ACK was lost.
 */
bool limit_make_room(struct limits *l, mono_t now)
{
	struct job *finished = finished_job(l);
	struct session *session;

	if (now < evict_at(l))
		return false;
	session = &(finished != NULL ? finished : l->unproven.first)->session;
	if (finished == NULL) {
		l->evicted++;
		l->evicted_at = now;
	}
	transfer_abandon(&session->transfer, finished != NULL ? "" : "no answer so far, and others need the place", now);
	session_pump(session, now);
	return true;
}

static bool has_place(struct limits *l, mono_t now)
{
	return l->server->njobs < l->max_transfers || limit_make_room(l, now);
}

/* Somebody who waits may have a turn: at once, but not from in here. */
static void wake_queue(struct limits *l)
{
	if (l->nwaiting > 0)
		loop_timer_set(&l->server->loop, &l->queue_timer, 0);
}

void limit_job_runs(struct limits *l, struct job *j)
{
	list_add(&l->unproven, j);
}

void limit_proved(struct session *s, mono_t now)
{
	struct job *j = (struct job *)s;
	struct limits *l = &j->server->limits;

	make_known(l, &s->peer, now);
	list_leave(j);
	wake_queue(l);
}

void limit_finished(struct session *s)
{
	struct job *j = (struct job *)s;
	struct limits *l = &j->server->limits;

	list_leave(j);
	list_add(&l->finished, j);
	if (j->client != NULL)
		j->client->finished++;
	wake_queue(l);
}

int limit_job_begins(struct limits *l, struct job *j)
{
	if (limit_paces(l)) {
		j->paced = calloc(1, sizeof(*j->paced));
		if (j->paced == NULL)
			return -ENOMEM;
		j->paced->job = j;
	}
	if (l->clients != NULL) {
		j->client = client_get(l, &j->session.peer);
		if (j->client == NULL)
			return -ENOMEM;
		j->client->njobs++;
	}
	return 0;
}

void limit_job_ends(struct limits *l, struct job *j)
{
	if (j->paced != NULL) {
		pacer_leave(&l->pacer, &j->paced->node);
		if (j->client != NULL)
			pacer_leave(&j->client->pacer, &j->paced->client_node);
		free(j->paced);
	}
	if (j->client != NULL) {
		j->client->finished -= j->list == &l->finished;
		client_put(l, j->client);
	}
	list_leave(j);
	wake_queue(l);
}

/* The queue. */

static struct waiting **waiting_bucket(const struct limits *l, const struct addr *peer)
{
	return &l->by_peer[addr_hash(peer, l->server->exchange.sessions.seed) % LIMIT_BUCKETS];
}

static struct waiting *waiting_find(const struct limits *l, const struct addr *peer)
{
	struct waiting *w = *waiting_bucket(l, peer);

	while (w != NULL && !addr_equal(&w->datagram.from, peer))
		w = w->same_bucket;
	return w;
}

/* Take it out; `place` is what points at it in the queue. */
static void waiting_unlink(struct limits *l, struct waiting **place)
{
	struct waiting *w = *place, **b = waiting_bucket(l, &w->datagram.from);

	*place = w->next;
	if (l->last == &w->next)
		l->last = place;
	while (*b != w)
		b = &(*b)->same_bucket;
	*b = w->same_bucket;
	l->nwaiting--;
}

/*
 * Its client repeats it after a while of its own accord: one that does not fit is only dropped. Known hosts go to the
 * front, and there is room for them behind a crowd of strangers.
 */
static void queue_add(struct limits *l, struct endpoint *listener, const struct udp_datagram *d, bool known, mono_t now)
{
	bool flood = l->evicted > 0 && now - l->evicted_at < MONO_SEC;
	size_t most = known ? LIMIT_QUEUE : flood ? LIMIT_QUEUE_FLOOD : LIMIT_QUEUE_STRANGERS;
	struct waiting *w = NULL, **b = waiting_bucket(l, &d->from);

	if (waiting_find(l, &d->from) != NULL)
		return;
	if (l->nwaiting < most && d->len <= LIMIT_REQUEST)
		w = malloc(sizeof(*w) + d->len);
	if (w == NULL) {
		l->dropped++;
		if (limit_may_log(l, LIMIT_LINE_STRANGER, now))
			request_log_dropped(l->server, d);
		return;
	}
	l->queued++;
	*w = (struct waiting){.listener = listener, .datagram = *d, .until = now + LIMIT_WAIT, .same_bucket = *b};
	memcpy(w->bytes, d->buf, d->len);
	w->datagram.buf = w->bytes;
	*b = w;
	w->next = known ? l->first : NULL;
	*(known ? &l->first : l->last) = w;
	if (w->next == NULL)
		l->last = &w->next;
	if (l->nwaiting++ == 0)
		loop_timer_set(&l->server->loop, &l->queue_timer, now + LOOK_AGAIN);
}

static bool has_turn(struct limits *l, mono_t now)
{
	if (l->turn != now) {
		l->turn = now;
		l->turn_left = l->server->njobs > l->unproven.n ? LIMIT_TURN_SHARED : LIMIT_TURN;
	}
	return l->turn_left > 0;
}

/* When to look at the queue again: there may be a turn, or somebody to make room. */
static mono_t look_again(struct limits *l, mono_t now)
{
	mono_t at = evict_at(l);

	if (l->behind && (l->turn == now && l->turn_left == 0))
		return now + 1;
	return l->behind && at < now + LOOK_AGAIN ? at : now + LOOK_AGAIN;
}

/* Serve those there is a place for, in the order in which they came; refuse those that have waited long enough. */
static void queue_fired(struct loop_timer *t, mono_t now)
{
	struct limits *l = (struct limits *)((char *)t - offsetof(struct limits, queue_timer));
	struct waiting **place = &l->first;

	l->behind = false;
	while (*place != NULL) {
		struct waiting *w = *place;
		bool full = client_is_full(l, &w->datagram.from), room = !full && has_turn(l, now) && has_place(l, now);

		if (!room && (now < w->until || !has_turn(l, now))) {
			/* Only its own client's limit is no reason for the next one to wait. */
			if (!full || !has_turn(l, now)) {
				l->behind = true;
				break;
			}
			place = &w->next;
			continue;
		}
		l->turn_left--;
		waiting_unlink(l, place);
		request_waited(l->server, w->listener, &w->datagram, room, now);
		free(w);
	}
	if (l->nwaiting > 0)
		loop_timer_set(&l->server->loop, t, look_again(l, now));
}

void limit_forget(struct limits *l)
{
	l->behind = false;
	while (l->first != NULL) {
		struct waiting *w = l->first;

		waiting_unlink(l, &l->first);
		free(w);
	}
}

bool limit_admit(struct limits *l, struct endpoint *listener, const struct udp_datagram *d, mono_t now)
{
	bool full = client_is_full(l, &d->from), known = is_known(l, &d->from, now);

	if (!full && (known || (!l->behind && has_turn(l, now))) && has_place(l, now)) {
		l->turn_left -= l->turn_left > 0;
		return true;
	}
	queue_add(l, listener, d, known, now);
	if (!full && !l->behind && l->nwaiting > 0) {
		l->behind = true;
		loop_timer_set(&l->server->loop, &l->queue_timer, look_again(l, now));
	}
	return false;
}

/* Rates. */

bool limit_paces(const struct limits *l)
{
	return l->pacer.rate != 0 || l->rate_per_client != 0;
}

static void client_go(struct pacer_node *node, mono_t now)
{
	struct paced *p = (struct paced *)((char *)node - offsetof(struct paced, client_node));

	p->client_passed = true;
	session_release(&p->job->session, now);
}

static void go(struct pacer_node *node, mono_t now)
{
	struct paced *p = (struct paced *)((char *)node - offsetof(struct paced, node));

	p->passed = true;
	session_release(&p->job->session, now);
}

/* First its client's turn, then everybody's. */
size_t limit_allow(struct session *s, mono_t now)
{
	struct job *j = (struct job *)s;
	struct limits *l = &j->server->limits;
	struct paced *p = j->paced;
	size_t n = PACKET_MAX;

	if (l->rate_per_client != 0) {
		if (!p->client_passed)
			p->client_passed = pacer_enter(&j->client->pacer, &p->client_node, now);
		if (!p->client_passed)
			return 0;
		n = pacer_quantum(&j->client->pacer);
	}
	if (l->pacer.rate != 0) {
		size_t share = pacer_quantum(&l->pacer);

		if (!p->passed)
			p->passed = pacer_enter(&l->pacer, &p->node, now);
		if (!p->passed)
			return 0;
		n = share < n ? share : n;
	}
	return n;
}

void limit_moved(struct session *s, size_t bytes, mono_t now)
{
	struct job *j = (struct job *)s;
	struct limits *l = &j->server->limits;

	if (l->rate_per_client != 0)
		pacer_charge(&j->client->pacer, &j->paced->client_node, bytes, now);
	if (l->pacer.rate != 0)
		pacer_charge(&l->pacer, &j->paced->node, bytes, now);
	j->paced->client_passed = j->paced->passed = false;
}

/* Log lines. */

static void budget_refill(struct budget *b, mono_t now)
{
	mono_t earned = (now - b->at) / (MONO_SEC / b->per_second);

	if (earned <= 0)
		return;
	b->left = earned >= b->most - b->left ? b->most : b->left + (unsigned)earned;
	b->at += earned * (MONO_SEC / b->per_second);
}

static void log_fired(struct loop_timer *t, mono_t now)
{
	static const char *const whose[LIMIT_LINES] = {
		[LIMIT_LINE_STRANGER] = "requests that were refused or came to nothing",
		[LIMIT_LINE_CLIENT] = "transfers",
	};
	struct limits *l = (struct limits *)((char *)t - offsetof(struct limits, log_timer));

	(void)now;
	for (size_t i = 0; i < LIMIT_LINES; i++) {
		if (l->lines[i].left_out > 0)
			log_line(&l->server->log, LOG_LEVEL_WARNING, "left out %llu lines about %s: too many in a second",
			    (unsigned long long)l->lines[i].left_out, whose[i]);
		l->lines[i].left_out = 0;
	}
}

bool limit_may_log(struct limits *l, enum limit_line line, mono_t now)
{
	struct budget *b = &l->lines[line];

	if (b->left == 0)
		budget_refill(b, now);
	if (b->left > 0) {
		/* Time that was not used before the first line of a burst counts, up to a full budget. */
		if (b->left == b->most)
			b->at = now;
		b->left--;
		return true;
	}
	b->left_out_ever++;
	if (b->left_out++ == 0)
		loop_timer_set(&l->server->loop, &l->log_timer, now + MONO_SEC);
	return false;
}

/* Forged addresses. */

static size_t ip_bytes(const struct addr *peer, size_t payload)
{
	return (peer->sa.sa_family == AF_INET6 ? 40 : 20) + 8 + payload;
}

/*
 * As IP packets; but two are always sent, because the first may be lost: as Ethernet frames, of which a request fills 60
 * bytes at least, two blocks of 512 bytes are 19 times the shortest request.
 */
unsigned limit_tries(const struct udp_datagram *request, size_t answer, unsigned copies, unsigned most)
{
	size_t allowed = LIMIT_AMPLIFICATION * ip_bytes(&request->from, request->len) - 1;
	size_t tries = allowed / (ip_bytes(&request->from, answer) * copies);

	return tries >= most ? most : tries > 2 ? (unsigned)tries : 2;
}

/* What the kernel dropped. */

void limit_drops(struct limits *l, struct endpoint *listener, mono_t now)
{
	uint32_t news = listener->udp.drops - listener->udp.drops_told;

	if (news == 0 || !limit_may_log(l, LIMIT_LINE_STRANGER, now))
		return;
	listener->udp.drops_told = listener->udp.drops;
	l->kernel_drops += news;
	log_line(&l->server->log, LOG_LEVEL_WARNING,
	    "the kernel dropped %u datagrams before they were read: too many at once for the receive buffer (net.core.rmem_max)",
	    news);
}

/* Life. */

int limit_init(struct limits *l, struct server *s)
{
	const struct config *c = s->config;

	*l = (struct limits){
		.server = s,
		.max_per_client = c->max_per_client,
		.rate_per_client = c->rate_per_client,
		.lines = {
			[LIMIT_LINE_STRANGER] = {.most = 1000, .left = 1000, .per_second = 100},
			[LIMIT_LINE_CLIENT] = {.most = 5000, .left = 5000, .per_second = 1000},
		},
	};
	l->last = &l->first;
	list_init(&l->unproven);
	list_init(&l->finished);
	l->by_peer = calloc(LIMIT_BUCKETS, sizeof(*l->by_peer));
	l->known = calloc(LIMIT_KNOWN, sizeof(*l->known));
	if (l->by_peer == NULL || l->known == NULL)
		return -ENOMEM;
	if (c->max_per_client != 0 || c->rate_per_client != 0) {
		l->clients = calloc(LIMIT_BUCKETS, sizeof(*l->clients));
		if (l->clients == NULL)
			return -ENOMEM;
	}
	loop_timer_init(&l->queue_timer, queue_fired);
	loop_timer_init(&l->log_timer, log_fired);
	if (c->rate != 0)
		pacer_init(&l->pacer, &s->loop, c->rate, go);
	limit_transfers(l);
	return 0;
}

void limit_free(struct limits *l)
{
	if (l->server == NULL)
		return;
	limit_forget(l);
	/* What was left out last still has to be said. */
	log_fired(&l->log_timer, 0);
	loop_timer_clear(&l->server->loop, &l->queue_timer);
	loop_timer_clear(&l->server->loop, &l->log_timer);
	if (l->pacer.rate != 0)
		pacer_free(&l->pacer);
	free(l->clients);
	free(l->by_peer);
	free(l->known);
}
