/*
 * Endpoints and sessions on loopback: server and clients in one loop, real sockets, stores in memory. The clock is the
 * test's own and moves a little with every turn, so a timeout costs no time.
 */
#include "endpoint.h"
#include "unit.h"
#include "unit_must.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define CONTENT_MAX (1 << 20)

static mono_t clock_now = 1000 * MONO_SEC;
static struct loop loop;
static struct exchange x;
static uint8_t content[CONTENT_MAX];

static const struct transfer_policy policy = {
	.first = MONO_SEC, .give_up = 30 * MONO_SEC, .tries = 3, .dally_min = 10 * MONO_MS, .dally_max = 20 * MONO_MS,
};

static mono_t fake_clock(void)
{
	return clock_now;
}

static void turn(void)
{
	clock_now += 20 * MONO_US;
	MUST(loop_once(&loop, clock_now) == 0);
}

static void turns(int n)
{
	while (n-- > 0)
		turn();
}

/* Stores in memory. */

struct mem {
	uint8_t *bytes;
	size_t len, cap;
	bool finished;
	int closed;
};

static ssize_t mem_read(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	const struct mem *m = arg;
	ssize_t got = 0;

	for (int i = 0; i < n; i++) {
		size_t at = off + (size_t)got, left = at < m->len ? m->len - at : 0;
		size_t len = left < iov[i].iov_len ? left : iov[i].iov_len;

		if (len > 0)
			memcpy(iov[i].iov_base, m->bytes + at, len);
		got += (ssize_t)len;
	}
	return got;
}

static int mem_write(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct mem *m = arg;

	for (int i = 0; i < n; i++) {
		MUST(off + iov[i].iov_len <= m->cap);
		memcpy(m->bytes + off, iov[i].iov_base, iov[i].iov_len);
		off += iov[i].iov_len;
		if (off > m->len)
			m->len = off;
	}
	return 0;
}

static int mem_finish(void *arg)
{
	((struct mem *)arg)->finished = true;
	return 0;
}

static void mem_close(void *arg)
{
	((struct mem *)arg)->closed++;
}

static const struct store_ops mem_source = {.read = mem_read, .close = mem_close};
static const struct store_ops mem_sink = {.write = mem_write, .finish = mem_finish, .close = mem_close};

/* Both ends. */

struct party {
	struct session session;  /* first: a session is its party */
	struct endpoint own;
	bool has_own;
	struct mem mem;
	struct transfer_request request;
	int verdicts, overs;
	struct transfer_result result;
};

static struct party *parties[2048];
static int party_count;

static struct party *new_party(const uint8_t *bytes, size_t len, size_t cap)
{
	struct party *p = calloc(1, sizeof(*p));

	MUST(p != NULL && party_count < 2048);
	p->mem.bytes = malloc(cap + 1);
	MUST(p->mem.bytes != NULL);
	p->mem.cap = cap;
	p->mem.len = len;
	if (len > 0)
		memcpy(p->mem.bytes, bytes, len);
	parties[party_count++] = p;
	return p;
}

static void verdict(struct session *s, const struct transfer_result *r, mono_t now)
{
	struct party *p = (struct party *)s;

	(void)now;
	MUST(p->overs == 0);
	p->verdicts++;
	p->result = *r;
}

static void over(struct session *s, mono_t now)
{
	struct party *p = (struct party *)s;

	(void)now;
	MUST(p->verdicts == 1);
	p->overs++;
	session_detach(s);
	transfer_free(&s->transfer);
	if (p->has_own)
		endpoint_close(&p->own);
	MUST(p->mem.closed == 1);
}

static const struct session_ops ops = {.verdict = verdict, .over = over};

static struct addr host(const char *text, uint16_t port)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.v4.sin_family = AF_INET;
	a.v4.sin_port = htons(port);
	MUST(inet_pton(AF_INET, text, &a.v4.sin_addr) == 1);
	return a;
}

static struct {
	struct endpoint listener;
	struct addr at;
	bool single_port;
	size_t file_len;             /* what a read gets: so much of `content` */
	struct option_limits limits;
	int requests, repeated, odd, faults;
	struct party *last;
} server;

static void request_arrived(struct endpoint *e, const struct udp_datagram *d, const struct packet *p, int fault, int op,
    mono_t now)
{
	struct option_set asked, granted;
	struct option_terms terms;

	MUST(e == &server.listener && e->owner == &server);
	if (p == NULL) {
		MUST(fault < 0);
		server.faults++;
		return;
	}
	MUST((int)p->op == op);
	if (p->op != PACKET_RRQ && p->op != PACKET_WRQ) {
		server.odd++;
		return;
	}
	server.requests++;
	struct session *running = session_table_find(&x.sessions, &d->from, &d->to);
	if (running != NULL) {
		server.repeated++;
		session_input(running, p, now);
		return;
	}
	bool write = p->op == PACKET_WRQ;
	struct party *party = new_party(content, write ? 0 : server.file_len, CONTENT_MAX);
	struct store store = {.ops = write ? &mem_sink : &mem_source, .arg = &party->mem, .seekable = true};
	struct endpoint *where = e;
	options_parse(&asked, p);
	options_accept(&asked, write, &server.limits, write ? TSIZE_UNKNOWN : server.file_len, &granted, &terms);
	if (write)
		transfer_serve_put(&party->session.transfer, &store, &x.gather, &granted, &terms, &policy, now);
	else
		transfer_serve_get(&party->session.transfer, &store, &granted, &terms, &policy, now);
	party->session.peer = d->from;
	party->session.local = d->to;
	party->session.ifindex = d->ifindex;
	if (!server.single_port) {
		MUST(udp_open(&party->own.udp, &d->to, false, x.without) == 0);
		MUST(endpoint_add(&party->own, &x, endpoint_reject, NULL) == 0);
		party->has_own = true;
		where = &party->own;
	}
	MUST(session_attach(&party->session, where, party->has_own, true, &ops) == 0);
	server.last = party;
	session_pump(&party->session, now);
}

