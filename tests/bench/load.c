/*
 * The load generator: many simulated TFTP clients in one process and one thread, each transfer from a port of its own.
 * Every block is compared where it was received with what the file's name says it must hold.
 *
 *	load get|put HOST:PORT [options]	transfers; prints one line of key=value
 *	load make DIR COUNT SIZE		writes files f0-SIZE, f1-SIZE, ... for a server to serve
 *	load check FILE...			compares uploaded files with their names
 *
 * The clients are simple ones: they acknowledge at the window's end, at a gap (once) and on a repeat of the last block
 * they took; they repeat on a fixed clock. A single client waits in recv() and costs two system calls a block; several
 * share an epoll.
 */
#include "bench.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

DEFINE_PATTERN;

enum state { IDLE, ASKED, HELD, RUNNING, DELAYED };

struct client {
	int fd;
	enum state state;
	bool connected;
	bool gap_acked;     /* get: this gap has had its ACK */
	unsigned file;
	unsigned tries;     /* timeouts without progress */
	uint64_t base;      /* get: one past the last acknowledged; put: first not acknowledged */
	uint64_t next;      /* get: block expected; put: block to send */
	uint64_t high;      /* put: one past the highest block ever sent */
	size_t blk;
	unsigned win;
	int64_t began, heard, deadline, ack_at;
	struct where peer;
};

static struct {
	bool put, gro, gso, plain, tsize, verbose, realtime, together;
	struct where server;
	unsigned clients, burst, files, first_file, win, tries;
	uint64_t total, size;
	size_t blk;
	int timeout_option, cpu;
	int64_t delay, rto, limit;
	unsigned pause;     /* us between two transfers of a single client */
	const char *prefix;
} o = {.gso = true, .tsize = true, .clients = 1, .burst = 64, .files = 1, .win = 1, .tries = 8, .size = 1 << 20,
    .blk = 1428, .cpu = -1, .rto = NS_SEC, .limit = 60 * NS_SEC, .prefix = ""};

static struct {
	uint64_t started, ok, failed, bytes, resent, dup, datagrams;
	unsigned asked;     /* requests without an answer yet */
	unsigned held;      /* under way, and wait until all are */
	size_t blk;
	unsigned win;       /* what the last transfer agreed on */
	double *ms;         /* of each transfer that succeeded */
	double gap_min, gap_max; /* ms between a block and its repeat */
	char why[200];      /* of the first failure */
} r;

static int ep = -1;
static bool solo;
static size_t slot;
static uint8_t *room; /* 64 slots, or one coalesced run */
static struct client *all;

static void arm(struct client *c, int64_t now)
{
	c->deadline = now + o.rto;
}

static ssize_t put_out(struct client *c, const void *buf, size_t len)
{
	ssize_t n = c->connected ? send(c->fd, buf, len, 0)
	                         : sendto(c->fd, buf, len, 0, (struct sockaddr *)&c->peer.sa, c->peer.len);
	return n;
}

static void finish(struct client *c, const char *why, int64_t now)
{
	if (c->state == ASKED)
		r.asked--;
	if (why == NULL) {
		r.ms[r.ok++] = (double)(now - c->began) / 1e6;
		r.bytes += o.size;
		r.blk = c->blk;
		r.win = c->win;
	} else {
		r.failed++;
		if (r.why[0] == '\0')
			snprintf(r.why, sizeof(r.why), "%s", why);
		if (o.verbose)
			fprintf(stderr, "f%u: %s\n", c->file, why);
	}
	close(c->fd);
	c->fd = -1;
	c->state = IDLE;
}

/* An ERROR, so that the server need not wait for us. */
static void fail(struct client *c, const char *why, int64_t now)
{
	static const uint8_t error[] = "\0\5\0\0benchmark gives up";
	if (c->state != ASKED)
		put_out(c, error, sizeof(error));
	finish(c, why, now);
}

