/*
 * The least that a program needs to move a file in lockstep: system calls for one transfer at a time and nothing else. No
 * timer, no second client, no check of who answers, no log. Where it is not faster than another program, no server or
 * client on this machine can be.
 *
 *	bare serve HOST:PORT DIR		pread, send, recv for each block
 *	bare get HOST:PORT FILE OUT BLKSIZE	recv and send for each block, a pwrite for each 256 KiB
 *
 * Whoever is not answered for five seconds gives up: the loopback loses nothing in lockstep.
 */
#include "bench.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { WRITE_AT = 256 << 10, PATIENCE_S = 5, MAX_PACKET = 65468 };

static uint8_t packet[MAX_PACKET] __attribute__((aligned(64)));
static uint8_t gathered[WRITE_AT + MAX_PACKET];

static int udp_socket(int family)
{
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	big_buffers(fd);
	return fd;
}

/* The answer to the options of a request of `len` bytes that ends with a zero: how long it is, 0 without any known. */
static size_t answer_options(const char *p, size_t len, uint64_t size, size_t *blk, uint8_t *oack)
{
	const char *at = p + 2 + strlen(p + 2) + 1;
	size_t n = 2;
	oack[0] = 0;
	oack[1] = OACK;
	for (at += at < p + len ? strlen(at) + 1 : 0; at < p + len && n < 90;) {
		const char *value = at + strlen(at) + 1;
		if (value >= p + len)
			break;
		bool is_blksize = strcasecmp(at, "blksize") == 0;
		unsigned long long v = is_blksize ? strtoull(value, NULL, 10) : size;
		if (is_blksize && v >= 8 && v <= 65464)
			*blk = (size_t)v;
		if (is_blksize || strcasecmp(at, "tsize") == 0)
			n += (size_t)sprintf((char *)oack + n, "%.20s%c%llu", at, 0, v) + 1;
		at = value + strlen(value) + 1;
	}
	return n > 2 ? n : 0;
}

static void send_file(int fd, int file, size_t blk)
{
	uint8_t ack[16];
	for (uint64_t b = 1;; b++) {
		ssize_t n = pread(file, packet + 4, blk, (off_t)((b - 1) * blk));
		if (n < 0)
			die("read: %s", strerror(errno));
		packet[0] = 0;
		packet[1] = DATA;
		packet[2] = (uint8_t)(b >> 8);
		packet[3] = (uint8_t)b;
		if (send(fd, packet, (size_t)n + 4, 0) < 0 || recv(fd, ack, sizeof(ack), 0) < 4 || (size_t)n < blk)
			return;
	}
}

static void serve(const char *at, const char *dir)
{
	static const uint8_t absent[] = "\0\5\0\1not here";
	struct where here, from = {.len = sizeof(from.sa)};
	parse_where(&here, at);
	int listener = socket(here.sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), root = open(dir, O_PATH | O_CLOEXEC);
	if (root < 0 || bind(listener, (struct sockaddr *)&here.sa, here.len) < 0)
		die("%s at %s: %s", dir, at, strerror(errno));
	for (;;) {
		char request[600];
		uint8_t oack[160], ack[16];
		struct stat st;
		from.len = sizeof(from.sa);
		ssize_t n = recvfrom(listener, request, sizeof(request) - 1, 0, (struct sockaddr *)&from.sa, &from.len);
		if (n < 4 || request[1] != RRQ)
			continue;
		request[n] = '\0';
		int file = openat(root, request + 2, O_RDONLY | O_CLOEXEC);
		if (file < 0 || fstat(file, &st) < 0) {
			sendto(listener, absent, sizeof(absent), 0, (struct sockaddr *)&from.sa, from.len);
			continue;
		}
		size_t blk = 512, said = answer_options(request, (size_t)n, (uint64_t)st.st_size, &blk, oack);
		int fd = udp_socket(from.sa.ss_family);
		if (connect(fd, (struct sockaddr *)&from.sa, from.len) == 0 &&
		    (said == 0 || (send(fd, oack, said, 0) > 0 && recv(fd, ack, sizeof(ack), 0) >= 4 && ack[1] == ACK)))
			send_file(fd, file, blk);
		close(fd);
		close(file);
	}
}

static int get(const char *at, const char *name, const char *to, size_t blk)
{
	struct where server;
	uint8_t ack[4] = {0, ACK, 0, 0};
	size_t have = 0;
	off_t written = 0;
	parse_where(&server, at);
	int fd = udp_socket(server.sa.ss_family), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char *request = (char *)packet;
	int len = snprintf(request, 600, "%c%c%s%coctet%cblksize%c%zu", 0, RRQ, name, 0, 0, 0, blk) + 1;
	if (out < 0 || sendto(fd, request, (size_t)len, 0, (struct sockaddr *)&server.sa, server.len) < 0)
		die("%s to %s: %s", name, to, strerror(errno));
	if (recvfrom(fd, packet, sizeof(packet), 0, (struct sockaddr *)&server.sa, &server.len) < 4 || packet[1] != OACK)
		die("%s: no OACK", at);
	if (connect(fd, (struct sockaddr *)&server.sa, server.len) < 0)
		die("%s: %s", at, strerror(errno));
	send(fd, ack, sizeof(ack), 0);
	for (;;) {
		/* The header comes to where the last block's data end, which are put back over it. */
		uint8_t *place = gathered + have;
		ssize_t n = recv(fd, place, MAX_PACKET, 0);
		if (n < 4 || place[1] != DATA)
			die("%s: no DATA", at);
		ack[2] = place[2];
		ack[3] = place[3];
		send(fd, ack, sizeof(ack), 0);
		bool last = (size_t)n - 4 < blk;
		memmove(place, place + 4, (size_t)n - 4);
		have += (size_t)n - 4;
		if (have >= WRITE_AT || last) {
			if (pwrite(out, gathered, have, written) != (ssize_t)have)
				die("%s: %s", to, strerror(errno));
			written += (off_t)have;
			have = 0;
		}
		if (last)
			return close(out);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		serve(argv[2], argv[3]);
	else if (argc == 6 && strcmp(argv[1], "get") == 0)
		return get(argv[2], argv[3], argv[4], (size_t)number(argv[5])) < 0;
	die("usage: bare serve HOST:PORT DIR | bare get HOST:PORT FILE OUT BLKSIZE");
}