static void start(bool single_port, unsigned without)
{
	struct addr any = host("0.0.0.0", 0);

	for (size_t i = 0; i < CONTENT_MAX; i++)
		content[i] = (uint8_t)(i * 31 + i / 509);
	loop_init(&loop);
	loop.clock = fake_clock;
	MUST(exchange_init(&x, &loop, 42, without) == 0);
	server.single_port = single_port;
	server.limits = (struct option_limits){.blksize = 65464, .windowsize = 64, .window_bytes = 65536};
	MUST(udp_open(&server.listener.udp, &any, true, without) == 0);
	if (single_port)
		udp_coalesce(&server.listener.udp, without);
	MUST(endpoint_add(&server.listener, &x, request_arrived, &server) == 0);
	MUST(udp_local(&server.listener.udp, &server.at) == 0);
	server.at = host("127.0.0.1", addr_port(&server.at));
}

static void stop(void)
{
	for (int i = 0; i < party_count; i++) {
		if (parties[i]->overs == 0) {
			session_detach(&parties[i]->session);
			transfer_free(&parties[i]->session.transfer);
			if (parties[i]->has_own)
				endpoint_close(&parties[i]->own);
		}
		MUST(parties[i]->mem.closed == 1);
		free(parties[i]->mem.bytes);
		free(parties[i]);
	}
	party_count = 0;
	endpoint_close(&server.listener);
	MUST(x.sessions.n == 0);
	MUST(loop.ncrowd == 0 && loop.nfds == (loop.crowd_io.fd >= 0));
	MUST(loop.ntimers == 0);
	exchange_free(&x);
	loop_free(&loop);
	memset(&server, 0, sizeof(server));
}

/* A client of `len` bytes to put, or none to get, with these options; 0: without. */
static struct party *client(bool put, size_t len, uint64_t blksize, uint64_t windowsize, const struct addr *to)
{
	struct party *p = new_party(content, put ? len : 0, CONTENT_MAX);
	struct store store = {.ops = put ? &mem_source : &mem_sink, .arg = &p->mem, .seekable = true};
	struct addr local = host("127.0.0.1", 0);

	p->request.name = "file";
	p->request.mode = "octet";
	if (blksize > 0)
		options_add(&p->request.offered, OPTION_BLKSIZE, blksize);
	if (windowsize > 0)
		options_add(&p->request.offered, OPTION_WINDOWSIZE, windowsize);
	if (put)
		transfer_put(&p->session.transfer, &store, &p->request, &policy, clock_now);
	else
		transfer_get(&p->session.transfer, &store, &x.gather, &p->request, &policy, clock_now);
	MUST(udp_open(&p->own.udp, &local, false, x.without) == 0);
	udp_coalesce(&p->own.udp, x.without);
	MUST(endpoint_add(&p->own, &x, endpoint_reject, NULL) == 0);
	p->has_own = true;
	p->session.peer = *to;
	p->session.any_port = true;
	MUST(session_attach(&p->session, &p->own, true, false, &ops) == 0);
	session_pump(&p->session, clock_now);
	return p;
}

static void until_over(const struct party *p)
{
	for (int i = 0; i < 2000000 && p->overs == 0; i++)
		turn();
	MUST(p->overs == 1);
}

static void assert_done(const struct party *p, size_t len)
{
	ck_assert_int_eq(p->verdicts, 1);
	ck_assert_int_eq(p->result.outcome, TRANSFER_DONE);
	ck_assert_uint_eq(p->result.bytes, len);
}

/* One whole transfer; both ends must agree that it is done, and on every byte. */
static void run_transfer(bool put, size_t len, uint64_t blksize, uint64_t windowsize)
{
	server.file_len = len;
	struct party *c = client(put, len, blksize, windowsize, &server.at);
	until_over(c);
	until_over(server.last);
	assert_done(c, len);
	assert_done(server.last, len);
	const struct mem *got = put ? &server.last->mem : &c->mem;
	ck_assert(got->finished);
	ck_assert_uint_eq(got->len, len);
	ck_assert_int_eq(memcmp(got->bytes, content, len), 0);
	ck_assert_int_eq(server.odd, 0);
}

static const size_t lengths[] = {0, 1, 511, 512, 513, 1024, 100000, 300 * 1468, CONTENT_MAX};

static void run_all(bool single_port, unsigned without)
{
	start(single_port, without);
	for (int put = 0; put < 2; put++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			if (lengths[i] <= 100000)
				run_transfer(put, lengths[i], 0, 0);
			run_transfer(put, lengths[i], 1468, 16);
			run_transfer(put, lengths[i], 1024, 64);
			run_transfer(put, lengths[i], 65464, 1);
		}
	ck_assert_uint_eq(x.strangers, 0); /* those who ask a listener are its clients */
	ck_assert_uint_eq(x.malformed, 0);
	stop();
}

