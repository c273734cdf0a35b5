/* The running server: jobs from their first packet to their log line, and an orderly end. */
#include "server.h"

#include "listen.h"
#include "request.h"
#include "stats.h"

#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long running transfers may go on after SIGTERM. */
#define STOP_GRACE (4 * MONO_SEC)

/* The log line of a transfer. */

static const char *words(const struct job *j, const struct transfer_result *r)
{
	switch (r->outcome) {
	case TRANSFER_DONE:
		return j->write ? "received" : "sent";
	case TRANSFER_PROBED:
		return "probed";
	case TRANSFER_RUNNING:
	case TRANSFER_PEER_ERROR:
	case TRANSFER_FAILED:
	case TRANSFER_TIMED_OUT:
	case TRANSFER_UNREACHABLE:
		break;
	}
	return j->write ? "failed write" : "failed read";
}

static void log_options(struct log_event *e, const struct option_set *granted)
{
	char text[256];
	size_t len = 0;

	if (granted->n == 0)
		return;
	for (unsigned i = 0; i < granted->n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s:%llu", i > 0 ? "," : "",
		    options_name(granted->order[i]), (unsigned long long)granted->value[granted->order[i]]);
	log_text(e, "options", text);
}

/* It agreed on options, and then not one block of that size has arrived. */
static bool blocks_too_large(const struct job *j, const struct transfer_result *r)
{
	const struct transfer *t = &j->session.transfer;

	return !j->write && r->bytes == 0 && transfer_proved(t) && transfer_terms(t)->blksize > PACKET_BLKSIZE;
}

/* What an administrator can look for where nothing ever came from the client, which has said nothing else. */
static const char *unanswered(const struct config *c)
{
	return c->single_port ? "is the client gone, or does a firewall drop the answers?" :
	    "is the client gone, or does a firewall drop what comes from a new port? (--single-port, --port-range)";
}

static void log_reason(struct log_event *e, const struct job *j, const struct transfer_result *r)
{
	switch (r->outcome) {
	case TRANSFER_RUNNING:
	case TRANSFER_DONE:
		return;
	case TRANSFER_PROBED:
	case TRANSFER_PEER_ERROR:
		log_u64(e, "code", r->code);
		log_text(e, "peer-said", r->text);
		return;
	case TRANSFER_UNREACHABLE:
		log_text(e, "reason", r->text);
		log_text(e, "detail", strerror(r->code));
		return;
	case TRANSFER_FAILED:
	case TRANSFER_TIMED_OUT:
		log_text(e, "reason", r->text);
		if (r->store_error > -4096 && r->store_error < 0)
			log_text(e, "detail", strerror(-r->store_error));
		else if (r->outcome == TRANSFER_TIMED_OUT && blocks_too_large(j, r))
			log_text(e, "detail", "no block came through: is there a smaller MTU on the way? (--blocksize)");
		else if (r->outcome == TRANSFER_TIMED_OUT && !transfer_proved(&j->session.transfer))
			log_text(e, "detail", unanswered(j->server->config));
		return;
	}
}

static void log_verdict(const struct job *j, const struct transfer_result *r, mono_t now)
{
	struct server *s = j->server;
	double seconds = (double)(r->ended - r->started) / MONO_SEC;
	char peer[ADDR_TEXT];
	struct log_event e;

	log_begin(&e, &s->log, r->outcome == TRANSFER_PROBED ? logs_probed(&s->logs, now) : LOG_LEVEL_INFO, words(j, r));
	log_text(&e, "file", j->name);
	log_text(&e, "peer", addr_print(&j->session.peer, peer));
	log_u64(&e, "bytes", r->bytes);
	log_fixed(&e, "seconds", seconds, 3, "");
	if (seconds > 0)
		log_fixed(&e, "rate", (double)r->bytes / seconds / 1e6, 2, "MB/s");
	if (transfer_rtt(&j->session.transfer) > 0)
		log_fixed(&e, "rtt", (double)transfer_rtt(&j->session.transfer) / MONO_MS, 3, "ms");
	log_u64(&e, "resent", r->resent);
	if (j->text)
		log_text(&e, "mode", "netascii");
	log_options(&e, &j->granted);
	log_reason(&e, j, r);
	log_end(&e);
}

