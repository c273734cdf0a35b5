/*
 * A link emulator: a UDP relay with delay, jitter, loss, duplicates and a rate, both ways, reproducible by seed.
 *
 *	link [options] LISTEN SERVER [-- command...]
 *		-D us	delay each way		-J us	jitter, added to it
 *		-l %	loss each way		-2 %	duplicates each way
 *		-r Mbit	rate each way		-S n	seed	-c cpu
 *
 * With a command it relays as long as that runs and ends with its status; without, until SIGTERM. Then it prints what
 * it carried, as key=value. It follows the server's change of port: each client address has a socket of its own towards
 * the server, and each port the server answers from is shown to the client as a port of its own.
 */
#include "bench.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define FDS 4096

/* One conversation: a client's address and one port of the server, once it has answered. */
struct leg {
	int down;                /* towards the client; -1: the server has not answered from this port yet */
	int up;                  /* towards the server, shared by the legs of one client address */
	struct where client, server;
};

struct parcel {
	int64_t due;
	uint64_t order;
	int fd;
	struct where to;
	size_t len;
	uint8_t *buf;
};

struct direction {
	int64_t busy;            /* the wire is taken until then */
	uint64_t datagrams, bytes, lost, doubled;
	uint64_t x;              /* random state */
};

static int64_t delay, jitter, rate; /* ns, ns, bits per second */
static double loss, twice;
static struct direction way[2];     /* 0: to the server, 1: to the client */
static struct leg legs[FDS];
static unsigned nlegs;
static struct pollfd fds[FDS];
static struct { unsigned leg; bool up; } of[FDS];
static unsigned nfds;
static struct parcel **heap;
static size_t nheap, cap;
static uint64_t order;

static double chance(struct direction *d)
{
	d->x ^= d->x << 13;
	d->x ^= d->x >> 7;
	d->x ^= d->x << 17;
	return (double)(d->x >> 11) / 9007199254740992.0;
}

static bool sooner(const struct parcel *a, const struct parcel *b)
{
	return a->due < b->due || (a->due == b->due && a->order < b->order);
}

static void push(struct parcel *p)
{
	if (nheap == cap) {
		cap = cap > 0 ? cap * 2 : 1024;
		heap = realloc(heap, cap * sizeof(*heap));
		if (heap == NULL)
			die("out of memory");
	}
	size_t i = nheap++;
	for (; i > 0 && sooner(p, heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = p;
}

static struct parcel *pop(void)
{
	struct parcel *top = heap[0], *p = heap[--nheap];
	size_t i = 0;
	for (size_t child; (child = 2 * i + 1) < nheap; i = child) {
		if (child + 1 < nheap && sooner(heap[child + 1], heap[child]))
			child++;
		if (!sooner(heap[child], p))
			break;
		heap[i] = heap[child];
	}
	heap[i] = p;
	return top;
}

static void carry(struct direction *d, int fd, const struct where *to, const uint8_t *buf, size_t len, int64_t now)
{
	d->datagrams++;
	d->bytes += len;
	if (rate > 0) {
		d->busy = (d->busy > now ? d->busy : now) + (int64_t)((double)(len + 28) * 8e9 / (double)rate);
		now = d->busy;
	}
	if (chance(d) < loss) {
		d->lost++;
		return;
	}
	int copies = chance(d) < twice ? 2 : 1;
	d->doubled += (uint64_t)(copies - 1);
	while (copies-- > 0) {
		struct parcel *p = malloc(sizeof(*p) + len);
		if (p == NULL)
			die("out of memory");
		int64_t late = jitter > 0 ? (int64_t)(chance(d) * (double)jitter) : 0;
		*p = (struct parcel){.due = now + delay + late, .order = order++, .fd = fd, .to = *to, .len = len,
		    .buf = (uint8_t *)(p + 1)};
		memcpy(p->buf, buf, len);
		push(p);
	}
}

static int watch(int family, unsigned leg, bool up)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || nfds == FDS)
		die("too many conversations");
	big_buffers(fd);
	of[nfds].leg = leg;
	of[nfds].up = up;
	fds[nfds++] = (struct pollfd){.fd = fd, .events = POLLIN};
	return fd;
}

/* A datagram on the listening port: a client's first, or its request again. */
static struct leg *from_client(const struct where *client, const struct where *server)
{
	for (unsigned i = 0; i < nlegs; i++) {
		if (same_where(&legs[i].client.sa, &client->sa))
			return &legs[i];
	}
	if (nlegs == FDS)
		die("too many conversations");
	struct leg *l = &legs[nlegs];
	*l = (struct leg){.down = -1, .client = *client, .server = *server};
	l->up = watch(server->sa.ss_family, nlegs++, true);
	return l;
}

/* A datagram from the server on this leg's socket: the leg of the port it came from. */
static struct leg *from_server(struct leg *l, const struct where *server)
{
	for (unsigned i = 0; i < nlegs; i++) {
		if (legs[i].up == l->up && legs[i].down >= 0 && same_where(&legs[i].server.sa, &server->sa))
			return &legs[i];
	}
	if (l->down >= 0) {
		if (nlegs == FDS)
			die("too many conversations");
		legs[nlegs] = *l;
		l = &legs[nlegs++];
	}
	l->server = *server;
	l->down = watch(l->client.sa.ss_family, (unsigned)(l - legs), false);
	return l;
}