START_TEST(files_pass_both_ways_on_ports_of_their_own)
{
	run_all(false, 0);
}
END_TEST

START_TEST(files_pass_both_ways_on_a_single_port)
{
	run_all(true, 0);
}
END_TEST

START_TEST(files_pass_without_every_fast_path)
{
	for (unsigned without = 1; without < 8; without++) {
		start(without % 2, without);
		run_transfer(false, 300000, 1468, 44);
		run_transfer(true, 300000, 1468, 44);
		stop();
	}
}
END_TEST

static void run_many(bool single_port)
{
	enum { N = 200 };
	struct party *c[N];

	start(single_port, 0);
	server.file_len = 20000;
	for (int i = 0; i < N; i++)
		c[i] = client(i % 3 == 0, (size_t)i * 50, 512, 8, &server.at);
	for (int i = 0; i < N; i++) {
		until_over(c[i]);
		assert_done(c[i], i % 3 ? 20000 : (size_t)i * 50);
		if (i % 3)
			ck_assert(memcmp(c[i]->mem.bytes, content, 20000) == 0);
	}
	for (int i = 0; i < party_count; i++) {
		until_over(parties[i]);
		ck_assert_int_eq(parties[i]->result.outcome, TRANSFER_DONE);
	}
	stop();
}

START_TEST(many_clients_at_once_on_ports_of_their_own)
{
	run_many(false);
}
END_TEST

START_TEST(many_clients_at_once_on_a_single_port)
{
	run_many(true);
}
END_TEST

/* A peer made by hand. */

struct raw {
	int fd;
	struct addr at, from;
	uint8_t buf[65536];
	ssize_t len;
	struct packet p;
};

static void raw_open(struct raw *r, const char *text)
{
	struct addr a = host(text, 0);
	socklen_t len = sizeof(r->at);

	r->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	MUST(r->fd >= 0 && bind(r->fd, &a.sa, addr_len(&a)) == 0 && getsockname(r->fd, &r->at.sa, &len) == 0);
}

static void raw_send(const struct raw *r, const struct addr *to, const void *bytes, size_t len)
{
	MUST(sendto(r->fd, bytes, len, 0, &to->sa, addr_len(to)) == (ssize_t)len);
}

#define RAW_SEND(r, to, literal) raw_send(r, to, literal, sizeof(literal) - 1)

/*
 * Gone for everybody else: connected to itself a socket hears nobody, and the kernel says "port unreachable". A port
 * that was closed could be another program's by then.
 */
static void raw_vanish(const struct raw *r)
{
	MUST(connect(r->fd, &r->at.sa, addr_len(&r->at)) == 0);
}

/* The next datagram as a packet; it is there already, or at once. */
static bool raw_recv(struct raw *r)
{
	socklen_t len = sizeof(r->from);
	struct pollfd p = {.fd = r->fd, .events = POLLIN};

	if (poll(&p, 1, 0) == 0)
		return false;
	r->len = recvfrom(r->fd, r->buf, sizeof(r->buf), 0, &r->from.sa, &len);
	MUST(r->len >= 0);
	MUST(packet_decode(&r->p, r->buf, (size_t)r->len) == PACKET_OK);
	return true;
}

static void raw_expect(struct raw *r, enum packet_op op, unsigned number)
{
	for (int i = 0; i < 1000 && !raw_recv(r); i++) {
		MUST(i < 999);
		turn();
	}
	ck_assert_int_eq(r->p.op, op);
	if (op == PACKET_ERROR)
		ck_assert_uint_eq(r->p.code, number);
	else if (op != PACKET_OACK)
		ck_assert_uint_eq(r->p.block, number);
}

static void raw_expect_nothing(struct raw *r)
{
	turns(50);
	ck_assert(!raw_recv(r));
}

static struct raw raw, other;

START_TEST(a_stranger_gets_error_5_and_disturbs_nothing)
{
	start(false, 0);
	raw_open(&raw, "127.0.0.1");
	server.file_len = CONTENT_MAX;
	struct party *c = client(false, 0, 512, 1, &server.at);
	while (c->session.any_port)
		turn();
	turns(20);
	struct addr server_tid = c->session.peer, client_tid;
	MUST(udp_local(&c->own.udp, &client_tid) == 0);
	ck_assert(!addr_equal(&server_tid, &server.at));

	static const char data[] = "\0\3\0\1forged", ack[] = "\0\4\0\1", oack[] = "\0\6blksize\0" "8\0", rrq[] = "\0\1f\0octet\0";
	const struct addr *const tids[] = {&server_tid, &client_tid};
	for (int i = 0; i < 2; i++) {
		raw_send(&raw, tids[i], data, sizeof(data) - 1);
		raw_expect(&raw, PACKET_ERROR, ERROR_UNKNOWN_TID);
		ck_assert(addr_equal(&raw.from, tids[i]));
		ck_assert_uint_gt(raw.p.len, 0);
		raw_send(&raw, tids[i], ack, sizeof(ack) - 1);
		raw_expect(&raw, PACKET_ERROR, ERROR_UNKNOWN_TID);
		raw_send(&raw, tids[i], oack, sizeof(oack) - 1);
		raw_expect(&raw, PACKET_ERROR, ERROR_UNKNOWN_TID);
		raw_send(&raw, tids[i], rrq, sizeof(rrq) - 1);
		raw_expect(&raw, PACKET_ERROR, ERROR_UNKNOWN_TID);
		/* An ERROR is never answered, nor is what is no packet. */
		RAW_SEND(&raw, tids[i], "\0\5\0\0stop\0");
		RAW_SEND(&raw, tids[i], "\0\5\0\5\0");
		RAW_SEND(&raw, tids[i], "x");
		RAW_SEND(&raw, tids[i], "\0\3\0");
		RAW_SEND(&raw, tids[i], "\0\7\0\1");
		raw_send(&raw, tids[i], "", 0);
		raw_expect_nothing(&raw);
	}
	ck_assert_int_eq(c->overs, 0);
	until_over(c);
	until_over(server.last);
	assert_done(c, CONTENT_MAX);
	assert_done(server.last, CONTENT_MAX);
	ck_assert_int_eq(memcmp(c->mem.bytes, content, CONTENT_MAX), 0);
	ck_assert_uint_eq(x.malformed, 8);
	stop();
}
END_TEST