static void count_verdict(struct server *s, const struct job *j, const struct transfer_result *r)
{
	if (r->outcome == TRANSFER_PROBED) {
		s->counters.probed++;
	} else if (r->outcome != TRANSFER_DONE) {
		s->counters.failed++;
	} else if (j->write) {
		s->counters.received++;
		s->counters.bytes_received += r->bytes;
	} else {
		s->counters.sent++;
		s->counters.bytes_sent += r->bytes;
	}
}

/* Jobs. */

static struct job *job_of(struct session *s)
{
	return (struct job *)((char *)s - offsetof(struct job, session));
}

static void job_verdict(struct session *session, const struct transfer_result *r, mono_t now)
{
	struct job *j = job_of(session);

	count_verdict(j->server, j, r);
	if (!j->write && r->outcome == TRANSFER_DONE)
		logs_served(&j->server->logs, &session->peer);
	if (j->write && r->outcome == TRANSFER_DONE)
		limit_finished(session);
	if (limit_may_log(&j->server->limits, transfer_proved(&session->transfer) ? LIMIT_LINE_CLIENT : LIMIT_LINE_STRANGER,
	    now))
		log_verdict(j, r, now);
}

static void job_over(struct session *session, mono_t now)
{
	struct job *j = job_of(session);
	struct server *s = j->server;

	s->last_work = now;
	session_detach(session);
	if (session->endpoint == &j->endpoint)
		endpoint_close(&j->endpoint);
	job_drop(j);
	notify_running(&s->notify, s->njobs, now);
	if (s->stopping && s->njobs == 0)
		loop_stop(&s->loop);
}

/*
 * A rack that boots fills the link with everybody's first window, before anybody's round trip is known but the
 * handshake's: what waits in line is not lost, and sent again it makes the line longer. A window of eight blocks is on a
 * gigabit's line for this long. Nobody is sent a window before he has answered: forged requests are no crowd.
 */
#define WINDOW_ON_LINE (100 * MONO_US)

static void count_crowd(struct server *s)
{
	s->policy.crowd = s->policy_short.crowd = (mono_t)(s->njobs - s->limits.unproven.n) * WINDOW_ON_LINE;
}

static void job_proved(struct session *session, mono_t now)
{
	limit_proved(session, now);
	count_crowd(job_of(session)->server);
}

static const struct session_ops job_ops = {.proved = job_proved, .verdict = job_verdict, .over = job_over};
static const struct session_ops paced_ops = {
	.proved = job_proved, .verdict = job_verdict, .over = job_over, .allow = limit_allow, .moved = limit_moved,
};

static const struct session_ops *ops_for(const struct server *s)
{
	return limit_paces(&s->limits) ? &paced_ops : &job_ops;
}

struct job *job_new(struct server *s, const char *name, bool write, bool text)
{
	size_t len = strlen(name) + 1;
	struct job *j = malloc(sizeof(*j) + len);

	if (j == NULL)
		return NULL;
	memset(j, 0, sizeof(*j));
	memcpy(j->name, name, len);
	j->server = s;
	j->write = write;
	j->text = text;
	return j;
}

void job_drop(struct job *j)
{
	transfer_free(&j->session.transfer);
	limit_job_ends(&j->server->limits, j);
	if (j->link != NULL) {
		*j->link = j->next;
		if (j->next != NULL)
			j->next->link = j->link;
		j->server->njobs--;
		count_crowd(j->server);
	}
	free(j);
}

static void link_job(struct server *s, struct job *j)
{
	j->next = s->jobs;
	j->link = &s->jobs;
	if (j->next != NULL)
		j->next->link = &j->next;
	s->jobs = j;
	s->njobs++;
	limit_job_runs(&s->limits, j);
	count_crowd(s);
}

static void own_address(struct addr *local, const struct endpoint *listener, const struct udp_datagram *d)
{
	memset(local, 0, sizeof(*local));
	if (d->to.sa.sa_family != AF_UNSPEC)
		*local = d->to;
	else
		local->sa.sa_family = (sa_family_t)listener->udp.family;
	addr_set_port(local, 0);
}

/*
 * A socket for one transfer. With --port-range the ports are handed out in turn, so that one that has just become free
 * rests the longest before somebody else's late packets can reach it.
 */
static int open_own(struct server *s, struct udp *u, struct addr *local)
{
	const struct config *c = s->config;
	unsigned n = c->port_lo != 0 ? c->port_hi - c->port_lo + 1u : 1;
	int err = -EADDRINUSE;

	for (unsigned i = 0; i < n && err == -EADDRINUSE; i++) {
		if (c->port_lo != 0)
			addr_set_port(local, (uint16_t)(c->port_lo + s->next_port++ % n));
		err = udp_open(u, local, false, c->without);
	}
	return err;
}

