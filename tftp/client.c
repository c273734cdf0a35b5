/*
 * The client's side of a transfer: find the server, open the local file, drive one session to its verdict.
 *
 * The local end is opened before anything is sent, so that a download that could not be stored is not asked for. A
 * download goes to a temporary file; whatever goes wrong, the file that was there stays.
 */
#include "client.h"

#include "endpoint.h"
#include "log.h"
#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 5
#define ADDRESSES 8
#define WINDOW_BYTES 65536
#define WINDOW_MOST 64

struct client {
	const struct client_options *options;
	const struct client_job *job;
	struct client_outcome *out;
	struct loop loop;
	struct exchange *exchange;
	struct endpoint endpoint;
	struct session session;
	struct store_file file;
	uint32_t blksize, windowsize; /* to be offered */
	struct transfer_policy policy;
	struct transfer_request request;
	struct loop_fd input;         /* a pipe that is being sent and had nothing to read */
	int interrupted;              /* the signal that ended it, or 0 */
	bool over;
};

static int say(struct client_outcome *out, enum client_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int say(struct client_outcome *out, enum client_status status, const char *fmt, ...)
{
	va_list ap;

	out->status = status;
	va_start(ap, fmt);
	vsnprintf(out->message, sizeof(out->message), fmt, ap);
	va_end(ap);
	return (int)status;
}

/* A name for a message: anything in it that could move a terminal is escaped. */
struct printable {
	char text[160];
};

static struct printable show(const char *name)
{
	struct printable p;

	log_safe(p.text, sizeof(p.text), name, strlen(name));
	return p;
}

/* ---- the local file ----------------------------------------------------------------------------------------------- */

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/*
 * Where a download goes: into a directory under the file's own name, through a symbolic link to what it points at, so
 * that the link survives.
 */
static int local_target(const struct client_job *job, char path[PATH_MAX])
{
	const char *own = last_component(job->remote);
	struct stat st;
	char real[PATH_MAX];
	int n = snprintf(path, PATH_MAX, "%s", job->local);

	if (n < PATH_MAX && stat(job->local, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (*own == '\0' || strcmp(own, ".") == 0 || strcmp(own, "..") == 0)
			return -EISDIR;
		n = snprintf(path, PATH_MAX, "%s/%s", job->local, own);
	}
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && realpath(path, real) != NULL)
		strcpy(path, real);
	return 0;
}

/* Something there that is no regular file (a terminal, a pipe, /dev/null) is written to as it is. */
static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static int open_sink_file(struct client *c, struct store *store, char path[PATH_MAX])
{
	char *base = strrchr(path, '/');
	struct stat st;
	int dir, err;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return -EISDIR;
	if (stat(path, &st) == 0 && access(path, W_OK) != 0)
		return -errno;
	if (base == NULL) {
		dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		base = path;
	} else {
		*base++ = '\0';
		dir = open(*path != '\0' ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (dir < 0)
		return -errno;
	err = *base == '\0' ? -EISDIR :
	    store_file_sink(&c->file, store, dir, base, 0666, c->options->text, UINT64_MAX, false);
	close(dir);
	return err;
}

static int open_sink(struct client *c, struct store *store)
{
	const char *local = c->job->local;
	char path[PATH_MAX];
	int fd, err;

	if (strcmp(local, "-") == 0) {
		fd = dup(STDOUT_FILENO);
		return fd < 0 ? -errno : store_file_stream(&c->file, store, fd, c->options->text);
	}
	err = local_target(c->job, path);
	if (err != 0)
		return err;
	if (!is_special(path))
		return open_sink_file(c, store, path);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : store_file_stream(&c->file, store, fd, c->options->text);
}

/* Opens the source and learns its size, UINT64_MAX for what has none. */
static int open_source(struct client *c, struct store *store, uint64_t *size)
{
	const char *local = c->job->local;
	struct stat st;
	int fd = strcmp(local, "-") == 0 ? dup(STDIN_FILENO) : open(local, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int err;

	*size = UINT64_MAX;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
		err = S_ISDIR(st.st_mode) ? -EISDIR : -errno;
		close(fd);
		return err;
	}
	/* Standard input may be a file that somebody has read a part of: then it is a stream like any other. */
	if (S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_CUR) == 0)
		*size = (uint64_t)st.st_size;
	return store_file_source(&c->file, store, fd, *size, c->options->text,
	    (size_t)c->blksize * c->windowsize);
}

static int local_failed(struct client *c, int err)
{
	const char *local = strcmp(c->job->local, "-") != 0 ? c->job->local :
	    c->job->write ? "standard input" : "standard output";

	return say(c->out, c->job->write ? CLIENT_READ : CLIENT_WRITE, "cannot %s \"%s\": %s",
	    c->job->write ? "read" : "write", show(local).text, strerror(-err));
}

/* ---- what to ask for ---------------------------------------------------------------------------------------------- */

/* The largest block that the route to the server carries without fragments. */
static uint32_t route_blksize(const struct addr *to)
{
	bool v6 = to->sa.sa_family == AF_INET6;
	uint32_t headers = v6 ? 52 : 32, best = 1432;
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = 0;
	socklen_t len = sizeof(mtu);

	if (fd < 0)
		return best;
	if (connect(fd, &to->sa, addr_len(to)) == 0 &&
	    getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &len) == 0 &&
	    mtu >= (int)(headers + PACKET_BLKSIZE))
		best = (uint32_t)mtu - headers;
	close(fd);
	return best < BLKSIZE_MAX ? best : BLKSIZE_MAX;
}

static void choose_sizes(struct client *c, const struct addr *to)
{
	const struct client_options *o = c->options;

	c->blksize = o->blksize != 0 ? o->blksize : route_blksize(to);
	c->windowsize = o->windowsize;
	if (c->windowsize != 0)
		return;
	c->windowsize = WINDOW_BYTES / c->blksize;
	if (c->windowsize > WINDOW_MOST)
		c->windowsize = WINDOW_MOST;
	if (c->windowsize < 1)
		c->windowsize = 1;
}

static void offer(struct client *c, uint64_t size)
{
	const struct client_options *o = c->options;
	struct option_set *set = &c->request.offered;

	memset(set, 0, sizeof(*set));
	/* A text's size on the wire is not its size on disk. */
	if (!c->job->write)
		options_add(set, OPTION_TSIZE, 0);
	else if (size != UINT64_MAX && !o->text)
		options_add(set, OPTION_TSIZE, size);
	if (c->blksize != PACKET_BLKSIZE)
		options_add(set, OPTION_BLKSIZE, c->blksize);
	if (c->windowsize > 1)
		options_add(set, OPTION_WINDOWSIZE, c->windowsize);
	if (o->timeout != 0)
		options_add(set, OPTION_TIMEOUT, o->timeout);
}

/* ---- the verdict -------------------------------------------------------------------------------------------------- */

static enum client_status status_of_code(uint16_t code)
{
	static const enum client_status of[] = {
		[ERROR_UNDEFINED] = CLIENT_PEER,
		[ERROR_NOT_FOUND] = CLIENT_NOT_FOUND,
		[ERROR_ACCESS] = CLIENT_ACCESS,
		[ERROR_DISK_FULL] = CLIENT_DISK_FULL,
		[ERROR_ILLEGAL] = CLIENT_ILLEGAL,
		[ERROR_UNKNOWN_TID] = CLIENT_UNKNOWN_TID,
		[ERROR_EXISTS] = CLIENT_EXISTS,
		[ERROR_NO_USER] = CLIENT_NO_USER,
		[ERROR_OPTION] = CLIENT_ILLEGAL,
	};

	return code < sizeof(of) / sizeof(of[0]) ? of[code] : CLIENT_PEER;
}

static void failed(struct client *c, const struct transfer_result *r)
{
	struct printable host = show(c->job->host);

	if (r->store_error == STORE_SHRUNK)
		say(c->out, CLIENT_READ, "\"%s\" became shorter while it was being sent", show(c->job->local).text);
	else if (r->store_error != 0)
		local_failed(c, r->store_error);
	else
		say(c->out, CLIENT_ILLEGAL, "gave up on %s: %s", host.text, r->text);
}

static void judge(struct client *c, const struct transfer_result *r)
{
	double seconds = (double)(r->ended - r->started) / MONO_SEC;
	struct printable host = show(c->job->host);

	switch (r->outcome) {
	case TRANSFER_DONE:
		say(c->out, CLIENT_OK, "%llu bytes in %.3f s (%.2f MB/s), %llu resent", (unsigned long long)r->bytes, seconds,
		    seconds > 0 ? (double)r->bytes / seconds / 1e6 : 0, (unsigned long long)r->resent);
		break;
	case TRANSFER_PEER_ERROR:
	case TRANSFER_PROBED:
		say(c->out, status_of_code(r->code), "%s answered for \"%s\": %s (error %u)", host.text,
		    show(c->job->remote).text, show(r->text).text, r->code);
		break;
	case TRANSFER_TIMED_OUT:
		say(c->out, CLIENT_SILENT, r->bytes > 0 ? "%s fell silent after %llu bytes" :
		    "no answer from %s (%llu bytes); is a TFTP server running there, and does a firewall let its replies "
		    "through?", host.text, (unsigned long long)r->bytes);
		break;
	case TRANSFER_UNREACHABLE:
		say(c->out, CLIENT_REFUSED, "cannot reach a TFTP server on %s: %s", host.text, strerror(r->code));
		break;
	case TRANSFER_RUNNING:
	case TRANSFER_FAILED:
		failed(c, r);
		break;
	}
	if (c->interrupted != 0)
		say(c->out, CLIENT_INTERRUPTED, "interrupted");
}

static struct client *client_of(struct session *s)
{
	return (struct client *)((char *)s - offsetof(struct client, session));
}

static void on_verdict(struct session *s, const struct transfer_result *r, mono_t now)
{
	(void)now;
	judge(client_of(s), r);
}

static void on_over(struct session *s, mono_t now)
{
	(void)now;
	client_of(s)->over = true;
}

static const struct session_ops client_ops = {.verdict = on_verdict, .over = on_over};

/* ---- running ------------------------------------------------------------------------------------------------------ */

static void on_signal(struct loop *l, int signo, mono_t now)
{
	struct client *c = (struct client *)((char *)l - offsetof(struct client, loop));

	c->interrupted = signo;
	transfer_cancel(&c->session.transfer, ERROR_UNDEFINED, "interrupted by the user", now);
	session_pump(&c->session, now);
}

/* A pipe we send from has something again. */
static void input_ready(struct loop_fd *h, short revents, mono_t now)
{
	struct client *c = (struct client *)((char *)h - offsetof(struct client, input));

	(void)revents;
	loop_fd_del(&c->loop, h);
	transfer_wake(&c->session.transfer, now);
	session_pump(&c->session, now);
}

static void run_loop(struct client *c)
{
	while (!c->over) {
		if (transfer_blocked(&c->session.transfer) && c->input.index == LOOP_UNSET)
			loop_fd_add(&c->loop, &c->input, c->file.fd, POLLIN, input_ready);
		if (loop_once(&c->loop, MONO_NEVER) != 0)
			break;
	}
	loop_fd_del(&c->loop, &c->input);
}

/* Take over the store, ask `to`, and stay until it is over. */
static void converse(struct client *c, const struct addr *to, const struct store *store)
{
	struct addr any = {.sa.sa_family = to->sa.sa_family};
	mono_t now = c->loop.clock();
	int err;

	memset(&c->session, 0, sizeof(c->session));
	c->session.peer = *to;
	c->session.any_port = true;
	c->over = false;
	if (c->job->write)
		transfer_put(&c->session.transfer, store, &c->request, &c->policy, now);
	else
		transfer_get(&c->session.transfer, store, &c->exchange->gather, &c->request, &c->policy, now);
	err = udp_open(&c->endpoint.udp, &any, false, c->options->without);
	if (err == 0 && !c->job->write)
		udp_coalesce(&c->endpoint.udp, c->options->without);
	if (err == 0)
		err = endpoint_add(&c->endpoint, c->exchange, endpoint_reject, c);
	if (err == 0)
		err = session_attach(&c->session, &c->endpoint, true, false, &client_ops);
	if (err == 0) {
		session_pump(&c->session, now);
		run_loop(c);
		session_detach(&c->session);
		endpoint_close(&c->endpoint);
	} else {
		say(c->out, CLIENT_REFUSED, "cannot send to %s: %s", show(c->job->host).text, strerror(-err));
	}
	transfer_free(&c->session.transfer);
}

static int attempt(struct client *c, const struct addr *to, bool plain)
{
	uint64_t size = UINT64_MAX;
	struct store store;
	int err;

	choose_sizes(c, to);
	err = c->job->write ? open_source(c, &store, &size) : open_sink(c, &store);
	if (err != 0)
		return local_failed(c, err);
	c->request.name = c->job->remote;
	c->request.mode = c->options->text ? "netascii" : "octet";
	offer(c, size);
	if (plain)
		c->request.offered = (struct option_set){.n = 0};
	converse(c, to, &store);
	return (int)c->out->status;
}

/* Some old servers answer options with an error instead of ignoring them (RFC 1782 asked for that): ask without. */
static bool refuses_options(const struct client *c)
{
	const struct transfer_result *r = &c->session.transfer.result;

	return c->interrupted == 0 && c->request.offered.n > 0 && r->outcome == TRANSFER_PEER_ERROR && r->bytes == 0 &&
	    (r->code == ERROR_OPTION || r->code == ERROR_ILLEGAL || r->code == ERROR_UNDEFINED);
}

static int try_addresses(struct client *c)
{
	struct addr addrs[ADDRESSES];
	int n = addr_resolve(c->job->host, c->job->port, 69, AF_UNSPEC, addrs, ADDRESSES);

	if (n == EAI_SERVICE || (n > 0 && addr_port(&addrs[0]) == 0))
		return say(c->out, CLIENT_USAGE, "\"%s\" is no port: it takes 1 to 65535 or the name of a service",
		    show(c->job->port).text);
	if (n < 0)
		return say(c->out, CLIENT_HOST, "cannot find the host \"%s\": %s", show(c->job->host).text, gai_strerror(n));
	for (int i = 0; i < n; i++) {
		attempt(c, &addrs[i], false);
		if (refuses_options(c))
			attempt(c, &addrs[i], true);
		if (c->out->status != CLIENT_REFUSED || c->interrupted != 0)
			break;
	}
	return (int)c->out->status;
}

int client_run(const struct client_options *options, const struct client_job *job, struct client_outcome *out)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct client c = {
		.options = options,
		.job = job,
		.out = out,
		.input = {.index = LOOP_UNSET},
		.policy = {.give_up = 30 * MONO_SEC, .tries = TRIES, .dally_min = 50 * MONO_MS, .dally_max = MONO_SEC},
	};
	uint64_t seed = 0; /* one session: nobody can collide */
	int err;

	if (options->timeout != 0) {
		c.policy.fixed = (mono_t)options->timeout * MONO_SEC;
		c.policy.give_up = TRIES * c.policy.fixed;
	}
	loop_init(&c.loop);
	c.exchange = malloc(sizeof(*c.exchange));
	err = c.exchange == NULL ? -ENOMEM : exchange_init(c.exchange, &c.loop, seed, options->without);
	if (err == 0)
		err = loop_signals(&c.loop, signals, sizeof(signals) / sizeof(signals[0]), on_signal);
	signal(SIGPIPE, SIG_IGN);
	if (err != 0)
		say(out, CLIENT_WRITE, "cannot start: %s", strerror(-err));
	else
		try_addresses(&c);
	if (c.exchange != NULL && c.exchange->batch != NULL)
		exchange_free(c.exchange);
	free(c.exchange);
	loop_free(&c.loop);
	return (int)out->status;
}