START_TEST(a_client_takes_its_first_answer_only_from_the_host_it_asked)
{
	struct party *c;
	struct addr client_tid;

	start(false, 0);
	raw_open(&raw, "127.0.0.1");
	raw_open(&other, "127.0.0.2");
	c = client(false, 0, 0, 0, &raw.at);
	raw_expect(&raw, PACKET_RRQ, 0);
	client_tid = raw.from;
	RAW_SEND(&other, &client_tid, "\0\3\0\1forged");
	raw_expect(&other, PACKET_ERROR, ERROR_UNKNOWN_TID);
	/* The host it asked, from another port: that is the peer's TID from now on. */
	struct raw *tid = calloc(1, sizeof(*tid));
	raw_open(tid, "127.0.0.1");
	RAW_SEND(tid, &client_tid, "\0\3\0\1good");
	raw_expect(tid, PACKET_ACK, 1);
	until_over(c);
	assert_done(c, 4);
	ck_assert_mem_eq(c->mem.bytes, "good", 4);
	free(tid);
	stop();
}
END_TEST

START_TEST(the_first_answer_fixes_the_port)
{
	struct party *c;

	start(false, 0);
	raw_open(&raw, "127.0.0.1");
	raw_open(&other, "127.0.0.1");
	c = client(false, 0, 512, 0, &raw.at);
	raw_expect(&raw, PACKET_RRQ, 0);
	struct addr client_tid = raw.from;
	RAW_SEND(&other, &client_tid, "\0\6blksize\0" "8\0");
	raw_expect(&other, PACKET_ACK, 0);
	RAW_SEND(&raw, &client_tid, "\0\3\0\1forgery!");
	raw_expect(&raw, PACKET_ERROR, ERROR_UNKNOWN_TID);
	RAW_SEND(&other, &client_tid, "\0\3\0\1honest");
	raw_expect(&other, PACKET_ACK, 1);
	until_over(c);
	assert_done(c, 6);
	ck_assert_mem_eq(c->mem.bytes, "honest", 6);
	stop();
}
END_TEST

/*
 * What a transfer that ended before on the same local port (--port-range of one) left under way is no answer: it took
 * the transfer with it, whose request then went on to a port where nobody knew of it.
 */
START_TEST(what_cannot_be_an_answer_fixes_no_port)
{
	struct party *c;

	start(false, 0);
	raw_open(&raw, "127.0.0.1");
	raw_open(&other, "127.0.0.1");
	c = client(false, 0, 512, 0, &raw.at);
	raw_expect(&raw, PACKET_RRQ, 0);
	struct addr client_tid = raw.from;
	RAW_SEND(&other, &client_tid, "\0\3\0\7late");
	raw_expect(&other, PACKET_ERROR, ERROR_UNKNOWN_TID);
	RAW_SEND(&other, &client_tid, "\0\4\0\0");
	raw_expect(&other, PACKET_ERROR, ERROR_UNKNOWN_TID);
	RAW_SEND(&raw, &client_tid, "\0\3\0\1good");
	raw_expect(&raw, PACKET_ACK, 1);
	until_over(c);
	assert_done(c, 4);
	c = client(true, 4, 0, 0, &raw.at);
	raw_expect(&raw, PACKET_WRQ, 0);
	client_tid = raw.from;
	RAW_SEND(&other, &client_tid, "\0\4\0\7");
	raw_expect(&other, PACKET_ERROR, ERROR_UNKNOWN_TID);
	RAW_SEND(&raw, &client_tid, "\0\4\0\0");
	raw_expect(&raw, PACKET_DATA, 1);
	RAW_SEND(&raw, &client_tid, "\0\4\0\1");
	until_over(c);
	assert_done(c, 4);
	stop();
}
END_TEST

static void repeat_request(bool single_port)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum packet_op op;
	} rows[] = {
		{"\0\1f\0octet\0", 10, PACKET_DATA},
		{"\0\1f\0octet\0blksize\0" "100\0", 22, PACKET_OACK},
		{"\0\2f\0octet\0", 10, PACKET_ACK},
		{"\0\2f\0octet\0blksize\0" "100\0", 22, PACKET_OACK},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(single_port, 0);
		server.file_len = 100;
		raw_open(&raw, "127.0.0.1");
		struct addr tid;
		for (int again = 0; again < 4; again++) {
			raw_send(&raw, &server.at, rows[i].bytes, rows[i].len);
			raw_expect(&raw, rows[i].op, rows[i].op == PACKET_DATA ? 1 : 0);
			if (again == 0)
				tid = raw.from;
			ck_assert(addr_equal(&raw.from, &tid));
			ck_assert_int_eq(addr_equal(&tid, &server.at), single_port);
			raw_expect_nothing(&raw);
		}
		ck_assert_int_eq(server.requests, 4);
		ck_assert_int_eq(server.repeated, 3);
		ck_assert_uint_eq(x.sessions.n, 1);
		/* The same request from another port is somebody else's. */
		raw_open(&other, "127.0.0.1");
		raw_send(&other, &server.at, rows[i].bytes, rows[i].len);
		raw_expect(&other, rows[i].op, rows[i].op == PACKET_DATA ? 1 : 0);
		ck_assert_uint_eq(x.sessions.n, 2);
		close(raw.fd);
		close(other.fd);
		stop();
	}
}

