/*
 * A server that only speaks the protocol: content from memory, uploads thrown away, windows by GSO, no access rules, no
 * log, no patience. What a real server is measured against: the rest is the price of files and care.
 *
 *	null HOST:PORT [-c cpu] [-G (no GSO)]
 */
#include "bench.h"

#include <sys/epoll.h>

DEFINE_PATTERN;

struct session {
	int fd;
	bool put, oack;
	unsigned file, win;
	size_t blk;
	uint64_t size, base, next;
	uint8_t reply[128];
	size_t reply_len;
	struct session *prev, *following;
	int64_t deadline;
	int tries;
};

static bool gso = true;
static struct session *sessions;
static uint8_t room[65536];

static void end(struct session *s)
{
	if (s->prev != NULL)
		s->prev->following = s->following;
	else
		sessions = s->following;
	if (s->following != NULL)
		s->following->prev = s->prev;
	close(s->fd);
	free(s);
}

static void send_window(struct session *s)
{
	uint64_t last = s->size / s->blk + 1, stop = s->base + s->win;
	if (stop > last + 1)
		stop = last + 1;
	if (s->next < stop && send_blocks(s->fd, NULL, s->file, s->size, s->blk, s->next, stop - s->next, gso) == 0)
		s->next = stop;
}

static void send_ack(struct session *s)
{
	uint8_t ack[4] = {0, ACK, (uint8_t)((s->next - 1) >> 8), (uint8_t)(s->next - 1)};
	send(s->fd, ack, sizeof(ack), 0);
	s->base = s->next;
}

static void first_reply(struct session *s)
{
	if (s->oack)
		send(s->fd, s->reply, s->reply_len, 0);
	else if (s->put)
		send_ack(s);
	else
		send_window(s);
}

static void refuse(int fd, const struct where *to)
{
	static const uint8_t error[] = "\0\5\0\1not here";
	sendto(fd, error, sizeof(error), 0, (const struct sockaddr *)&to->sa, to->len);
}

static void request(int listener, int ep, char *p, size_t len, const struct where *from, int64_t now)
{
	p[len] = '\0';
	char *at = p + 2 + strlen(p + 2) + 1;
	struct session *s = calloc(1, sizeof(*s));
	if (s == NULL || p[1] > WRQ || !parse_file_name(p + 2, &s->file, &s->size) || at >= p + len) {
		free(s);
		refuse(listener, from);
		return;
	}
	s->put = p[1] == WRQ;
	s->blk = 512;
	s->win = 1;
	s->base = s->next = 1;
	s->reply[1] = OACK;
	s->reply_len = 2;
	for (at += strlen(at) + 1; at < p + len;) {
		char *value = at + strlen(at) + 1;
		if (value >= p + len)
			break;
		uint64_t v = strtoull(value, NULL, 10);
		bool known = true;
		if (strcasecmp(at, "blksize") == 0 && v >= 8 && v <= 65464)
			s->blk = (size_t)v;
		else if (strcasecmp(at, "windowsize") == 0 && v >= 1)
			s->win = (unsigned)(v > 64 ? v = 64 : v);
		else if (strcasecmp(at, "tsize") == 0)
			v = s->size;
		else
			known = false;
		if (known && s->reply_len < 90) {
			char *end = (char *)s->reply + s->reply_len;
			s->reply_len += (size_t)sprintf(end, "%.20s%c%llu", at, 0, (unsigned long long)v) + 1;
			s->oack = true;
		}
		at = value + strlen(value) + 1;
	}
	s->fd = socket(from->sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || connect(s->fd, (const struct sockaddr *)&from->sa, from->len) < 0)
		die("session: %s", strerror(errno));
	if (s->win > 1 || s->blk > 4096)
		big_buffers(s->fd);
	if (s->put) {
		int on = 1;
		setsockopt(s->fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	}
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
	epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e);
	s->following = sessions;
	if (sessions != NULL)
		sessions->prev = s;
	sessions = s;
	s->deadline = now + NS_SEC;
	first_reply(s);
}

/* One packet of a session; false: it has ended. */
static bool input(struct session *s, const uint8_t *p, size_t len, int64_t now)
{
	uint16_t b = (uint16_t)(p[2] << 8 | p[3]);
	if (len < 4 || p[1] == ERROR)
		return false;
	s->deadline = now + NS_SEC;
	s->tries = 0;
	if (!s->put && p[1] == ACK) {
		uint16_t moved = (uint16_t)(b - (uint16_t)(s->base - 1));
		s->oack = false;
		if (moved > s->next - s->base || (moved == 0 && s->next > 1))
			return true;
		s->base += moved;
		s->next = s->base;
		if (s->base > s->size / s->blk + 1)
			return false;
		send_window(s);
	} else if (s->put && p[1] == DATA) {
		s->oack = false;
		int16_t ahead = (int16_t)(b - (uint16_t)s->next);
		if (ahead != 0) {
			if (s->base != s->next || ahead == -1)
				send_ack(s);
			return true;
		}
		bool last = len - 4 < s->blk;
		s->next++;
		if (last || s->next - s->base >= s->win)
			send_ack(s);
		return !last; /* does not dally: a lost last ACK costs the client its patience */
	}
	return true;
}

int main(int argc, char **argv)
{
	int opt, cpu = -1;
	struct where at, from;
	while ((opt = getopt(argc, argv, "c:G")) != -1) {
		if (opt == 'c')
			cpu = atoi(optarg);
		else if (opt == 'G')
			gso = false;
		else
			return 2;
	}
	if (optind + 1 != argc)
		die("usage: null [-c cpu] [-G] HOST:PORT");
	parse_where(&at, argv[optind]);
	pattern_init();
	many_files();
	pin(cpu);
	int listener = socket(at.sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	big_buffers(listener);
	if (bind(listener, (struct sockaddr *)&at.sa, at.len) < 0)
		die("bind: %s", strerror(errno));
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN}, events[256];
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	int64_t look = 0;
	for (;;) {
		int n = epoll_wait(ep, events, 256, sessions != NULL ? 200 : -1);
		int64_t now = now_ns();
		for (int i = 0; i < n; i++) {
			struct session *s = events[i].data.ptr;
			size_t seg;
			ssize_t got = recv_run(s != NULL ? s->fd : listener, room, sizeof(room) - 1, s != NULL ? NULL : &from, &seg,
			    MSG_DONTWAIT);
			if (got < 0 && s != NULL && errno == ECONNREFUSED)
				end(s);
			if (got < 4)
				continue;
			if (s == NULL) {
				request(listener, ep, (char *)room, (size_t)got, &from, now);
				continue;
			}
			for (size_t off = 0; off < (size_t)got; off += seg) {
				if (!input(s, room + off, (size_t)got - off < seg ? (size_t)got - off : seg, now)) {
					end(s);
					break;
				}
			}
		}
		if (now < look)
			continue;
		look = now + 200 * NS_MS;
		for (struct session *s = sessions, *following; s != NULL; s = following) {
			following = s->following;
			if (now < s->deadline)
				continue;
			s->deadline = now + NS_SEC;
			if (++s->tries > 5) {
				end(s);
				continue;
			}
			s->next = s->put ? s->next : s->base;
			if (s->oack || !s->put)
				first_reply(s);
			else
				send_ack(s);
		}
	}
}
