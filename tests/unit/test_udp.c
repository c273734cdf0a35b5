/*
 * UDP sockets on loopback: batches, coalesced runs, every fast path and every way without it, local addresses, ICMP.
 * Loopback delivers before send returns, so nothing here waits.
 */
#include "udp.h"
#include "unit.h"
#include "unit_must.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sched.h>
#include <unistd.h>

static struct addr v4(const char *host)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.v4.sin_family = AF_INET;
	MUST(inet_pton(AF_INET, host, &a.v4.sin_addr) == 1);
	return a;
}

static struct addr v6(const char *host)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.v6.sin6_family = AF_INET6;
	MUST(inet_pton(AF_INET6, host, &a.v6.sin6_addr) == 1);
	return a;
}

/* An address of loopback that is this process's own: a port that is closed here is not soon another program's. */
static struct addr own_v4(void)
{
	char text[32];
	unsigned pid = (unsigned)getpid();

	snprintf(text, sizeof(text), "127.%u.%u.2", 1 + pid / 250 % 250, 1 + pid % 250);
	return v4(text);
}

/* Some machines are built without IPv6; what needs it says so. */
static bool have_v6(void)
{
	struct udp u;
	struct addr a = v6("::1");

	if (udp_open(&u, &a, false, 0) != 0) {
		puts("skip no IPv6 on loopback");
		return false;
	}
	udp_close(&u);
	return true;
}

static struct addr open_at(struct udp *u, struct addr local, bool pktinfo, unsigned without)
{
	struct addr bound;

	MUST(udp_open(u, &local, pktinfo, without) == 0);
	MUST(udp_local(u, &bound) == 0);
	MUST(addr_same_host(&bound, &local));
	MUST(addr_port(&bound) != 0);
	return bound;
}

static void fill(uint8_t *buf, size_t len, unsigned salt)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7 + i / 251 + salt);
}

/* The next datagram, receiving as needed; false when there is none. */
static bool take(struct udp *u, struct udp_batch *b, struct udp_datagram *d)
{
	memset(d, 0xee, sizeof(*d));
	if (udp_next(b, d))
		return true;
	int n = udp_recv(u, b, UDP_BATCH);
	MUST(n >= 0 && n <= UDP_BATCH);
	return n > 0 && udp_next(b, d);
}

/* A receive that reports an ICMP error has not lost what else is there. */
static bool take_in_spite_of_errors(struct udp *u, struct udp_batch *b, struct udp_datagram *d)
{
	for (int i = 0; i < 10; i++) {
		struct addr peer;

		int n = udp_recv(u, b, UDP_BATCH);
		if (n > 0)
			return udp_next(b, d);
		if (n == 0)
			return false;
		while (udp_error(u, &peer) != 0)
			;
	}
	return false;
}