START_TEST(a_repeated_request_is_answered_by_the_transfer_that_runs)
{
	repeat_request(false);
}
END_TEST

START_TEST(a_repeated_request_is_answered_by_the_transfer_that_runs_on_a_single_port)
{
	repeat_request(true);
}
END_TEST

START_TEST(a_listener_hears_of_packets_that_belong_to_nobody)
{
	start(true, 0);
	raw_open(&raw, "127.0.0.1");
	RAW_SEND(&raw, &server.at, "\0\4\0\1");
	RAW_SEND(&raw, &server.at, "\0\3\0\1data");
	RAW_SEND(&raw, &server.at, "\0\5\0\1\0");
	RAW_SEND(&raw, &server.at, "\0\1no end");
	RAW_SEND(&raw, &server.at, "");
	turns(10);
	ck_assert_int_eq(server.odd, 3);
	ck_assert_int_eq(server.faults, 2);
	ck_assert_uint_eq(x.malformed, 2);
	ck_assert_uint_eq(x.strangers, 3);
	ck_assert(!raw_recv(&raw));
	stop();
}
END_TEST

START_TEST(a_peers_error_ends_its_session_only)
{
	start(true, 0);
	server.file_len = 5000;
	raw_open(&raw, "127.0.0.1");
	raw_open(&other, "127.0.0.1");
	RAW_SEND(&raw, &server.at, "\0\1f\0octet\0");
	raw_expect(&raw, PACKET_DATA, 1);
	struct party *first = server.last;
	RAW_SEND(&other, &server.at, "\0\1f\0octet\0");
	raw_expect(&other, PACKET_DATA, 1);
	struct party *second = server.last;
	RAW_SEND(&raw, &server.at, "\0\5\0\3disk full\0");
	turns(5);
	ck_assert_int_eq(first->overs, 1);
	ck_assert_int_eq(first->result.outcome, TRANSFER_PEER_ERROR);
	ck_assert_uint_eq(first->result.code, 3);
	ck_assert_str_eq(first->result.text, "disk full");
	ck_assert_int_eq(second->overs, 0);
	RAW_SEND(&other, &server.at, "\0\4\0\1");
	raw_expect(&other, PACKET_DATA, 2);
	raw_expect_nothing(&raw);
	stop();
}
END_TEST

START_TEST(silence_is_timed_by_the_loop)
{
	start(false, 0);
	server.file_len = 5000;
	raw_open(&raw, "127.0.0.1");
	RAW_SEND(&raw, &server.at, "\0\1f\0octet\0");
	raw_expect(&raw, PACKET_DATA, 1);
	raw_expect_nothing(&raw);
	int seen = 1;
	for (int i = 0; i < 100 && server.last->overs == 0; i++) {
		clock_now += MONO_SEC / 2;
		turn();
		while (raw_recv(&raw)) {
			ck_assert_int_eq(raw.p.op, PACKET_DATA);
			ck_assert_uint_eq(raw.p.block, 1);
			seen++;
		}
	}
	ck_assert_int_eq(server.last->overs, 1);
	ck_assert_int_eq(server.last->result.outcome, TRANSFER_TIMED_OUT);
	ck_assert_int_eq(seen, 3); /* one for each of its tries */
	stop();
}
END_TEST

START_TEST(nobody_there_ends_a_client_at_once)
{
	start(false, 0);
	raw_open(&raw, "127.0.0.1");
	raw_vanish(&raw);
	mono_t before = clock_now;
	struct party *c = client(false, 0, 0, 0, &raw.at);
	until_over(c);
	ck_assert_int_lt(clock_now - before, 100 * MONO_MS);
	ck_assert_int_eq(c->result.outcome, TRANSFER_UNREACHABLE);
	ck_assert_uint_eq(c->result.code, ECONNREFUSED);
	stop();
}
END_TEST

/* On a shared socket one peer's ICMP error comes up wherever the socket is used next. */
START_TEST(a_vanished_peer_ends_its_own_session_only)
{
	start(true, 0);
	server.file_len = CONTENT_MAX;
	struct party *c = client(false, 0, 512, 4, &server.at);
	turns(10);
	struct party *serving = server.last;
	for (int i = 0; i < 20; i++) {
		raw_open(&raw, "127.0.0.1");
		RAW_SEND(&raw, &server.at, "\0\1f\0octet\0");
		raw_vanish(&raw); /* before the answer comes */
		turns(6);
		close(raw.fd);
		struct party *gone = server.last;
		ck_assert_ptr_ne(gone, serving);
		ck_assert_int_eq(gone->overs, 1);
		ck_assert_int_eq(gone->result.outcome, TRANSFER_UNREACHABLE);
		ck_assert_int_eq(serving->overs, 0);
	}
	until_over(c);
	until_over(serving);
	assert_done(c, CONTENT_MAX);
	assert_done(serving, CONTENT_MAX);
	ck_assert_uint_eq(serving->result.resent, 0);
	stop();
}
END_TEST