/* A port of its own: the TID of RFC 1350. */
static int start_own(struct job *j, struct endpoint *listener, const struct udp_datagram *d)
{
	struct server *s = j->server;
	struct addr local;
	int err;

	own_address(&local, listener, d);
	err = open_own(s, &j->endpoint.udp, &local);
	if (err != 0)
		return err;
	if (j->write)
		udp_coalesce(&j->endpoint.udp, s->config->without);
	err = endpoint_add(&j->endpoint, &s->exchange, request_stranger, s);
	/* One window's ACK at a time is all that comes back from a reader. */
	j->endpoint.batch = j->write ? UDP_BATCH : 1;
	if (err == 0)
		err = session_attach(&j->session, &j->endpoint, true, true, ops_for(s));
	if (err != 0) {
		loop_fd_del(&s->loop, &j->endpoint.io);
		udp_close(&j->endpoint.udp);
	}
	return err;
}

int job_start(struct job *j, struct endpoint *listener, const struct udp_datagram *d, mono_t now)
{
	struct server *s = j->server;
	struct session *session = &j->session;
	int err;

	session->peer = d->from;
	session->local = d->to;
	session->ifindex = d->ifindex;
	session->relaxed = s->config->relaxed_peer;
	err = limit_job_begins(&s->limits, j);
	if (err != 0)
		;
	else if (s->config->single_port)
		err = session_attach(session, listener, false, true, ops_for(s));
	else
		err = start_own(j, listener, d);
	/* Every port of --port-range: forged requests must not keep them from clients that are there. */
	if (err == -EADDRINUSE && limit_make_room(&s->limits, now))
		err = start_own(j, listener, d);
	if (err != 0) {
		job_drop(j);
		return err;
	}
	link_job(s, j);
	notify_running(&s->notify, s->njobs, now);
	session_pump(session, now);
	return 0;
}

/* Patience, block size. */

const struct transfer_policy *server_policy(const struct server *s, const struct udp_datagram *d, size_t answer)
{
	unsigned tries = limit_tries(d, answer, 1 + s->config->duplicate, s->policy.tries);

	return tries < s->policy.tries ? &s->policy_short : &s->policy;
}