START_TEST(sockets_are_nonblocking_close_on_exec_and_bound)
{
	struct udp u;
	struct addr a = open_at(&u, v4("127.0.0.1"), false, 0);

	ck_assert_int_eq(u.family, AF_INET);
	ck_assert(!u.pktinfo);
	ck_assert(fcntl(u.fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(u.fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_uint_ne(addr_port(&a), 0);
	udp_close(&u);
	ck_assert_int_eq(u.fd, -1);
	udp_close(&u);
}
END_TEST

START_TEST(open_says_why_it_failed)
{
	struct udp u, other;
	struct addr a = open_at(&u, own_v4(), false, 0), far = v4("192.0.2.77");

	ck_assert_int_eq(udp_open(&other, &a, true, 0), -EADDRINUSE);
	ck_assert_int_eq(udp_open(&other, &far, true, 0), -EADDRNOTAVAIL);
	udp_close(&u);
	ck_assert_int_eq(udp_open(&other, &a, true, 0), 0);
	udp_close(&other);
}
END_TEST

START_TEST(failed_opens_leave_no_descriptor_behind)
{
	struct udp u, other;
	struct addr a = open_at(&u, v4("127.0.0.1"), false, 0);
	int before = dup(0);

	close(before);
	for (int i = 0; i < 20; i++)
		ck_assert_int_lt(udp_open(&other, &a, true, 0), 0);
	int after = dup(0);
	ck_assert_int_eq(after, before);
}
END_TEST

START_TEST(both_families_share_a_port)
{
	struct udp four, six;
	struct addr any6 = v6("::");
	int err = -EADDRINUSE;

	if (!have_v6())
		return;
	/* another program may have the port for IPv6, but not every port */
	for (int i = 0; i < 20 && err == -EADDRINUSE; i++) {
		struct addr a = open_at(&four, v4("0.0.0.0"), true, 0);

		addr_set_port(&any6, addr_port(&a));
		err = udp_open(&six, &any6, true, 0);
		if (err == 0)
			udp_close(&six);
		udp_close(&four);
	}
	ck_assert_int_eq(err, 0);
}
END_TEST

START_TEST(nothing_there_is_not_an_error)
{
	struct udp u;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;

	open_at(&u, v4("127.0.0.1"), true, 0);
	ck_assert_int_eq(udp_recv(&u, b, UDP_BATCH), 0);
	ck_assert(!udp_next(b, &d));
	udp_batch_del(b);
	udp_batch_del(NULL);
	udp_close(&u);
}
END_TEST

START_TEST(a_batch_keeps_datagrams_apart_and_in_order)
{
	struct udp in, out[3];
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr to = open_at(&in, v4("127.0.0.1"), false, 0), from[3];
	uint8_t buf[2000];

	for (int i = 0; i < 3; i++)
		from[i] = open_at(&out[i], v4("127.0.0.1"), false, 0);
	for (unsigned i = 0; i < 40; i++) {
		fill(buf, i * 49, i);
		ck_assert_int_eq(udp_send(&out[i % 3], &to, NULL, 0, buf, i * 49, i * 49 + 1), 1);
	}
	unsigned n = 0;
	int calls = 0, got;
	while ((got = udp_recv(&in, b, UDP_BATCH)) > 0) {
		calls++;
		ck_assert_int_le(got, UDP_BATCH);
		while (udp_next(b, &d)) {
			fill(buf, n * 49, n);
			ck_assert_uint_eq(d.len, n * 49);
			ck_assert_mem_eq(d.buf, buf, d.len);
			ck_assert(addr_equal(&d.from, &from[n % 3]));
			ck_assert(!d.cut);
			ck_assert_int_eq(d.to.sa.sa_family, AF_UNSPEC);
			ck_assert_uint_eq(d.ifindex, 0);
			n++;
		}
		ck_assert(!udp_next(b, &d));
	}
	ck_assert_int_eq(got, 0);
	ck_assert_uint_eq(n, 40);
	ck_assert_int_le(calls, 3);
	udp_batch_del(b);
}
END_TEST

START_TEST(a_batch_takes_no_more_than_it_is_asked)
{
	struct udp in, out;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr to = open_at(&in, v4("127.0.0.1"), true, 0);

	open_at(&out, v4("127.0.0.1"), false, 0);
	for (uint8_t i = 0; i < 6; i++)
		ck_assert_int_eq(udp_send(&out, &to, NULL, 0, &i, 1, 1), 1);
	for (uint8_t i = 0; i < 4; i++) {
		ck_assert_int_eq(udp_recv(&in, b, 1), 1);
		ck_assert(udp_next(b, &d));
		ck_assert_uint_eq(d.buf[0], i);
		ck_assert(!udp_next(b, &d));
	}
	ck_assert_int_eq(udp_recv(&in, b, UDP_BATCH), 2);
	udp_batch_del(b);
}
END_TEST

START_TEST(the_largest_datagram_passes_whole)
{
	static uint8_t buf[65507];
	struct udp in, out;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr to = open_at(&in, v4("127.0.0.1"), true, 0);

	open_at(&out, v4("127.0.0.1"), false, 0);
	fill(buf, sizeof(buf), 3);
	ck_assert_int_eq(udp_send(&out, &to, NULL, 0, buf, sizeof(buf), sizeof(buf)), 1);
	ck_assert(take(&in, b, &d));
	ck_assert_uint_eq(d.len, sizeof(buf));
	ck_assert_mem_eq(d.buf, buf, sizeof(buf));
	ck_assert(!d.cut);
	ck_assert_int_eq(udp_send(&out, &to, NULL, 0, buf, 0, 1), 1);
	ck_assert(take(&in, b, &d));
	ck_assert_uint_eq(d.len, 0);
	udp_batch_del(b);
}
END_TEST

/* Send the run whole, however many calls it takes, and see it arrive in its pieces. */
static void pass_run(struct addr host, unsigned send_without, unsigned recv_without, bool pktinfo, size_t len, size_t seg)
{
	static uint8_t buf[200000];
	struct udp in, out;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr to = open_at(&in, host, pktinfo, recv_without), from = open_at(&out, host, pktinfo, send_without);
	int room = 4 << 20;

	/* What does not fit is dropped on loopback as anywhere. */
	setsockopt(in.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	udp_coalesce(&in, recv_without);
	if (recv_without & UDP_NO_GRO)
		MUST(!in.gro);
	fill(buf, len, (unsigned)seg);
	size_t sent = 0, got = 0, total = (len + seg - 1) / seg;
	for (size_t at = 0; at < total;) {
		int n = udp_send(&out, &to, pktinfo ? &host : NULL, 0, buf + at * seg, len - at * seg, seg);
		ck_assert_int_ge(n, 1);
		ck_assert_uint_le(at + (size_t)n, total);
		at += (size_t)n;
		while (take(&in, b, &d)) {
			size_t want = len - got * seg < seg ? len - got * seg : seg;
			MUST(d.len == want);
			MUST(memcmp(d.buf, buf + got * seg, want) == 0);
			MUST(addr_equal(&d.from, &from));
			MUST(!d.cut);
			if (pktinfo)
				MUST(addr_same_host(&d.to, &host) && addr_port(&d.to) == 0);
			else
				MUST(d.to.sa.sa_family == AF_UNSPEC);
			got++;
		}
		sent = at;
	}
	ck_assert_uint_eq(sent, total);
	ck_assert_uint_eq(got, total);
	udp_batch_del(b);
	udp_close(&in);
	udp_close(&out);
}

static const struct {
	size_t len, seg;
} runs[] = {
	{1, 1472}, {1472, 1472}, {1473, 1472}, {44 * 1472, 1472}, {44 * 1472 - 700, 1472}, {64 * 516, 516},
	{64 * 12, 12}, {63 * 516 + 4, 516}, {2 * 30004, 30004}, {65507, 65507}, {2 * 1472, 1472}, {5, 4},
	/* more than one call can take: too many segments, too many bytes */
	{100 * 516, 516}, {128 * 1472, 1472}, {3 * 65468, 65468},
	/* one byte more than a datagram can hold, in equal parts */
	{65508, 1236},
};

START_TEST(runs_arrive_in_pieces_by_every_path)
{
	for (unsigned send_without = 0; send_without < 8; send_without++)
		for (unsigned recv_without = 0; recv_without < 4; recv_without += UDP_NO_GRO)
			for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
				for (int pktinfo = 0; pktinfo < 2; pktinfo++)
					pass_run(v4("127.0.0.1"), send_without, recv_without, pktinfo, runs[i].len, runs[i].seg);
}
END_TEST

START_TEST(runs_arrive_over_ipv6)
{
	if (!have_v6())
		return;
	for (unsigned without = 0; without < 8; without++)
		for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
			pass_run(v6("::1"), without, without, true, runs[i].len, runs[i].seg);
}
END_TEST

START_TEST(a_run_leaves_in_one_call_and_comes_in_one_message)
{
	static uint8_t buf[44 * 1472];
	struct udp in, out;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr to = open_at(&in, v4("127.0.0.1"), true, 0);
	int n = 0;

	open_at(&out, v4("127.0.0.1"), false, 0);
	udp_coalesce(&in, 0);
	int sent = udp_send(&out, &to, NULL, 0, buf, sizeof(buf), 1472);
	if (out.no_gso || !in.gro) {
		puts("skip no UDP_SEGMENT or UDP_GRO in this kernel");
		return;
	}
	ck_assert_int_eq(sent, 44);
	ck_assert_int_eq(udp_recv(&in, b, UDP_BATCH), 1);
	while (udp_next(b, &d)) {
		ck_assert_uint_eq(d.len, 1472);
		n++;
	}
	ck_assert_int_eq(n, 44);
	udp_batch_del(b);
}
END_TEST

/* Segments that this path cannot take must not cost the next peer its fast path. */
START_TEST(a_run_too_large_to_segment_leaves_smaller_ones_their_fast_path)
{
	static uint8_t buf[2 * 65468];
	struct udp in, out;
	struct addr to = open_at(&in, v4("127.0.0.1"), true, 0);

	open_at(&out, v4("127.0.0.1"), false, 0);
	ck_assert_int_ge(udp_send(&out, &to, NULL, 0, buf, 2 * 1472, 1472), 1);
	bool refused = out.no_gso;
	ck_assert_int_ge(udp_send(&out, &to, NULL, 0, buf, sizeof(buf), 65468), 1);
	ck_assert_int_eq(out.no_gso, refused);
}
END_TEST

/* A batch of mixed senders: some coalesced, some not, an empty datagram between them. */
START_TEST(coalesced_and_single_datagrams_mix)
{
	static uint8_t buf[20 * 1000 + 7];
	struct udp in, out;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr to = open_at(&in, v4("127.0.0.1"), true, 0);
	size_t want[64], n = 0, got = 0;

	open_at(&out, v4("127.0.0.1"), false, 0);
	udp_coalesce(&in, 0);
	fill(buf, sizeof(buf), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_ge(udp_send(&out, &to, NULL, 0, buf, sizeof(buf), 1000), 1);
		for (int k = 0; k < 20; k++)
			want[n++] = 1000;
		want[n++] = 7;
		ck_assert_int_eq(udp_send(&out, &to, NULL, 0, buf, 0, 1), 1);
		want[n++] = 0;
		ck_assert_int_eq(udp_send(&out, &to, NULL, 0, buf, 333, 333), 1);
		want[n++] = 333;
	}
	while (take(&in, b, &d)) {
		ck_assert_uint_lt(got, n);
		ck_assert_uint_eq(d.len, want[got]);
		got++;
	}
	ck_assert_uint_eq(got, n);
	udp_batch_del(b);
}
END_TEST

START_TEST(an_inherited_socket_is_taken_over)
{
	struct udp first, in, out;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr to = open_at(&first, v4("127.0.0.1"), false, 0), local, host = v4("127.0.0.1");

	ck_assert_int_eq(udp_adopt(&in, first.fd, UDP_NO_GSO), 0);
	ck_assert_int_eq(in.fd, first.fd);
	ck_assert_int_eq(in.family, AF_INET);
	ck_assert(in.pktinfo && in.no_gso);
	ck_assert_int_eq(udp_local(&in, &local), 0);
	ck_assert(addr_equal(&local, &to));
	open_at(&out, v4("127.0.0.1"), false, 0);
	ck_assert_int_eq(udp_send(&out, &to, NULL, 0, (const uint8_t *)"x", 1, 1), 1);
	ck_assert(take(&in, b, &d));
	ck_assert(addr_same_host(&d.to, &host));
	udp_batch_del(b);
}
END_TEST

/* inetd and systemd start the server for it: the kernel notes where to only once it has been asked to. */
START_TEST(what_waited_in_an_inherited_socket_is_for_us)
{
	struct udp first, in, out;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr host = v4("127.0.0.1"), to = open_at(&first, host, false, 0);

	open_at(&out, host, false, 0);
	ck_assert_int_eq(udp_send(&out, &to, NULL, 0, (const uint8_t *)"x", 1, 1), 1);
	ck_assert_int_eq(udp_adopt(&in, first.fd, 0), 0);
	ck_assert(take(&in, b, &d));
	ck_assert(!d.group);
	ck_assert(addr_same_host(&d.to, &host));
	ck_assert_int_eq(udp_send(&in, &d.from, &d.to, d.ifindex, (const uint8_t *)"yz", 2, 2), 1);
	ck_assert(take(&out, b, &d));
	ck_assert_uint_eq(d.len, 2);
	udp_batch_del(b);
}
END_TEST

START_TEST(what_is_no_udp_socket_is_not_taken_over)
{
	struct udp u;
	int fds[2];

	MUST(pipe(fds) == 0);
	ck_assert_int_lt(udp_adopt(&u, fds[0], 0), 0);
	ck_assert_int_lt(udp_adopt(&u, 9999, 0), 0);
}
END_TEST

/* A server on every address answers from the one that was asked: firmware drops anything else. */
static void answer_from(struct addr any, struct addr asked)
{
	struct udp server, client;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr bound = open_at(&server, any, true, 0), to = asked, peer;
	uint8_t buf[4000];

	addr_set_port(&to, addr_port(&bound));
	peer = open_at(&client, asked, false, 0);
	fill(buf, sizeof(buf), 9);
	ck_assert_int_eq(udp_send(&client, &to, NULL, 0, buf, 10, 10), 1);
	ck_assert(take(&server, b, &d));
	ck_assert(addr_equal(&d.from, &peer));
	ck_assert(addr_same_host(&d.to, &asked));
	ck_assert_uint_eq(addr_port(&d.to), 0);
	ck_assert_uint_eq(d.ifindex, if_nametoindex("lo"));
	for (unsigned fast = 0; fast < 2; fast++) {
		struct addr local = d.to;
		unsigned ifindex = d.ifindex;
		struct udp_datagram back;
		size_t n = 0;

		server.no_gso = fast == 0;
		for (size_t at = 0; at < 4;) {
			int sent = udp_send(&server, &peer, &local, ifindex, buf + at * 1000, sizeof(buf) - at * 1000, 1000);
			ck_assert_int_ge(sent, 1);
			at += (size_t)sent;
		}
		while (take(&client, b, &back)) {
			ck_assert(addr_equal(&back.from, &to));
			n++;
		}
		ck_assert_uint_eq(n, 4);
		d.to = local;
	}
	udp_batch_del(b);
	udp_close(&server);
	udp_close(&client);
}

START_TEST(the_answer_comes_from_the_address_that_was_asked)
{
	answer_from(v4("0.0.0.0"), v4("127.0.0.1"));
	answer_from(v4("0.0.0.0"), v4("127.0.0.2"));
	answer_from(v4("0.0.0.0"), v4("127.9.8.7"));
}
END_TEST

/* The kernel's struct in6_ifreq, whose header does not go together with the C library's. */
struct ifreq6 {
	struct in6_addr addr;
	uint32_t prefix;
	int ifindex;
};

/* In a network of its own a test may give loopback a second address. */
static bool second_address(const char *host)
{
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
	struct addr a = v6(host);

	if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return false;
	struct ifreq6 six = {.addr = a.v6.sin6_addr, .prefix = 128, .ifindex = (int)if_nametoindex("lo")};
	int fd4 = socket(AF_INET, SOCK_DGRAM, 0), fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd4 < 0 || fd6 < 0 || ioctl(fd4, SIOCSIFFLAGS, &up) != 0 || ioctl(fd6, SIOCSIFADDR, &six) != 0)
		return false;
	/* The kernel makes the address good in a worker of its own. */
	for (int tries = 0; tries < 1000000; tries++) {
		if (bind(fd6, &a.sa, sizeof(a.v6)) == 0)
			return true;
		sched_yield();
	}
	return false;
}

START_TEST(the_answer_comes_from_the_ipv6_address_that_was_asked)
{
	if (!have_v6())
		return;
	answer_from(v6("::"), v6("::1"));
	if (second_address("fd00:1::2"))
		answer_from(v6("::"), v6("fd00:1::2"));
	else
		puts("skip no network of its own for a second IPv6 address");
}
END_TEST

/*
 * A port that answers as if it was closed, and is not: no other program's socket can be there. Connected to itself, a
 * socket takes nothing from anybody else.
 */
static struct addr closed_port(struct addr host)
{
	struct udp u;
	struct addr a = open_at(&u, host, false, 0);

	MUST(connect(u.fd, &a.sa, addr_len(&a)) == 0);
	return a;
}

static void refused(struct addr host, bool pktinfo)
{
	struct udp u;
	struct addr nobody = closed_port(host), peer;

	open_at(&u, host, pktinfo, 0);
	ck_assert_int_eq(udp_error(&u, &peer), 0);
	ck_assert_int_eq(udp_send(&u, &nobody, NULL, 0, (const uint8_t *)"x", 1, 1), 1);
	ck_assert_int_eq(udp_error(&u, &peer), ECONNREFUSED);
	ck_assert(addr_equal(&peer, &nobody));
	ck_assert_int_eq(udp_error(&u, &peer), 0);
	udp_close(&u);
}

START_TEST(icmp_errors_name_the_peer)
{
	refused(v4("127.0.0.1"), false);
	refused(v4("127.0.0.1"), true);
}
END_TEST

START_TEST(icmpv6_errors_name_the_peer)
{
	if (!have_v6())
		return;
	refused(v6("::1"), false);
	refused(v6("::1"), true);
}
END_TEST

START_TEST(every_icmp_error_of_a_queue_is_told)
{
	struct udp u;
	struct addr nobody[3], peer;

	open_at(&u, v4("127.0.0.1"), true, 0);
	for (int i = 0; i < 3; i++) {
		nobody[i] = closed_port(v4("127.0.0.1"));
		/* The socket's pending error may take the place of a send; the next one goes through. */
		if (udp_send(&u, &nobody[i], NULL, 0, (const uint8_t *)"x", 1, 1) != 1)
			ck_assert_int_eq(udp_send(&u, &nobody[i], NULL, 0, (const uint8_t *)"x", 1, 1), 1);
	}
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(udp_error(&u, &peer), ECONNREFUSED);
		ck_assert(addr_equal(&peer, &nobody[i]));
	}
	ck_assert_int_eq(udp_error(&u, &peer), 0);
}
END_TEST

START_TEST(an_icmp_error_does_not_cost_other_peers_their_datagrams)
{
	struct udp u, other;
	struct udp_batch *b = udp_batch_new();
	struct udp_datagram d;
	struct addr nobody = closed_port(v4("127.0.0.1")), here = open_at(&u, v4("127.0.0.1"), true, 0);
	struct addr there = open_at(&other, v4("127.0.0.1"), false, 0);

	ck_assert_int_eq(udp_send(&u, &nobody, NULL, 0, (const uint8_t *)"x", 1, 1), 1);
	ck_assert_int_eq(udp_send(&other, &here, NULL, 0, (const uint8_t *)"y", 1, 1), 1);
	ck_assert(take_in_spite_of_errors(&u, b, &d));
	ck_assert_uint_eq(d.len, 1);
	ck_assert_uint_eq(d.buf[0], 'y');
	ck_assert(addr_equal(&d.from, &there));
	udp_batch_del(b);
}
END_TEST

START_TEST(awaiting_takes_what_is_there_and_ends_in_silence)
{
	struct udp in, out;
	struct udp_batch *b = udp_batch_new();
	struct addr to = open_at(&in, v4("127.0.0.1"), false, 0);
	struct udp_datagram d;

	open_at(&out, v4("127.0.0.1"), false, 0);
	for (int max = 1; max <= UDP_BATCH; max += UDP_BATCH - 1) {
		ck_assert_int_eq(udp_await(&in, b, max), 0);
		ck_assert_int_eq(udp_send(&out, &to, NULL, 0, (const uint8_t *)"abc", 3, 3), 1);
		ck_assert_int_eq(udp_await(&in, b, max), 1);
		ck_assert(udp_next(b, &d));
		ck_assert_uint_eq(d.len, 3);
		ck_assert(!udp_next(b, &d));
		/* Only this call waits. */
		ck_assert_int_eq(udp_recv(&in, b, max), 0);
	}
	udp_batch_del(b);
}
END_TEST

START_TEST(a_connected_socket_leaves_strangers_to_the_other_one)
{
	struct udp u, others, peer, stranger;
	struct udp_batch *b = udp_batch_new();
	struct addr here = open_at(&u, v4("127.0.0.1"), false, 0), shared;
	struct addr friend = open_at(&peer, v4("127.0.0.1"), false, 0);
	struct addr unknown = open_at(&stranger, v4("127.0.0.1"), false, 0);
	uint8_t run[3000];
	struct udp_datagram d;

	fill(run, sizeof(run), 1);
	ck_assert_int_eq(udp_connect(&u, &friend, &others), 0);
	MUST(udp_local(&others, &shared) == 0);
	ck_assert(addr_equal(&shared, &here));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(udp_send(&stranger, &here, NULL, 0, (const uint8_t *)"s", 1, 1), 1);
		ck_assert_int_eq(udp_send(&peer, &here, NULL, 0, (const uint8_t *)"p", 1, 1), 1);
		ck_assert(take(&u, b, &d));
		ck_assert_uint_eq(d.buf[0], 'p');
		ck_assert(addr_equal(&d.from, &friend));
		ck_assert(!take(&u, b, &d));
		ck_assert(take(&others, b, &d));
		ck_assert_uint_eq(d.buf[0], 's');
		ck_assert(addr_equal(&d.from, &unknown));
		ck_assert(!take(&others, b, &d));
	}
	/* One datagram, and a run, from the port that the peer knows. */
	ck_assert_int_eq(udp_send(&u, &friend, NULL, 0, run, 10, 10), 1);
	ck_assert(take(&peer, b, &d));
	ck_assert(addr_equal(&d.from, &here));
	ck_assert_int_eq(udp_send(&u, &friend, NULL, 0, run, sizeof(run), 1000), 3);
	for (int i = 0; i < 3; i++) {
		ck_assert(take(&peer, b, &d));
		ck_assert_uint_eq(d.len, 1000);
		ck_assert_int_eq(memcmp(d.buf, run + i * 1000, 1000), 0);
	}
	ck_assert_int_eq(udp_send(&others, &unknown, NULL, 0, (const uint8_t *)"5", 1, 1), 1);
	ck_assert(take(&stranger, b, &d));
	ck_assert(addr_equal(&d.from, &here));
	udp_batch_del(b);
}
END_TEST

START_TEST(nobody_else_can_get_the_port_of_a_connected_socket)
{
	struct udp u, others, peer, third;
	struct addr here = open_at(&u, own_v4(), false, 0), friend = open_at(&peer, v4("127.0.0.1"), false, 0);

	MUST(udp_connect(&u, &friend, &others) == 0);
	ck_assert_int_eq(udp_open(&third, &here, false, 0), -EADDRINUSE);
	udp_close(&u);
	ck_assert_int_eq(udp_open(&third, &here, false, 0), -EADDRINUSE);
	udp_close(&others);
	ck_assert_int_eq(udp_open(&third, &here, false, 0), 0);
}
END_TEST

START_TEST(a_socket_that_cannot_be_connected_works_as_before)
{
	struct udp u, others, peer, stranger;
	struct udp_batch *b = udp_batch_new();
	struct addr here = open_at(&u, v4("127.0.0.1"), false, 0), friend = open_at(&peer, v4("127.0.0.1"), false, 0);
	struct rlimit old, none = {.rlim_cur = 0};
	struct udp_datagram d;

	open_at(&stranger, v4("127.0.0.1"), false, 0);
	MUST(getrlimit(RLIMIT_NOFILE, &old) == 0);
	none.rlim_max = old.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &none) == 0);
	int err = udp_connect(&u, &friend, &others);
	MUST(setrlimit(RLIMIT_NOFILE, &old) == 0);
	ck_assert_int_eq(err, -EMFILE);
	ck_assert(!u.connected);
	ck_assert_int_eq(udp_send(&stranger, &here, NULL, 0, (const uint8_t *)"s", 1, 1), 1);
	ck_assert(take(&u, b, &d));
	ck_assert_int_eq(udp_send(&u, &friend, NULL, 0, (const uint8_t *)"x", 1, 1), 1);
	ck_assert(take(&peer, b, &d));
	ck_assert(addr_equal(&d.from, &here));
	udp_batch_del(b);
}
END_TEST