/* Both in one wake-up: what is said to a peer that is gone must not cost the other one its packet. */
START_TEST(a_vanished_peer_in_the_same_batch_costs_nobody_a_packet)
{
	start(true, 0);
	server.file_len = 5000;
	for (int i = 0; i < 20; i++) {
		raw_open(&raw, "127.0.0.1");
		raw_open(&other, "127.0.0.1");
		RAW_SEND(&raw, &server.at, "\0\1f\0octet\0");
		RAW_SEND(&other, &server.at, "\0\1f\0octet\0");
		raw_vanish(&raw);
		turns(4);
		close(raw.fd);
		MUST(raw_recv(&other));
		ck_assert_int_eq(other.p.op, PACKET_DATA);
		ck_assert_uint_eq(other.p.block, 1);
		RAW_SEND(&other, &server.at, "\0\5\0\0\0");
		turns(2);
		close(other.fd);
	}
	stop();
}
END_TEST

START_TEST(the_answer_comes_from_where_it_was_asked)
{
	for (int single = 0; single < 2; single++) {
		start(single, 0);
		server.file_len = 700;
		raw_open(&raw, "127.0.0.1");
		struct addr asked = host("127.0.0.7", addr_port(&server.at));
		RAW_SEND(&raw, &asked, "\0\1f\0octet\0");
		raw_expect(&raw, PACKET_DATA, 1);
		ck_assert(addr_same_host(&raw.from, &asked));
		RAW_SEND(&raw, &raw.from, "\0\4\0\1");
		raw_expect(&raw, PACKET_DATA, 2);
		ck_assert(addr_same_host(&raw.from, &asked));
		close(raw.fd);
		stop();
	}
}
END_TEST

static struct {
	struct udp_datagram d;
	const char *text;
} say;

static void say_it(struct endpoint *e, const struct udp_datagram *d, const struct packet *p, int fault, int op, mono_t now)
{
	(void)p;
	(void)fault;
	(void)op;
	(void)now;
	endpoint_say(e, d, ERROR_NOT_FOUND, say.text);
}

/* "Our own ERROR texts are cut": a long reason must not mean that nothing is said at all. */
START_TEST(a_refusal_is_heard_however_long_its_reason)
{
	char text[1000];

	start(true, 0);
	server.listener.stranger = say_it;
	raw_open(&raw, "127.0.0.1");
	for (size_t n = 0; n < sizeof(text); n += n < 200 ? 1 : 333) {
		memset(text, 'x', n);
		text[n] = '\0';
		say.text = text;
		RAW_SEND(&raw, &server.at, "\0\1f\0octet\0");
		turns(3);
		MUST(raw_recv(&raw));
		MUST(raw.p.op == PACKET_ERROR && raw.p.code == ERROR_NOT_FOUND);
		MUST(raw.p.len == (n < PACKET_TEXT_MAX ? n : PACKET_TEXT_MAX - 1));
	}
	stop();
}
END_TEST

/*
 * An upload whose socket is full, as send_run leaves it, while its blocks keep coming: each batch lies in buffers that
 * the next one takes.
 */
START_TEST(blocks_that_arrive_while_the_socket_is_full_are_kept)
{
	start(true, 0);
	raw_open(&raw, "127.0.0.1");
	RAW_SEND(&raw, &server.at, "\0\2f\0octet\0blksize\0" "8\0windowsize\0" "16\0");
	raw_expect(&raw, PACKET_OACK, 0);
	struct session *s = &server.last->session;
	s->waits = true;
	s->wait_next = NULL;
	server.listener.waiting = s;
	RAW_SEND(&raw, &server.at, "\0\3\0\1first...");
	turns(2);
	RAW_SEND(&raw, &server.at, "\0\3\0\2second..");
	turns(2);
	RAW_SEND(&raw, &server.at, "\0\3\0\3third");
	turns(2);
	loop_fd_events(&loop, &server.listener.io, POLLIN | POLLOUT);
	raw_expect(&raw, PACKET_ACK, 3);
	ck_assert_uint_eq(server.last->mem.len, 21);
	ck_assert_mem_eq(server.last->mem.bytes, "first...second..third", 21);
	stop();
}
END_TEST

static size_t nothing_allowed(struct session *s, mono_t now)
{
	(void)s;
	(void)now;
	return 0;
}

static const struct session_ops held_ops = {.verdict = verdict, .over = over, .allow = nothing_allowed};

/*
 * The same where a rate holds the session back (--rate-per-client): uploads with a window arrived with wrong bytes, and
 * were acknowledged, whenever the ACK that fell due was the one to be held.
 */
START_TEST(blocks_that_arrive_with_the_ack_that_is_held_are_kept)
{
	start(true, 0);
	raw_open(&raw, "127.0.0.1");
	RAW_SEND(&raw, &server.at, "\0\2f\0octet\0blksize\0" "8\0windowsize\0" "2\0");
	raw_expect(&raw, PACKET_OACK, 0);
	struct session *s = &server.last->session;
	s->ops = &held_ops;
	RAW_SEND(&raw, &server.at, "\0\3\0\1first...");
	RAW_SEND(&raw, &server.at, "\0\3\0\2second..");
	turns(2);
	ck_assert(s->held);
	RAW_SEND(&raw, &server.at, "\0\3\0\3third");
	turns(2);
	s->ops = &ops;
	session_release(s, clock_now);
	raw_expect(&raw, PACKET_ACK, 3);
	ck_assert_uint_eq(server.last->mem.len, 21);
	ck_assert_mem_eq(server.last->mem.bytes, "first...second..third", 21);
	stop();
}
END_TEST