static void send_request(struct client *c)
{
	char buf[600];
	buf[0] = 0;
	buf[1] = o.put ? WRQ : RRQ;
	int n = 2 + snprintf(buf + 2, 300, "%s", o.prefix);
	n += file_name(buf + n, 100, c->file, o.size) + 1;
	memcpy(buf + n, "octet", 6);
	n += 6;
	if (!o.plain) {
		if (o.blk != 512)
			n += sprintf(buf + n, "blksize%c%zu", 0, o.blk) + 1;
		if (o.tsize)
			n += sprintf(buf + n, "tsize%c%llu", 0, o.put ? (unsigned long long)o.size : 0ULL) + 1;
		if (o.win > 1)
			n += sprintf(buf + n, "windowsize%c%u", 0, o.win) + 1;
		if (o.timeout_option > 0)
			n += sprintf(buf + n, "timeout%c%d", 0, o.timeout_option) + 1;
	}
	put_out(c, buf, (size_t)n);
}

static void begin(struct client *c, int64_t now)
{
	int on = 1;
	c->fd = socket(o.server.sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	if (!o.put && (o.blk > 4096 || o.win > 1))
		big_buffers(c->fd);
	if (o.gro)
		setsockopt(c->fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	if (!solo) {
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
		if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0)
			die("epoll: %s", strerror(errno));
	} else {
		struct timeval tv = {o.rto / NS_SEC, o.rto % NS_SEC / 1000};
		setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	}
	c->state = ASKED;
	r.asked++;
	c->connected = c->gap_acked = false;
	c->file = o.first_file + (unsigned)(r.started++ % o.files);
	c->tries = 0;
	c->base = c->next = c->high = 1;
	c->blk = 512;
	c->win = 1;
	c->peer = o.server;
	c->began = now;
	arm(c, now);
	send_request(c);
}

static void send_ack(struct client *c)
{
	uint8_t ack[4] = {0, ACK, (uint8_t)((c->next - 1) >> 8), (uint8_t)(c->next - 1)};
	put_out(c, ack, sizeof(ack));
	c->base = c->next;
}

static uint64_t last_block(const struct client *c)
{
	return o.size / c->blk + 1;
}

/* put: everything the window allows. */
static void send_data(struct client *c)
{
	uint64_t end = c->base + c->win, last = last_block(c);
	if (end > last + 1)
		end = last + 1;
	if (c->next >= end)
		return;
	if (c->next < c->high)
		r.resent += (end < c->high ? end : c->high) - c->next;
	int err = send_blocks(c->fd, c->connected ? NULL : &c->peer, c->file, o.size, c->blk, c->next, end - c->next,
	    o.gso);
	if (err != 0 && err != -EAGAIN && err != -ECONNREFUSED)
		die("send: %s", strerror(-err));
	c->next = end;
	if (c->high < end)
		c->high = end;
}

/* The options of an OACK; false: it holds something that was not asked for. */
static bool take_oack(struct client *c, const uint8_t *p, size_t len)
{
	const char *s = (const char *)p + 2, *end = (const char *)p + len;
	while (s < end) {
		const char *value = memchr(s, 0, (size_t)(end - s));
		if (value == NULL || ++value >= end || memchr(value, 0, (size_t)(end - value)) == NULL)
			return false;
		uint64_t v = strtoull(value, NULL, 10);
		if (strcasecmp(s, "blksize") == 0 && v >= 8 && v <= o.blk && o.blk != 512)
			c->blk = (size_t)v;
		else if (strcasecmp(s, "windowsize") == 0 && v >= 1 && v <= o.win && o.win > 1)
			c->win = (unsigned)v;
		else if (strcasecmp(s, "tsize") == 0 && o.tsize && v == o.size)
			;
		else if (strcasecmp(s, "timeout") == 0 && o.timeout_option > 0 && v == (uint64_t)o.timeout_option)
			;
		else
			return false;
		s = value + strlen(value) + 1;
	}
	return true;
}

/* The server has heard from this one; it goes on when all others have come so far. */
static void hold(struct client *c)
{
	c->state = HELD;
	r.held++;
}

static void take_data(struct client *c, const uint8_t *p, size_t len, int64_t now)
{
	int16_t ahead = (int16_t)((uint16_t)(p[2] << 8 | p[3]) - (uint16_t)c->next);
	if (ahead < 0) {
		double gap = (double)(now - c->heard) / 1e6;
		r.dup++;
		if (r.gap_max < gap)
			r.gap_max = gap;
		if (r.gap_min <= 0 || r.gap_min > gap)
			r.gap_min = gap;
		c->heard = now;
		if (ahead == -1 && c->state == RUNNING && c->base == c->next) {
			send_ack(c);
			r.resent++;
		}
		return;
	}
	if (ahead > 0) {
		if (!c->gap_acked && c->state == RUNNING)
			send_ack(c);
		c->gap_acked = true;
		return;
	}
	uint64_t off = (c->next - 1) * c->blk;
	size_t want = o.size - off < c->blk ? (size_t)(o.size - off) : c->blk;
	if (len - 4 != want || memcmp(p + 4, content(c->file, off), want) != 0) {
		fail(c, len - 4 != want ? "wrong length of a block" : "wrong content", now);
		return;
	}
	bool last = c->next == last_block(c);
	c->next++;
	c->heard = now;
	c->tries = 0;
	c->gap_acked = false;
	if (!last && c->next - c->base < c->win)
		return;
	if (o.delay > 0) {
		c->state = DELAYED;
		c->ack_at = now + o.delay;
		return;
	}
	if (o.together) {
		hold(c);
		return;
	}
	send_ack(c);
	if (last)
		finish(c, NULL, solo ? now_ns() : now);
}

/* put: block `b` was acknowledged. */
static void take_ack(struct client *c, uint16_t b, int64_t now)
{
	uint16_t moved = (uint16_t)(b - (uint16_t)(c->base - 1));
	if (moved > c->next - c->base || (moved == 0 && c->next > 1)) {
		r.dup++;
		return;
	}
	c->base += moved;
	c->next = c->base;
	c->tries = 0;
	if (c->base > last_block(c))
		finish(c, NULL, solo ? now_ns() : now);
	else if (o.together)
		hold(c);
	else
		send_data(c);
}

static void input(struct client *c, const uint8_t *p, size_t len, const struct where *from, int64_t now)
{
	char why[160];
	r.datagrams++;
	if (len < 4 || p[0] != 0 || p[1] > OACK) {
		fail(c, "not a packet", now);
		return;
	}
	if (from != NULL && c->state != ASKED && !same_where(&from->sa, &c->peer.sa))
		return;
	if (p[1] == ERROR) {
		snprintf(why, sizeof(why), "ERROR %d %.*s", p[3], (int)(len > 104 ? 100 : len - 4), p + 4);
		finish(c, why, now);
		return;
	}
	if (c->state == HELD) {
		r.dup++; /* impatient: the server repeats what waits here */
		return;
	}
	if (c->state == ASKED) {
		c->peer = *from;
		c->state = RUNNING;
		r.asked--;
		if (p[1] == OACK) {
			if (o.plain || !take_oack(c, p, len)) {
				fail(c, "OACK with what was not asked for", now);
				return;
			}
		}
		/* Not worth a system call for a transfer that is nearly over. */
		if (o.size > 2 * c->blk)
			c->connected = connect(c->fd, (struct sockaddr *)&c->peer.sa, c->peer.len) == 0;
	}
	arm(c, now);
	if (p[1] == DATA && !o.put) {
		take_data(c, p, len, now);
	} else if (p[1] == ACK && o.put) {
		take_ack(c, (uint16_t)(p[2] << 8 | p[3]), now);
	} else if (p[1] == OACK && c->next == 1) {
		if (o.put)
			send_data(c);
		else
			send_ack(c);
	}
}

/* All are under way: let go what was held, so that they run at the same time. */
static void release(int64_t now)
{
	for (unsigned i = 0; i < o.clients; i++) {
		struct client *c = &all[i];
		if (c->state != HELD)
			continue;
		c->state = RUNNING;
		arm(c, now);
		if (o.put)
			send_data(c);
		else
			send_ack(c);
	}
	r.held = 0;
	o.together = false;
}

static void timed_out(struct client *c, int64_t now)
{
	if (++c->tries > o.tries) {
		fail(c, c->state == ASKED ? "no answer" : "silence", now);
		return;
	}
	r.resent++;
	arm(c, now);
	if (c->state == ASKED) {
		send_request(c);
	} else if (o.put) {
		c->next = c->base;
		send_data(c);
	} else {
		send_ack(c);
	}
}

/* Take what is there for one client; false: nothing came in time (solo only). */
static bool take(struct client *c, int64_t now)
{
	struct where from;
	bool named = !c->connected;
	if (o.gro) {
		size_t seg;
		ssize_t n = recv_run(c->fd, room, 65536, named ? &from : NULL, &seg, solo ? 0 : MSG_DONTWAIT);
		if (n < 0)
			return errno == ECONNREFUSED;
		for (size_t at = 0; at < (size_t)n && c->state != IDLE; at += seg)
			input(c, room + at, (size_t)n - at < seg ? (size_t)n - at : seg, named ? &from : NULL, now);
		return true;
	}
	if (o.win == 1 || o.put || named) {
		from.len = sizeof(from.sa);
		ssize_t n = named ? recvfrom(c->fd, room, slot, solo ? 0 : MSG_DONTWAIT, (struct sockaddr *)&from.sa, &from.len)
		                  : recv(c->fd, room, slot, solo ? 0 : MSG_DONTWAIT);
		if (n < 0)
			return errno == ECONNREFUSED;
		input(c, room, (size_t)n, named ? &from : NULL, now);
		return true;
	}
	static struct mmsghdr m[64];
	static struct iovec iov[64];
	if (m[0].msg_hdr.msg_iov == NULL) {
		for (int i = 0; i < 64; i++) {
			iov[i] = (struct iovec){room + (size_t)i * slot, slot};
			m[i].msg_hdr.msg_iov = &iov[i];
			m[i].msg_hdr.msg_iovlen = 1;
		}
	}
	int n = recvmmsg(c->fd, m, c->win < 64 ? c->win : 64, solo ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == ECONNREFUSED;
	for (int i = 0; i < n && c->state != IDLE; i++)
		input(c, room + (size_t)i * slot, m[i].msg_len, NULL, now);
	return true;
}

static void run_solo(void)
{
	struct client *c = &all[0];
	int64_t end = now_ns() + o.limit;
	while (r.ok + r.failed < o.total) {
		if (c->state == IDLE) {
			if (o.pause > 0 && r.started > 0)
				usleep(o.pause);
			begin(c, now_ns());
		}
		if (!take(c, 0)) {
			int64_t now = now_ns();
			if (now >= end)
				return;
			timed_out(c, now);
		} else if ((r.datagrams & 0xfff) == 0 && now_ns() >= end) {
			return;
		}
	}
}

static void run_many(void)
{
	struct epoll_event events[256];
	int64_t now = now_ns(), end = now + o.limit, look = now;
	int64_t step = o.delay > 0 ? NS_MS : 20 * NS_MS;
	unsigned idle = 0; /* slots below it are taken */
	while (r.ok + r.failed < o.total && now < end) {
		for (unsigned i = idle; r.started < o.total && i < o.clients && r.asked < o.burst; i++) {
			if (all[i].state == IDLE)
				begin(&all[i], now);
		}
		int n = epoll_wait(ep, events, 256, (int)(step / NS_MS));
		now = now_ns();
		idle = o.clients;
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;
			if (c->state != IDLE)
				take(c, now);
			if (c->state == IDLE && (unsigned)(c - all) < idle)
				idle = (unsigned)(c - all);
		}
		/* More clients than the bound on unanswered requests lets begin at once: look at them all. */
		if (r.started < o.clients)
			idle = 0;
		if (o.together && r.held > 0 && r.held + r.failed >= o.clients)
			release(now);
		if (now < look)
			continue;
		look = now + step;
		idle = 0;
		for (unsigned i = 0; i < o.clients; i++) {
			struct client *c = &all[i];
			if (c->state == DELAYED && now >= c->ack_at) {
				c->state = RUNNING;
				arm(c, now);
				send_ack(c);
				if (c->next > last_block(c))
					finish(c, NULL, now);
			} else if ((c->state == ASKED || c->state == RUNNING) && now >= c->deadline) {
				timed_out(c, now);
			}
		}
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double at(double part)
{
	return r.ok == 0 ? 0 : r.ms[(size_t)((double)(r.ok - 1) * part)];
}

static int transfers(int argc, char **argv)
{
	int opt;
	o.put = strcmp(argv[0], "put") == 0;
	if (argc < 2)
		die("want HOST:PORT");
	parse_where(&o.server, argv[1]);
	optind = 2;
	while ((opt = getopt(argc, argv, "n:t:B:f:F:s:b:w:gGOzT:d:r:R:L:p:c:u:vPA")) != -1) {
		switch (opt) {
		case 'n': o.clients = (unsigned)number(optarg); break;
		case 't': o.total = number(optarg); break;
		case 'B': o.burst = (unsigned)number(optarg); break;
		case 'f': o.files = (unsigned)number(optarg); break;
		case 'F': o.first_file = (unsigned)number(optarg); break;
		case 's': o.size = number(optarg); break;
		case 'b': o.blk = number(optarg); break;
		case 'w': o.win = (unsigned)number(optarg); break;
		case 'g': o.gro = true; break;
		case 'G': o.gso = false; break;
		case 'O': o.plain = true; break;
		case 'z': o.tsize = false; break;
		case 'T': o.timeout_option = atoi(optarg); break;
		case 'd': o.delay = atoi(optarg) * NS_MS; break;
		case 'r': o.rto = atoi(optarg) * NS_MS; break;
		case 'R': o.tries = (unsigned)atoi(optarg); break;
		case 'L': o.limit = (int64_t)number(optarg) * NS_SEC; break;
		case 'p': o.pause = (unsigned)atoi(optarg) * 1000; break;
		case 'c': o.cpu = atoi(optarg); break;
		case 'u': o.prefix = optarg; break;
		case 'v': o.verbose = true; break;
		case 'P': o.realtime = true; break;
		case 'A': o.together = true; break;
		default: return 2;
		}
	}
	if (o.plain) {
		o.blk = 512;
		o.win = 1;
	}
	if (o.blk < 8 || o.blk > 65464 || o.win < 1 || o.clients < 1 || o.files < 1 || strlen(o.prefix) > 200)
		die("out of range");
	if (o.total == 0)
		o.total = o.clients;
	if (o.realtime) {
		struct sched_param p = {.sched_priority = 10};
		if (sched_setscheduler(0, SCHED_FIFO, &p) < 0)
			fprintf(stderr, "no realtime priority: %s\n", strerror(errno));
	}
	solo = o.clients == 1 && o.delay == 0;
	if (solo || o.total < o.clients)
		o.together = false;
	slot = ((o.blk < 512 ? 512 : o.blk) + 4 + 127) & ~(size_t)63;
	room = malloc(slot * 64 < 65536 ? 65536 : slot * 64);
	all = calloc(o.clients, sizeof(*all));
	r.ms = malloc(o.total * sizeof(*r.ms));
	if (room == NULL || all == NULL || r.ms == NULL)
		die("out of memory");
	many_files();
	pin(o.cpu);
	ep = epoll_create1(EPOLL_CLOEXEC);
	int64_t began = now_ns();
	if (solo)
		run_solo();
	else
		run_many();
	double sec = (double)(now_ns() - began) / 1e9;
	/* What the limit cut off has failed; the blocks it got count all the same. */
	for (unsigned i = 0; i < o.clients; i++) {
		if (all[i].state != IDLE) {
			r.bytes += (all[i].base - 1) * all[i].blk;
			fail(&all[i], "time limit", 0);
		}
	}
	r.failed += o.total - r.ok - r.failed;
	qsort(r.ms, r.ok, sizeof(*r.ms), by_value);
	printf("mbs=%.2f rps=%.1f sec=%.4f bytes=%llu ok=%llu fail=%llu ", (double)r.bytes / 1e6 / sec, (double)r.ok / sec,
	    sec, (unsigned long long)r.bytes, (unsigned long long)r.ok, (unsigned long long)r.failed);
	printf("resent=%llu dup=%llu gap_min=%.2f gap_max=%.2f p50=%.3f p99=%.3f max=%.3f blk=%zu win=%u%s%s\n",
	    (unsigned long long)r.resent, (unsigned long long)r.dup, r.gap_min, r.gap_max, at(0.5), at(0.99), at(1), r.blk,
	    r.win, r.why[0] != '\0' ? " # " : "", r.why);
	return r.failed != 0;
}

static int make_files(const char *dir, unsigned count, uint64_t size)
{
	for (unsigned i = 0; i < count; i++) {
		char path[4200], name[64];
		file_name(name, sizeof(name), i, size);
		snprintf(path, sizeof(path), "%.4000s/%s", dir, name);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd < 0)
			die("%s: %s", path, strerror(errno));
		for (uint64_t off = 0; off < size;) {
			ssize_t n = write(fd, content(i, off), size - off < 65536 ? (size_t)(size - off) : 65536);
			if (n <= 0)
				die("%s: %s", path, strerror(errno));
			off += (uint64_t)n;
		}
		close(fd);
	}
	return 0;
}

static int check_files(int n, char **paths)
{
	int bad = 0;
	static uint8_t buf[65536];
	for (int i = 0; i < n; i++) {
		const char *name = strrchr(paths[i], '/');
		unsigned file;
		uint64_t size, off = 0;
		ssize_t got = -1;
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && parse_file_name(name != NULL ? name + 1 : paths[i], &file, &size)) {
			while ((got = read(fd, buf, sizeof(buf))) > 0 && memcmp(buf, content(file, off), (size_t)got) == 0)
				off += (uint64_t)got;
		}
		if (got != 0 || off != size) {
			fprintf(stderr, "%s: not what it should be\n", paths[i]);
			bad++;
		}
		close(fd);
	}
	printf("checked=%d bad=%d\n", n, bad);
	return bad != 0;
}

int main(int argc, char **argv)
{
	pattern_init();
	if (argc >= 3 && (strcmp(argv[1], "get") == 0 || strcmp(argv[1], "put") == 0))
		return transfers(argc - 1, argv + 1);
	if (argc == 5 && strcmp(argv[1], "make") == 0)
		return make_files(argv[2], (unsigned)number(argv[3]), number(argv[4]));
	if (argc >= 3 && strcmp(argv[1], "check") == 0)
		return check_files(argc - 2, argv + 2);
	die("usage: load get|put HOST:PORT [-n clients] [-t transfers] [-B unanswered] [-f files] [-F first] [-s size]\n"
	    "	[-b blksize] [-w windowsize] [-g (GRO)] [-G (no GSO)] [-O (no options)] [-z (no tsize)]\n"
	    "	[-T timeout-option] [-d ms-per-block] [-r repeat-ms] [-R repeats] [-p pause-ms] [-L limit-s]\n"
	    "	[-c cpu] [-u prefix] [-v] [-P (realtime)]\n"
	    "	[-A (all go on only when the last one is under way)]\n"
	    "load make DIR COUNT SIZE\nload check FILE...");
}
