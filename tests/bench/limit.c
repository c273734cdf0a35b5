/*
 * What this machine can do at best with the same sizes, without any protocol: the ceiling the servers are held against.
 *
 *	limit window BLKSIZE WINDOW [-g (GRO receiver)] [-s bytes] [-c cpu] [-d other-cpu]
 *		a window of datagrams by GSO one way, four bytes back: WINDOW 1 is the bare ping-pong
 *	limit read FILE CHUNK [-c cpu]
 *		pread of a file in the page cache, CHUNK bytes a call
 *
 * Prints one line of key=value.
 */
#include "bench.h"

#include <fcntl.h>
#include <sys/wait.h>

DEFINE_PATTERN;

static int cpu = -1, other_cpu = -1;
static bool gro;
static uint64_t size = 256 << 20;

static int connected_pair(int fd[2])
{
	struct sockaddr_in at[2];
	for (int i = 0; i < 2; i++) {
		socklen_t len = sizeof(at[i]);
		fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		at[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		if (fd[i] < 0 || bind(fd[i], (struct sockaddr *)&at[i], len) < 0)
			return -1;
		getsockname(fd[i], (struct sockaddr *)&at[i], &len);
		big_buffers(fd[i]);
	}
	if (connect(fd[0], (struct sockaddr *)&at[1], sizeof(at[1])) < 0)
		return -1;
	return connect(fd[1], (struct sockaddr *)&at[0], sizeof(at[0]));
}

static void sender(int fd, size_t blk, uint64_t window, uint64_t turns)
{
	uint8_t ack[8];
	for (uint64_t i = 0; i < turns; i++) {
		/* A file without end, so that no block is short. */
		if (send_blocks(fd, NULL, 0, UINT64_MAX, blk, 1 + i * window, window, true) != 0)
			die("send: %s", strerror(errno));
		if (recv(fd, ack, sizeof(ack), 0) < 0)
			die("recv: %s", strerror(errno));
	}
}

static void receiver(int fd, size_t blk, uint64_t window, uint64_t turns)
{
	static const uint8_t ack[4];
	int on = 1;
	size_t slot = (blk + 4 + 63) & ~(size_t)63;
	uint8_t *room = malloc(slot * 64 < 65536 ? 65536 : slot * 64);
	struct mmsghdr m[64] = {{{0}, 0}};
	struct iovec iov[64];
	if (gro && window > 1)
		setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	for (size_t i = 0; i < 64; i++) {
		iov[i] = (struct iovec){room + i * slot, slot};
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	for (uint64_t i = 0; i < turns; i++) {
		for (uint64_t got = 0; got < window;) {
			size_t seg;
			if (window == 1) {
				if (recv(fd, room, slot, 0) > 0)
					got++;
			} else if (gro) {
				ssize_t n = recv_run(fd, room, 65536, NULL, &seg, 0);
				if (n > 0)
					got += ((size_t)n + seg - 1) / seg;
			} else {
				int n = recvmmsg(fd, m, (unsigned)(window - got > 64 ? 64 : window - got), MSG_WAITFORONE, NULL);
				if (n > 0)
					got += (uint64_t)n;
			}
		}
		if (send(fd, ack, sizeof(ack), 0) < 0)
			die("send: %s", strerror(errno));
	}
}

static int window_limit(size_t blk, uint64_t window)
{
	int fd[2];
	uint64_t turns = size / (blk * window) + 1;
	if (connected_pair(fd) < 0)
		die("sockets: %s", strerror(errno));
	alarm(120);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(120);
		pin(other_cpu >= 0 ? other_cpu : cpu);
		sender(fd[0], blk, window, turns);
		_exit(0);
	}
	pin(cpu);
	int64_t began = now_ns();
	receiver(fd[1], blk, window, turns);
	double sec = (double)(now_ns() - began) / 1e9;
	struct rusage ru;
	wait4(pid, NULL, 0, &ru);
	double used = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	double bytes = (double)(turns * window * blk);
	printf("mbs=%.2f sec=%.4f bytes=%.0f rps=%.1f scpu=%.4f us_per_turn=%.3f\n", bytes / 1e6 / sec, sec, bytes,
	    (double)turns / sec, used, sec * 1e6 / (double)turns);
	return 0;
}

static int read_limit(const char *path, size_t chunk)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *buf = malloc(chunk);
	if (fd < 0 || buf == NULL)
		die("%s: %s", path, strerror(errno));
	pin(cpu);
	uint64_t calls = 0, bytes = 0;
	int64_t began = 0, end = 0;
	for (int pass = 0; pass < 2; pass++) { /* the first only fills the cache */
		ssize_t n;
		calls = bytes = 0;
		began = now_ns();
		while ((n = pread(fd, buf, chunk, (off_t)bytes)) > 0) {
			bytes += (uint64_t)n;
			calls++;
		}
		end = now_ns();
	}
	double sec = (double)(end - began) / 1e9;
	printf("mbs=%.2f sec=%.4f bytes=%llu us_per_turn=%.3f\n", (double)bytes / 1e6 / sec, sec, (unsigned long long)bytes,
	    sec * 1e6 / (double)(calls > 0 ? calls : 1));
	return 0;
}

int main(int argc, char **argv)
{
	int opt;
	if (argc < 4)
		die("usage: limit window BLKSIZE WINDOW [-g] [-s bytes] [-c cpu] [-d cpu]\nlimit read FILE CHUNK [-c cpu]");
	optind = 4;
	while ((opt = getopt(argc, argv, "gs:c:d:")) != -1) {
		switch (opt) {
		case 'g': gro = true; break;
		case 's': size = number(optarg); break;
		case 'c': cpu = atoi(optarg); break;
		case 'd': other_cpu = atoi(optarg); break;
		default: return 2;
		}
	}
	pattern_init();
	if (strcmp(argv[1], "window") == 0)
		return window_limit(number(argv[2]), number(argv[3]));
	if (strcmp(argv[1], "read") == 0)
		return read_limit(argv[2], number(argv[3]));
	die("window or read, not \"%s\"", argv[1]);
}