START_TEST(a_session_that_ends_while_it_waits_is_forgotten)
{
	start(true, 0);
	server.file_len = 5000;
	raw_open(&raw, "127.0.0.1");
	for (int i = 0; i < 3; i++) {
		RAW_SEND(&raw, &server.at, "\0\1f\0octet\0");
		raw_expect(&raw, PACKET_DATA, 1);
		struct session *s = &server.last->session;
		s->waits = true;
		s->wait_next = server.listener.waiting;
		server.listener.waiting = s;
		RAW_SEND(&raw, &server.at, "\0\5\0\0\0");
		turns(2);
		ck_assert_int_eq(server.last->overs, 1);
		ck_assert_ptr_null(server.listener.waiting);
	}
	loop_fd_events(&loop, &server.listener.io, POLLIN | POLLOUT);
	turns(3);
	stop();
}
END_TEST

/* The table. */

static struct addr peer_of(int i)
{
	struct addr a = host("10.0.0.0", (uint16_t)(1024 + i / 10));

	a.v4.sin_addr.s_addr = htonl(0x0a000000u + (unsigned)i % 10);
	return a;
}

static struct party *listed(struct addr peer, struct addr local)
{
	struct party *p = new_party(content, 100, 100);
	struct store store = {.ops = &mem_source, .arg = &p->mem, .seekable = true};
	struct option_set none = {0};
	struct option_terms terms;

	options_default_terms(&terms);
	transfer_serve_get(&p->session.transfer, &store, &none, &terms, &policy, clock_now);
	p->session.peer = peer;
	p->session.local = local;
	MUST(session_attach(&p->session, &server.listener, false, true, &ops) == 0);
	return p;
}

static void delist(struct party *p)
{
	session_detach(&p->session);
	transfer_free(&p->session.transfer);
	p->overs = 1;
}

START_TEST(a_thousand_peers_are_found)
{
	enum { N = 1000 };
	static struct party *p[N];
	struct addr local = host("192.0.2.1", 0), other_local = host("192.0.2.2", 0), stranger = host("10.0.0.1", 9);

	start(true, 0);
	ck_assert_ptr_null(session_table_find(&x.sessions, &stranger, &local));
	for (int i = 0; i < N; i++) {
		p[i] = listed(peer_of(i), local);
		MUST(x.sessions.n == (size_t)i + 1);
	}
	ck_assert_uint_ge(x.sessions.mask + 1, N / 4); /* it grows, or chains do */
	for (int i = 0; i < N; i++) {
		struct addr a = peer_of(i);
		MUST(session_table_find(&x.sessions, &a, &local) == &p[i]->session);
		MUST(session_table_find(&x.sessions, &a, NULL) == &p[i]->session);
		MUST(session_table_find(&x.sessions, &a, &other_local) == NULL);
	}
	ck_assert_ptr_null(session_table_find(&x.sessions, &stranger, NULL));
	for (int i = 0; i < N; i += 2)
		delist(p[i]);
	for (int i = 0; i < N; i++) {
		struct addr a = peer_of(i);
		MUST(session_table_find(&x.sessions, &a, &local) == (i % 2 ? &p[i]->session : NULL));
	}
	for (int i = N - 1; i >= 0; i -= 2)
		delist(p[i]);
	ck_assert_uint_eq(x.sessions.n, 0);
	ck_assert_ptr_null(session_table_find(&x.sessions, &stranger, NULL));
	stop();
}
END_TEST

/* A server with two addresses, a client that asks both from one port: two conversations. */
START_TEST(one_peer_may_talk_to_two_of_our_addresses)
{
	struct addr peer = host("10.0.0.1", 2070), local = host("192.0.2.1", 0), other_local = host("192.0.2.2", 0);

	start(true, 0);
	struct party *a = listed(peer, local), *b = listed(peer, other_local);
	ck_assert_ptr_eq(session_table_find(&x.sessions, &peer, &local), &a->session);
	ck_assert_ptr_eq(session_table_find(&x.sessions, &peer, &other_local), &b->session);
	delist(a);
	ck_assert_ptr_null(session_table_find(&x.sessions, &peer, &local));
	ck_assert_ptr_eq(session_table_find(&x.sessions, &peer, &other_local), &b->session);
	stop();
}
END_TEST

/* A reader in lockstep, outside of the loop, that keeps it busy all alone. */
struct lockstep {
	struct udp udp;
	struct udp_batch *batch;
	struct addr tid;
	uint16_t block;
};

static void lockstep_turn(struct lockstep *l)
{
	struct udp_datagram d;
	uint8_t ack[4] = {0, 4};

	clock_now += 20 * MONO_US;
	MUST(loop_once(&loop, MONO_NEVER) == 0);
	if (udp_recv(&l->udp, l->batch, 1) != 1 || !udp_next(l->batch, &d))
		return;
	MUST(d.len >= 4 && d.buf[1] == 3 && d.buf[2] * 256 + d.buf[3] == (uint16_t)(l->block + 1));
	MUST(memcmp(d.buf + 4, content + l->block * 512, d.len - 4) == 0);
	l->tid = d.from;
	l->block++;
	ack[2] = (uint8_t)(l->block >> 8);
	ack[3] = (uint8_t)l->block;
	MUST(udp_send(&l->udp, &l->tid, NULL, 0, ack, 4, 4) == 1);
}