UNIT_MAIN("udp", sockets_are_nonblocking_close_on_exec_and_bound, open_says_why_it_failed,
    failed_opens_leave_no_descriptor_behind, both_families_share_a_port, nothing_there_is_not_an_error,
    a_batch_keeps_datagrams_apart_and_in_order, a_batch_takes_no_more_than_it_is_asked,
    the_largest_datagram_passes_whole, runs_arrive_in_pieces_by_every_path, runs_arrive_over_ipv6,
    a_run_leaves_in_one_call_and_comes_in_one_message,
    a_run_too_large_to_segment_leaves_smaller_ones_their_fast_path, coalesced_and_single_datagrams_mix,
    an_inherited_socket_is_taken_over, what_waited_in_an_inherited_socket_is_for_us,
    what_is_no_udp_socket_is_not_taken_over,
    the_answer_comes_from_the_address_that_was_asked, the_answer_comes_from_the_ipv6_address_that_was_asked,
    icmp_errors_name_the_peer, icmpv6_errors_name_the_peer, every_icmp_error_of_a_queue_is_told,
    an_icmp_error_does_not_cost_other_peers_their_datagrams, awaiting_takes_what_is_there_and_ends_in_silence,
    a_connected_socket_leaves_strangers_to_the_other_one, nobody_else_can_get_the_port_of_a_connected_socket,
    a_socket_that_cannot_be_connected_works_as_before)