static uint32_t ask_mtu(unsigned ifindex)
{
	struct ifreq req = {.ifr_mtu = 0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (fd < 0)
		return 0;
	ok = if_indextoname(ifindex, req.ifr_name) != NULL && ioctl(fd, SIOCGIFMTU, &req) == 0;
	close(fd);
	return ok && req.ifr_mtu > 0 ? (uint32_t)req.ifr_mtu : 0;
}

static uint32_t interface_mtu(struct server *s, unsigned ifindex, mono_t now)
{
	size_t at = ifindex % SERVER_MTU_CACHE;

	if (s->mtus[at].ifindex != ifindex || now - s->mtus[at].asked > MONO_SEC) {
		s->mtus[at].ifindex = ifindex;
		s->mtus[at].mtu = ask_mtu(ifindex);
		s->mtus[at].asked = now;
	}
	return s->mtus[at].mtu;
}

/* What the routing table says, and what routers have told the kernel about this peer; 0: nothing. */
static uint32_t ask_path(struct server *s, const struct addr *peer)
{
	bool v6 = peer->sa.sa_family == AF_INET6;
	int *fd = &s->path_fd[v6], mtu = 0;
	socklen_t len = sizeof(mtu);

	if (*fd <= 0)
		*fd = socket(peer->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (*fd < 0 || connect(*fd, &peer->sa, addr_len(peer)) != 0)
		return 0;
	if (getsockopt(*fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &len) != 0 || mtu < 0)
		return 0;
	return (uint32_t)mtu;
}

static uint32_t path_mtu(struct server *s, const struct addr *peer, mono_t now)
{
	struct addr host = *peer;
	size_t at;

	addr_set_port(&host, 0);
	at = addr_hash(&host, s->exchange.sessions.seed) % SERVER_PATH_CACHE;
	if (!addr_same_host(&s->paths[at].peer, peer) || now - s->paths[at].asked > MONO_SEC) {
		s->paths[at].peer = *peer;
		s->paths[at].mtu = ask_path(s, peer);
		s->paths[at].asked = now;
	}
	return s->paths[at].mtu;
}

uint32_t server_blksize(struct server *s, const struct udp_datagram *d, mono_t now)
{
	/* IP header, UDP header, TFTP header. */
	uint32_t headers = d->from.sa.sa_family == AF_INET6 ? 52 : 32, mtu, path;

	if (s->config->blksize_max != 0)
		return s->config->blksize_max;
	mtu = d->ifindex != 0 ? interface_mtu(s, d->ifindex, now) : 1500;
	path = path_mtu(s, &d->from, now);
	if (path != 0 && path < mtu)
		mtu = path;
	if (mtu < headers + PACKET_BLKSIZE)
		return PACKET_BLKSIZE;
	return mtu - headers < BLKSIZE_MAX ? mtu - headers : BLKSIZE_MAX;
}

/* Life. */

static void end_jobs(struct server *s, mono_t now)
{
	while (s->jobs != NULL) {
		struct job *j = s->jobs;

		transfer_cancel(&j->session.transfer, ERROR_UNDEFINED, "the server is shutting down", now);
		if (transfer_verdict(&j->session.transfer)->outcome == TRANSFER_DONE)
			transfer_abandon(&j->session.transfer, "", now);
		session_pump(&j->session, now);
		/* A full socket keeps a session alive for its ERROR; there is no time for that now. */
		if (s->jobs == j) {
			transfer_abandon(&j->session.transfer, "", now);
			session_pump(&j->session, now);
		}
	}
}

static void stop_now(struct loop_timer *t, mono_t now)
{
	struct server *s = (struct server *)((char *)t - offsetof(struct server, stop_timer));

	end_jobs(s, now);
	loop_stop(&s->loop);
}

/* A finished upload that waits for a repeated last block is no reason to stay. */
static void end_finished(struct server *s, mono_t now)
{
	struct job *next;

	for (struct job *j = s->jobs; j != NULL; j = next) {
		next = j->next;
		if (transfer_verdict(&j->session.transfer) == NULL)
			continue;
		transfer_abandon(&j->session.transfer, "", now);
		session_pump(&j->session, now);
	}
}

/* The rules of --map-file. What is wrong with them is said, and those that were read before stay in force. */
static bool reload_rules(struct server *s)
{
	char error[CONFIG_ERROR_MAX];

	if (s->config->map_file == NULL)
		return true;
	if (names_reload(&s->names, error) != 0) {
		log_line(&s->log, LOG_LEVEL_ERROR, "%s; the old rules stay in force", error);
		return false;
	}
	log_line(&s->log, LOG_LEVEL_NOTICE, "read %zu rules from %s again", remap_count(s->names.rules), s->config->map_file);
	return true;
}

/* The same for the files of --allow, --deny and --allow-write. */
static bool reload_lists(struct server *s)
{
	char error[CONFIG_ERROR_MAX];

	if (s->config->nlist_files == 0)
		return true;
	if (lists_reload(&s->lists, error) != 0) {
		log_line(&s->log, LOG_LEVEL_ERROR, "%s; the old lists stay in force", error);
		return false;
	}
	log_line(&s->log, LOG_LEVEL_NOTICE, "read the access lists again, %zu networks in all", s->lists.access.n);
	return true;
}

/* inetd and systemd start us again when somebody asks. */
static void idle(struct loop_timer *t, mono_t now)
{
	struct server *s = (struct server *)((char *)t - offsetof(struct server, idle_timer));

	if (s->njobs > 0)
		s->last_work = now;
	if (now - s->last_work < s->config->idle) {
		loop_timer_set(&s->loop, t, s->last_work + s->config->idle);
		return;
	}
	log_line(&s->log, LOG_LEVEL_NOTICE, "nothing to do for %lld seconds, ending", (long long)(s->config->idle / MONO_SEC));
	loop_stop(&s->loop);
}

/* How often interfaces are looked at. */
#define WATCH (2 * MONO_SEC)

/* What is still to come will have an interface, perhaps. Where there is neither, nothing wakes an idle server. */
static void watch_on(struct server *s, mono_t now)
{
	if (listen_watches(s) || s->listen_missing != 0)
		loop_timer_set(&s->loop, &s->watch_timer, now + WATCH);
}

/* Whoever started us may start us again, with the rights that we have given up. */
static void watch(struct loop_timer *t, mono_t now)
{
	struct server *s = (struct server *)((char *)t - offsetof(struct server, watch_timer));

	if (s->stopping)
		return;
	if (!listen_watch(s)) {
		s->failed = true;
		stop_now(&s->stop_timer, now);
		return;
	}
	watch_on(s, now);
}

/* Read again what is in files, the log being one. Whatever is wrong with one of them, the service goes on. */
static void reload(struct server *s, mono_t now)
{
	bool well;
	int err;

	notify_reloading(&s->notify, now);
	err = log_reopen(&s->log);
	if (err != 0)
		log_line(&s->log, LOG_LEVEL_ERROR, "cannot open the log file anew: %s; the old one stays in use", strerror(-err));
	well = reload_rules(s);
	well &= reload_lists(s);
	if (well && err == 0)
		log_line(&s->log, LOG_LEVEL_NOTICE, "reloaded");
	notify_ready(&s->notify, s->notify.what, now);
}

static void stop(struct server *s, int signo, mono_t now)
{
	notify_stopping(&s->notify);
	logs_sum_up(&s->logs);
	end_finished(s, now);
	log_line(&s->log, LOG_LEVEL_NOTICE, "stopping on %s, %zu transfers running", strsignal(signo), s->njobs);
	/* With --single-port the running transfers still need it; request_arrived takes no more. */
	limit_forget(&s->limits);
	if (!s->config->single_port)
		listen_close(s);
	/* Somebody at a terminal, or asking a second time, does not want to wait. */
	if (signo == SIGINT || s->stopping || s->njobs == 0) {
		stop_now(&s->stop_timer, now);
		return;
	}
	s->stopping = true;
	loop_timer_set(&s->loop, &s->stop_timer, now + STOP_GRACE);
}

static void on_signal(struct loop *l, int signo, mono_t now)
{
	struct server *s = (struct server *)((char *)l - offsetof(struct server, loop));

	if (signo == SIGHUP)
		reload(s, now);
	else if (signo == SIGUSR1)
		stats_log(s, now);
	else
		stop(s, signo, now);
}

int server_init(struct server *s, const struct config *config, const struct log *log)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
	uint64_t seed;
	int err;

	s->config = config;
	s->log = *log;
	s->policy = (struct transfer_policy){
		.first = config->first,
		.give_up = config->give_up,
		.tries = config->tries,
		.dally_min = MONO_SEC,
		.dally_max = 5 * MONO_SEC,
	};
	s->policy_short = s->policy;
	s->policy_short.tries = 2;
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -EIO;
	loop_init(&s->loop);
	if (config->without & CONFIG_NO_EPOLL)
		s->loop.polled_most = SIZE_MAX;
	loop_timer_init(&s->stop_timer, stop_now);
	loop_timer_init(&s->idle_timer, idle);
	loop_timer_init(&s->watch_timer, watch);
	logs_init(&s->logs, &s->loop, &s->log);
	s->started = mono_now();
	err = notify_init(&s->notify, &s->loop);
	if (err != 0)
		log_line(&s->log, LOG_LEVEL_WARNING, "cannot tell the service manager (NOTIFY_SOCKET): %s", strerror(-err));
	err = exchange_init(&s->exchange, &s->loop, seed, config->without);
	if (err != 0)
		return err;
	s->exchange.copies = config->duplicate;
	s->exchange.sessions.by_host = config->relaxed_peer && config->single_port;
	err = limit_init(&s->limits, s);
	if (err != 0)
		return err;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that grows beyond ulimit -f is EFBIG then */
	return loop_signals(&s->loop, signals, sizeof(signals) / sizeof(signals[0]), on_signal);
}

void server_free(struct server *s)
{
	listen_close(s);
	put_stop(s);
	names_close(&s->names);
	lists_close(&s->lists);
	notify_free(&s->notify);
	for (size_t i = 0; i < 2; i++)
		if (s->path_fd[i] > 0)
			close(s->path_fd[i]);
	limit_free(&s->limits);
	exchange_free(&s->exchange);
	logs_free(&s->logs);
	loop_free(&s->loop);
}

int server_run(struct server *s)
{
	int err;

	s->last_work = mono_now();
	if (s->inherited && s->config->idle > 0)
		loop_timer_set(&s->loop, &s->idle_timer, s->last_work + s->config->idle);
	watch_on(s, s->last_work);
	err = loop_run(&s->loop);
	return err == 0 && s->failed ? -ENODEV : err;
}