static void lockstep_start(struct lockstep *l)
{
	static const uint8_t rrq[] = "\0\1file\0octet";
	struct addr local = host("127.0.0.1", 0);

	server.file_len = 300 * 512;
	l->block = 0;
	l->batch = udp_batch_new();
	MUST(l->batch != NULL && udp_open(&l->udp, &local, false, 0) == 0);
	MUST(udp_send(&l->udp, &server.at, NULL, 0, rrq, sizeof(rrq), sizeof(rrq)) == 1);
}

START_TEST(a_transfer_that_is_busy_alone_is_connected_and_strangers_still_hear_error_5)
{
	struct lockstep l;
	struct udp stranger;
	struct addr local = host("127.0.0.1", 0);
	struct udp_datagram d;
	int heard = 0;

	start(false, 0);
	lockstep_start(&l);
	for (int i = 0; i < 60; i++)
		lockstep_turn(&l);
	ck_assert_uint_ge(l.block, 50);
	ck_assert_ptr_nonnull(server.last->own.others);
	ck_assert(server.last->own.udp.connected);
	ck_assert_uint_eq(x.settled, 1);
	MUST(udp_open(&stranger, &local, false, 0) == 0);
	MUST(udp_send(&stranger, &l.tid, NULL, 0, (const uint8_t *)"\0\4\0\7", 4, 4) == 1);
	for (int i = 0; i < 60; i++)
		lockstep_turn(&l);
	while (udp_recv(&stranger, l.batch, 1) == 1 && udp_next(l.batch, &d)) {
		heard++;
		ck_assert_uint_eq(d.buf[1], 5);
		ck_assert_uint_eq(d.buf[3], ERROR_UNKNOWN_TID);
		ck_assert(addr_equal(&d.from, &l.tid));
	}
	ck_assert_int_eq(heard, 1);
	for (int i = 0; i < 2000 && server.last->overs == 0; i++)
		lockstep_turn(&l);
	ck_assert_uint_eq(l.block, 301);
	assert_done(server.last, 300 * 512);
	ck_assert_uint_eq(x.settled, 0);
	udp_batch_del(l.batch);
	stop();
}
END_TEST

START_TEST(a_peer_that_may_change_its_port_is_never_connected)
{
	struct lockstep l;

	start(false, 0);
	lockstep_start(&l);
	lockstep_turn(&l);
	server.last->session.relaxed = true;
	for (int i = 0; i < 2000 && server.last->overs == 0; i++) {
		MUST(!server.last->own.udp.connected);
		lockstep_turn(&l);
	}
	assert_done(server.last, 300 * 512);
	udp_batch_del(l.batch);
	stop();
}
END_TEST

START_TEST(a_busy_peer_that_vanishes_ends_its_transfer_at_once)
{
	struct lockstep l;

	start(false, 0);
	lockstep_start(&l);
	for (int i = 0; i < 60; i++)
		lockstep_turn(&l);
	MUST(x.settled == 1);
	udp_close(&l.udp);
	for (int i = 0; i < 40 && server.last->overs == 0; i++) {
		clock_now += 100 * MONO_MS;
		MUST(loop_once(&loop, clock_now) == 0);
	}
	ck_assert_int_eq(server.last->overs, 1);
	ck_assert_int_eq(server.last->result.outcome, TRANSFER_UNREACHABLE);
	ck_assert_uint_eq(x.settled, 0);
	udp_batch_del(l.batch);
	stop();
}
END_TEST

UNIT_MAIN("endpoint", files_pass_both_ways_on_ports_of_their_own, files_pass_both_ways_on_a_single_port,
    files_pass_without_every_fast_path, many_clients_at_once_on_ports_of_their_own,
    many_clients_at_once_on_a_single_port, a_stranger_gets_error_5_and_disturbs_nothing,
    a_client_takes_its_first_answer_only_from_the_host_it_asked, the_first_answer_fixes_the_port,
    what_cannot_be_an_answer_fixes_no_port,
    a_repeated_request_is_answered_by_the_transfer_that_runs,
    a_repeated_request_is_answered_by_the_transfer_that_runs_on_a_single_port,
    a_listener_hears_of_packets_that_belong_to_nobody, a_peers_error_ends_its_session_only, silence_is_timed_by_the_loop,
    nobody_there_ends_a_client_at_once, a_vanished_peer_ends_its_own_session_only,
    a_vanished_peer_in_the_same_batch_costs_nobody_a_packet, the_answer_comes_from_where_it_was_asked,
    a_refusal_is_heard_however_long_its_reason, blocks_that_arrive_while_the_socket_is_full_are_kept,
    blocks_that_arrive_with_the_ack_that_is_held_are_kept, a_session_that_ends_while_it_waits_is_forgotten,
    a_thousand_peers_are_found, one_peer_may_talk_to_two_of_our_addresses,
    a_transfer_that_is_busy_alone_is_connected_and_strangers_still_hear_error_5,
    a_peer_that_may_change_its_port_is_never_connected, a_busy_peer_that_vanishes_ends_its_transfer_at_once)