static void receive(unsigned i, const struct where *server)
{
	static uint8_t room[32][65536];
	static struct mmsghdr m[32];
	static struct iovec iov[32];
	static struct where from[32];
	for (int k = 0; k < 32; k++) {
		iov[k] = (struct iovec){room[k], sizeof(room[k])};
		m[k].msg_hdr = (struct msghdr){.msg_name = &from[k].sa, .msg_namelen = sizeof(from[k].sa),
		    .msg_iov = &iov[k], .msg_iovlen = 1};
	}
	int n = recvmmsg(fds[i].fd, m, 32, MSG_DONTWAIT, NULL);
	int64_t now = now_ns();
	for (int k = 0; k < n; k++) {
		struct leg *l = i > 0 ? &legs[of[i].leg] : NULL;
		from[k].len = m[k].msg_hdr.msg_namelen;
		if (i == 0) {
			l = from_client(&from[k], server);
			carry(&way[0], l->up, server, room[k], m[k].msg_len, now);
		} else if (of[i].up) {
			l = from_server(l, &from[k]);
			carry(&way[1], l->down, &l->client, room[k], m[k].msg_len, now);
		} else {
			carry(&way[0], l->up, &l->server, room[k], m[k].msg_len, now);
		}
	}
}

int main(int argc, char **argv)
{
	int opt, cpu = -1, status = 0;
	uint64_t seed = 1;
	struct where listen_at, server;
	while ((opt = getopt(argc, argv, "+D:J:l:2:r:S:c:")) != -1) {
		switch (opt) {
		case 'D': delay = (int64_t)(atof(optarg) * 1000); break;
		case 'J': jitter = (int64_t)(atof(optarg) * 1000); break;
		case 'l': loss = atof(optarg) / 100; break;
		case '2': twice = atof(optarg) / 100; break;
		case 'r': rate = (int64_t)(atof(optarg) * 1e6); break;
		case 'S': seed = number(optarg); break;
		case 'c': cpu = atoi(optarg); break;
		default: return 2;
		}
	}
	if (argc - optind < 2)
		die("usage: link [-D us] [-J us] [-l %%] [-2 %%] [-r Mbit] [-S seed] [-c cpu] LISTEN SERVER [-- command...]");
	parse_where(&listen_at, argv[optind]);
	parse_where(&server, argv[optind + 1]);
	char **command = argv + optind + 2;
	if (*command != NULL && strcmp(*command, "--") == 0)
		command++;
	for (uint64_t i = 0; i < 2; i++) {
		way[i].x = (seed + i + 1) * 0x9E3779B97F4A7C15ULL;
		for (int k = 0; k < 20; k++)
			chance(&way[i]);
	}
	many_files();
	prctl(PR_SET_TIMERSLACK, 1UL);
	int listener = watch(listen_at.sa.ss_family, 0, false);
	if (bind(listener, (struct sockaddr *)&listen_at.sa, listen_at.len) < 0)
		die("bind: %s", strerror(errno));
	sigset_t set, before;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &before);
	of[nfds].leg = 0;
	unsigned signals = nfds;
	fds[nfds++] = (struct pollfd){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN};
	pid_t pid = 0;
	if (*command != NULL && (pid = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		execvp(*command, command);
		die("%s: %s", *command, strerror(errno));
	}
	pin(cpu);
	for (bool stop = false; !stop;) {
		struct timespec wait = {0, 0};
		int64_t now = now_ns();
		for (; nheap > 0 && heap[0]->due <= now; now = now_ns()) {
			struct parcel *p = pop();
			sendto(p->fd, p->buf, p->len, 0, (struct sockaddr *)&p->to.sa, p->to.len);
			free(p);
		}
		if (nheap > 0) {
			wait.tv_sec = (heap[0]->due - now) / NS_SEC;
			wait.tv_nsec = (heap[0]->due - now) % NS_SEC;
		}
		if (ppoll(fds, nfds, nheap > 0 ? &wait : NULL, NULL) <= 0)
			continue;
		for (unsigned i = 0, n = nfds; i < n; i++) {
			if (fds[i].revents == 0)
				continue;
			if (i != signals) {
				receive(i, &server);
				continue;
			}
			struct signalfd_siginfo si;
			while (read(fds[i].fd, &si, sizeof(si)) == sizeof(si)) {
				if (si.ssi_signo != SIGCHLD)
					stop = true;
				else if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid)
					stop = true, pid = 0;
			}
		}
	}
	if (pid > 0)
		kill(pid, SIGTERM);
	printf("up=%llu up_bytes=%llu up_lost=%llu down=%llu down_bytes=%llu down_lost=%llu\n",
	    (unsigned long long)way[0].datagrams, (unsigned long long)way[0].bytes, (unsigned long long)way[0].lost,
	    (unsigned long long)way[1].datagrams, (unsigned long long)way[1].bytes, (unsigned long long)way[1].lost);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
