/* Limits, access and abuse: what waits, what is refused, what is left out, and that the others notice nothing. */
#include "wire_peer.h"
#include "wire_process.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LARGE 10000000

static struct wire w, others[64];
static uint8_t data[100000];

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The server, at this worker's own address: ports that a test names there are nobody else's. */
static struct sockaddr_in server_at(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	ck_assert_int_eq(inet_pton(AF_INET, wire_local, &a.sin_addr), 1);
	return a;
}

/* Bound to one of the addresses of 127.0.0.0/8, all of which are ours. */
static void dial_from(struct wire *from, const char *host, uint16_t port)
{
	wire_open(from, host);
	*(struct sockaddr_in *)&from->peer = server_at(port);
}

static void start(struct server *s)
{
	wire_fill(data, sizeof(data), 3);
	server_put(s, "kernel", data, 2000);
}

/* One that reads on; the server has a transfer for it. */
static void occupy(struct wire *o, const struct server *s, const char *host)
{
	dial_from(o, host, s->port);
	wire_request(o, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(o, 1, data, 512);
	wire_follow(o);
	wire_ack(o, 1);
	wire_expect_data(o, 2, data + 512, 512);
}

/* It acknowledges the rest. */
static void end(struct wire *o)
{
	wire_ack(o, 2);
	wire_expect_data(o, 3, data + 1024, 512);
	wire_ack(o, 3);
	wire_expect_data(o, 4, data + 1536, 464);
	wire_ack(o, 4);
	wire_close(o);
}

/*
 * A request that waits for a place. The server lets it wait for 3 s; where this test is so slow that they are over, the
 * refusal is right, and it is asked again, as clients do.
 */
struct waiting {
	struct wire *w;
	const char *name;
	double asked;
	unsigned again; /* so often */
};

static struct waiting ask(struct wire *o, const struct server *s, const char *host, const char *name)
{
	struct waiting q = {.w = o, .name = name};
	dial_from(o, host, s->port);
	q.asked = seconds();
	wire_request(o, OP_RRQ, name, "octet", NULL);
	return q;
}

static bool late(double asked)
{
	return seconds() - asked > 2.9;
}

/* Whether what has come is such a refusal; if so it has been asked again. */
static bool asked_again(struct waiting *q)
{
	if (wire_op(q->w) != OP_ERROR || wire_block(q->w) != 0 || !late(q->asked))
		return false;
	q->again++;
	q->asked = seconds();
	wire_request(q->w, OP_RRQ, q->name, "octet", NULL);
	return true;
}

static void still_waits(struct waiting *q)
{
	while (wire_recv(q->w, WIRE_QUIET))
		if (!asked_again(q))
			ck_abort_msg("it does not wait: opcode %d, %u after %.3f s", wire_op(q->w), wire_block(q->w),
			    seconds() - q->asked);
}

/* It has its place: the first answer, from where the next packets go. */
static void no_longer_waits(struct waiting *q, int op, unsigned number)
{
	do
		ck_assert_msg(wire_recv(q->w, WIRE_WAIT), "no answer to the request for %s", q->name);
	while (asked_again(q));
	ck_assert_msg(wire_op(q->w) == op && wire_block(q->w) == number, "opcode %d, %u after %.3f s, and not %d, %u",
	    wire_op(q->w), wire_block(q->w), seconds() - q->asked, op, number);
	if (op != OP_DATA)
		return;
	ck_assert(q->w->len == 516 && memcmp(q->w->buf + 4, data, 512) == 0);
	wire_follow(q->w);
	wire_ack(q->w, 1);
	wire_expect_data(q->w, 2, data + 512, 512);
}

/* The counter of that name in the status that it logs now. */
static unsigned long status_of(const struct server *s, const char *counter)
{
	size_t before = server_log_count(s, "status up=");
	ck_assert_int_eq(kill(s->pid, SIGUSR1), 0);
	server_expect_logged(s, "status up=", before + 1);
	const char *line = NULL;
	for (const char *at = server_log(s); (at = strstr(at, "status up=")) != NULL; at++)
		line = at;
	ck_assert_ptr_nonnull(line);
	line = strstr(line, counter);
	ck_assert_ptr_nonnull(line);
	return strtoul(line + strlen(counter), NULL, 10);
}

START_TEST(request_past_the_limit_waits_for_a_place)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--max-transfers", "2", NULL);
	start(&s);
	occupy(&others[0], &s, "127.0.0.1");
	occupy(&others[1], &s, "127.0.0.1");
	struct waiting q = ask(&w, &s, "127.0.0.1", "kernel");
	still_waits(&q);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL); /* repeated, it still waits once */
	end(&others[0]);
	no_longer_waits(&q, OP_DATA, 1);
	end(&w);
	end(&others[1]);
	server_expect_logged(&s, "sent", 3);
	ck_assert_uint_eq(server_log_count(&s, "refused"), q.again);
	server_is_well(&s);
	server_stop(&s);
}
END_TEST

START_TEST(request_that_waited_in_vain_is_refused_with_words)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--max-transfers", "1", NULL);
	start(&s);
	occupy(&others[0], &s, "127.0.0.1");
	dial_from(&w, "127.0.0.1", s.port);
	double began = seconds();
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_error(&w, 0);
	ck_assert(strstr((char *)w.buf + 4, "too many transfers") != NULL);
	ck_assert(seconds() - began > 2.5);
	server_expect_logged(&s, "too many transfers", 1);
	wire_close(&w);
	struct waiting q = ask(&w, &s, "127.0.0.1", "nothing");
	end(&others[0]);
	no_longer_waits(&q, OP_ERROR, 1);
	server_stop(&s);
}
END_TEST

START_TEST(one_client_past_its_limit_holds_up_nobody_else)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--max-per-client", "2", NULL);
	start(&s);
	occupy(&others[0], &s, "127.0.0.2");
	occupy(&others[1], &s, "127.0.0.2");
	struct waiting q = ask(&others[2], &s, "127.0.0.2", "kernel");
	still_waits(&q);
	occupy(&others[3], &s, "127.0.0.3");
	end(&others[3]);
	end(&others[1]);
	no_longer_waits(&q, OP_DATA, 1);
	end(&others[2]);
	end(&others[0]);
	server_is_well(&s);
	server_stop(&s);
}
END_TEST

START_TEST(transfer_that_was_never_answered_makes_room)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--max-transfers", "8", NULL);
	start(&s);
	for (int i = 0; i < 8; i++) {
		dial_from(&others[i], "127.0.0.5", s.port);
		wire_request(&others[i], OP_RRQ, "kernel", "octet", NULL);
		wire_expect_data(&others[i], 1, data, 512);
	}
	occupy(&w, &s, "127.0.0.6");
	server_expect_logged(&s, "others need the place", 1);
	end(&w);
	for (int i = 0; i < 8; i++)
		wire_close(&others[i]);
	server_stop(&s);
}
END_TEST

static bool gets_data_1(struct wire *o)
{
	return wire_recv(o, WIRE_WAIT) && wire_op(o) == OP_DATA && wire_block(o) == 1;
}

/*
 * Two places that others have, three strangers that wait, and one that has answered before. Says what is wrong, or
 * NULL; it may be that this test was too slow for those that wait.
 */
static const char *wrong_order(struct server *s, double *asked)
{
	occupy(&w, s, "127.0.0.9");
	end(&w);
	occupy(&others[0], s, "127.0.0.7");
	occupy(&others[1], s, "127.0.0.7");
	*asked = seconds();
	for (int i = 2; i < 5; i++)
		ask(&others[i], s, "127.0.0.8", "kernel");
	if (wire_recv(&others[4], WIRE_QUIET))
		return "a stranger does not wait";
	ask(&w, s, "127.0.0.9", "kernel");
	if (wire_recv(&w, WIRE_QUIET))
		return "who answered before does not wait";
	end(&others[0]);
	if (!gets_data_1(&w))
		return "who answered before does not get the first place";
	wire_follow(&w);
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 512);
	if (wire_recv(&others[2], WIRE_QUIET))
		return "a stranger gets a place that there is not";
	end(&others[1]);
	return gets_data_1(&others[2]) ? NULL : "strangers do not come in their order";
}

START_TEST(those_that_answered_before_come_before_strangers)
{
	const char *wrong = "";
	double asked;
	for (int i = 0; i < 8 && wrong != NULL; i++) {
		struct server s;
		server_start_at(&s, "0.0.0.0", 0, "--max-transfers", "2", NULL);
		start(&s);
		wrong = wrong_order(&s, &asked);
		ck_assert_msg(wrong == NULL || late(asked), "%s, %.3f s after the first asked", wrong,
		    seconds() - asked);
		server_stop(&s);
	}
	ck_assert_msg(wrong == NULL, "this test is too slow each time: %s", wrong);
}
END_TEST

/* tftp-hpa's flags let existing files be written without --create, and an upload keeps its directory open as well. */
START_TEST(uploads_over_existing_files_count_their_directory)
{
	struct rlimit few = {.rlim_cur = 64, .rlim_max = 64};
	struct server s;
	if (getenv("CK_FORK") != NULL && strcmp(getenv("CK_FORK"), "no") == 0)
		return; /* it could not be had back for the tests to come */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	server_start_at(&s, "0.0.0.0", 65534, "-s", NULL);
	ck_assert(strstr(server_log(&s), "at most 10 transfers at once instead of 4096") != NULL);
	server_stop(&s);
}
END_TEST

START_TEST(limit_on_open_files_is_told_and_kept)
{
	/* 32 for the server itself, two for each of 16 transfers; not as root, who raises it */
	struct rlimit few = {.rlim_cur = 64, .rlim_max = 64};
	struct server s;
	if (getenv("CK_FORK") != NULL && strcmp(getenv("CK_FORK"), "no") == 0)
		return; /* it could not be had back for the tests to come */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	server_start_at(&s, "0.0.0.0", 65534, NULL);
	ck_assert(strstr(server_log(&s),
	    "at most 16 transfers at once instead of 4096: this process may open no more than 64 files (ulimit -n)") != NULL);
	start(&s);
	for (int i = 0; i < 16; i++)
		occupy(&others[i], &s, "127.0.0.1");
	struct waiting q = ask(&w, &s, "127.0.0.1", "kernel");
	still_waits(&q);
	end(&others[0]);
	no_longer_waits(&q, OP_DATA, 1);
	dial_from(&others[0], "127.0.0.1", s.port);
	wire_request(&others[0], OP_RRQ, "kernel", "octet", NULL);
	wire_expect_error(&others[0], 0);
	ck_assert(strstr((char *)others[0].buf + 4, "too many transfers") != NULL);
	wire_close(&others[0]);
	end(&w);
	for (int i = 1; i < 16; i++)
		end(&others[i]);
	server_expect_logged(&s, "sent", 17);
	ck_assert_uint_eq(server_log_count(&s, "failed"), 0);
	server_stop(&s);
}
END_TEST

START_TEST(what_the_kernel_drops_is_told)
{
	/* it sleeps while more arrives than its buffer holds; the count comes with what arrives after that */
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, NULL);
	start(&s);
	dial_from(&w, "127.0.0.1", s.port);
	occupy(&others[0], &s, "127.0.0.2");
	ck_assert_int_eq(kill(s.pid, SIGSTOP), 0);
	static const uint8_t ack[8000] = {0, OP_ACK};
	for (int i = 0; i < 4000; i++)
		wire_send(&w, ack, sizeof(ack));
	ck_assert_int_eq(kill(s.pid, SIGCONT), 0);
	for (int i = 0; i < 100 && server_log_count(&s, "the kernel dropped") == 0; i++) {
		wire_request(&w, OP_RRQ, "nothing", "octet", NULL);
		wire_drain(&w, 50);
	}
	ck_assert_uint_eq(server_log_count(&s, "the kernel dropped"), 1);
	ck_assert_uint_gt(status_of(&s, " kernel-drops="), 0);
	end(&others[0]);
	server_is_well(&s);
	server_stop(&s);
}
END_TEST

START_TEST(ports_that_may_not_be_had_are_not_taken_for_files)
{
	/* a range below 1024 without the right to it */
	char text[16] = "";
	struct server s;
	FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
	if (f == NULL || fgets(text, sizeof(text), f) == NULL || atoi(text) < 1024 || getuid() != 0)
		return;
	fclose(f);
	server_start_at(&s, "0.0.0.0", 65534, "--port-range", "1009:1010", NULL);
	start(&s);
	dial_from(&w, "127.0.0.1", s.port);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_error(&w, 2);
	server_expect_logged(&s, "the server cannot open a port for the transfer", 1);
	server_expect_logged(&s, "--port-range 1009:1010: Permission denied", 1);
	wire_close(&w);
	server_stop(&s);
}
END_TEST

START_TEST(used_up_ports_are_refused_with_words)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--port-range", "31990:31991", NULL);
	start(&s);
	occupy(&others[0], &s, "127.0.0.1");
	occupy(&others[1], &s, "127.0.0.1");
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(wire_from_port(&others[i]) / 2, 31990 / 2);
	dial_from(&w, "127.0.0.1", s.port);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_error(&w, 0);
	server_expect_logged(&s, "--port-range 31990:31991 is used up", 1);
	end(&others[0]);
	server_expect_logged(&s, "sent", 1); /* or the next request might be read before the last ACK */
	occupy(&others[0], &s, "127.0.0.1");
	end(&others[0]);
	end(&others[1]);
	server_stop(&s);
}
END_TEST

START_TEST(port_of_a_transfer_that_was_never_answered_is_had)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--port-range", "31992:31993", NULL);
	start(&s);
	for (int i = 0; i < 2; i++) {
		dial_from(&others[i], "127.0.0.5", s.port);
		wire_request(&others[i], OP_RRQ, "kernel", "octet", NULL);
		wire_expect_data(&others[i], 1, data, 512);
	}
	sleep_ms(300);
	occupy(&w, &s, "127.0.0.6");
	ck_assert_uint_eq(server_log_count(&s, "is used up"), 0);
	end(&w);
	wire_close(&others[0]);
	wire_close(&others[1]);
	server_stop(&s);
}
END_TEST

/* With an interval for which it stays 5 s, and not one. */
static void upload(struct wire *o, const struct server *s, const char *name)
{
	dial_from(o, "127.0.0.1", s->port);
	wire_request(o, OP_WRQ, name, "octet", "timeout", "255", NULL);
	wire_expect_oack(o, "timeout\0" "255");
	wire_follow(o);
	wire_data(o, 1, data, 100);
	wire_expect_ack(o, 1);
	ck_assert(server_has(s, name, data, 100));
}

/* It stays for a while, for its last block may come again; the next one does not wait for that. */
static void uploads_follow_each_other(const char *limit, const char *value)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--create", limit, value, NULL);
	wire_fill(data, sizeof(data), 3);
	upload(&others[0], &s, "a");
	wire_data(&others[0], 1, data, 100);
	wire_expect_ack(&others[0], 1);
	upload(&others[1], &s, "b");
	upload(&others[2], &s, "c");
	ck_assert_uint_eq(server_log_count(&s, "refused"), 0);
	ck_assert_uint_eq(server_log_count(&s, "failed"), 0);
	server_expect_logged(&s, "received", 3);
	ck_assert_uint_eq(status_of(&s, " queued="), 0);
	ck_assert_uint_eq(status_of(&s, " gave-way="), 0);
	for (int i = 0; i < 3; i++)
		wire_close(&others[i]);
	server_stop(&s);
}

START_TEST(finished_upload_is_in_nobodys_way)
{
	uploads_follow_each_other("--port-range", "31994:31994");
	uploads_follow_each_other("--max-transfers", "1");
	uploads_follow_each_other("--max-per-client", "1");
}
END_TEST

START_TEST(denied_client_hears_nothing)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--create", "--allow", "127.0.0.0/8", "--deny", "127.0.1.0/24", "--allow",
	    "127.0.1.7", NULL);
	start(&s);
	dial_from(&w, "127.0.1.1", s.port);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_silence(&w);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	wire_expect_silence(&w);
	wire_send(&w, "\0\1x", 3);
	wire_expect_silence(&w);
	server_expect_logged(&s, "denied", 3);
	ck_assert_uint_eq(status_of(&s, " denied="), 3);
	wire_close(&w);
	occupy(&w, &s, "127.0.1.7");
	end(&w);
	occupy(&w, &s, "127.0.2.1");
	end(&w);
	server_stop(&s);
}
END_TEST

START_TEST(writes_have_a_list_of_their_own)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--create", "--allow-write", "127.0.3.0/24", NULL);
	start(&s);
	dial_from(&w, "127.0.0.1", s.port);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	wire_expect_error(&w, 2);
	wire_close(&w);
	occupy(&w, &s, "127.0.0.1");
	end(&w);
	dial_from(&w, "127.0.3.3", s.port);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	wire_expect_ack(&w, 0);
	wire_follow(&w);
	wire_write_rest(&w, 512, data, 700);
	ck_assert(server_has(&s, "new", data, 700));
	server_stop(&s);
}
END_TEST

/* All bytes that come for one request, as IP packets, and how many packets. */
static size_t answers(struct wire *from, int ms, int *packets)
{
	size_t bytes = 0;
	*packets = 0;
	while (wire_recv(from, ms)) {
		bytes += 28 + from->len;
		++*packets;
	}
	return bytes;
}

START_TEST(forged_request_is_worth_little)
{
	/* the longest silence before a last try is 2 s */
	static const struct { int op; const char *name, *option, *value; } requests[] = {
		{OP_RRQ, "12345678", NULL, NULL},
		{OP_RRQ, "12345678", "blksize", "65464"},
		{OP_RRQ, "12345678", "windowsize", "64"},
		{OP_RRQ, "nothing", NULL, NULL},
		{OP_WRQ, "new", NULL, NULL},
		{OP_RRQ, "k", NULL, NULL},
	};
	enum { N = sizeof(requests) / sizeof(requests[0]) };
	size_t asked[N], got[N];
	int packets[N];
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--create", NULL);
	start(&s);
	server_put(&s, "12345678", data, 100000);
	server_put(&s, "k", data, 100000);
	for (size_t i = 0; i < N; i++) {
		uint8_t buf[600];
		size_t len = requests[i].option != NULL
		    ? wire_make_request(buf, sizeof(buf), requests[i].op, requests[i].name, "octet", requests[i].option,
			  requests[i].value, NULL)
		    : wire_make_request(buf, sizeof(buf), requests[i].op, requests[i].name, "octet", NULL);
		dial_from(&others[i], "127.0.0.9", s.port);
		wire_send(&others[i], buf, len);
		asked[i] = 28 + len;
	}
	/* it has given up on all but the refusal */
	server_expect_logged(&s, "failed ", N - 1);
	for (size_t i = 0; i < N; i++) {
		got[i] = answers(&others[i], 0, &packets[i]);
		ck_assert_msg(packets[i] >= 1 && packets[i] <= 3, "%s: %d packets", requests[i].name, packets[i]);
		if (i < N - 1) {
			ck_assert_msg(got[i] < 25 * asked[i], "%s: %zu bytes for %zu", requests[i].name, got[i], asked[i]);
		} else {
			/* the shortest there is: as frames of at least 60 bytes */
			ck_assert_int_eq(packets[i], 2);
			ck_assert_uint_lt(got[i] + 14 * 2, 25 * 60);
		}
		wire_close(&others[i]);
	}
	server_stop(&s);
}
END_TEST

START_TEST(log_lines_are_bounded_and_the_rest_is_counted)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--deny", "127.0.1.0/24", NULL);
	start(&s);
	dial_from(&w, "127.0.1.1", s.port);
	dial_from(&others[0], "127.0.0.1", s.port);
	double began = seconds();
	for (int i = 0; i < 4000; i++) {
		wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
		wire_request(&others[0], OP_RRQ, "nothing", "octet", NULL);
		if (i % 50 == 0)
			wire_expect_error(&others[0], 1); /* not faster than it can read */
		wire_drain(&others[0], 0);
	}
	server_expect_logged(&s, "left out", 1);
	size_t lines = server_log_count(&s, "denied") + server_log_count(&s, "refused");
	/* 1000, and 100 in each second that this took, with room for what is counted in full seconds */
	double took = seconds() - began;
	ck_assert_msg(lines >= 1000 && (double)lines < 2000 + 100 * took, "%zu lines in %.3f s", lines, took);
	server_is_well(&s);
	server_stop(&s);
}
END_TEST

static size_t memory_kb(pid_t pid)
{
	char path[64], line[256];
	size_t kb = 0;
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmRSS: %zu", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

/* A request that seems to come from `host`; what is sent there is not read. */
static void forge(int fd, uint32_t host, uint16_t port, const uint8_t *buf, size_t len)
{
	struct sockaddr_in to = server_at(port);
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	union { struct cmsghdr h; uint8_t room[CMSG_SPACE(sizeof(struct in_pktinfo))]; } c;
	memset(&c, 0, sizeof(c));
	struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c,
	    .msg_controllen = sizeof(c)};
	struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(host)};
	c.h.cmsg_level = IPPROTO_IP;
	c.h.cmsg_type = IP_PKTINFO;
	c.h.cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(&c.h), &info, sizeof(info));
	sendmsg(fd, &m, MSG_DONTWAIT);
}

static void fetch(const struct server *s, const uint8_t *large)
{
	struct client c;
	char url[64], path[PATH_ROOM];
	snprintf(url, sizeof(url), "tftp://127.0.0.1:%u/large", s->port);
	path_join(path, files_dir(), "large");
	/* on a busy machine its first requests may be among those that are dropped */
	client_start(&c, "get", "--retries", "12", "--blksize", "1428", url, path, NULL);
	ck_assert_msg(client_wait(&c) == 0, "%s", client_said(&c));
	ck_assert(file_is(path, large, LARGE));
}

static size_t open_files(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	return dir_entries(path);
}

#define FORGED 60000 /* addresses */

/* Requests from one address after the other, until all places are taken and the first had to be given up. */
static void fill_places(const struct server *s, int fd, const uint8_t *buf, size_t len)
{
	double most = seconds() + wire_wait(60000) / 1e3;
	for (uint32_t i = 0; server_log_count(s, "others need the place") == 0; sleep_ms(20)) {
		ck_assert_msg(seconds() < most, "the places are not taken");
		for (int n = 0; n < 500; n++, i++)
			forge(fd, 0x7f0a0000 + i % FORGED, s->port, buf, len);
	}
}

/* 15,000 requests and more from as many addresses, none of them ever answered. */
static void flood(const char *mode)
{
	struct server s;
	uint8_t buf[128];
	uint8_t *large = malloc(LARGE);
	ck_assert_ptr_nonnull(large);
	wire_fill(large, LARGE, 8);
	server_start_at(&s, "0.0.0.0", 0, mode, NULL);
	start(&s);
	server_put(&s, "large", large, LARGE);
	size_t len = wire_make_request(buf, sizeof(buf), OP_RRQ, "large", "octet", "blksize", "1428", NULL);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_ge(fd, 0);
	struct sockaddr_in any = {.sin_family = AF_INET};
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	/* no place is left, and then the client comes while the others keep coming */
	fill_places(&s, fd, buf, len);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		for (uint32_t i = 0; i < 15000; i++) {
			forge(fd, 0x7f0a0000 + i, s.port, buf, len);
			if (i % 5 == 0)
				sleep_ms(1);
		}
		_exit(0);
	}
	fetch(&s, large);
	size_t kb = memory_kb(s.pid);
	/* a sanitizer keeps what was freed */
	ck_assert_msg(kb < (strstr(getenv("BUILD"), "san") != NULL ? 128 : 24) * 1024u, "%zu KiB", kb);
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	/* two descriptors each */
	size_t files = open_files(s.pid);
	ck_assert_msg(files < 2 * 4096 + 64, "%zu open files", files);
	ck_assert_uint_le(status_of(&s, " unanswered="), 4096);
	fetch(&s, large);
	ck_assert_uint_gt(status_of(&s, " gave-way="), 0);
	close(fd);
	free(large);
	server_stop(&s);
}

START_TEST(flood_of_forged_requests_hurts_nobody)
{
	flood("--verbose");
}
END_TEST

START_TEST(flood_hurts_nobody_on_the_single_port)
{
	flood("--single-port");
}
END_TEST

START_TEST(rate_is_kept_and_shared)
{
	/* one in lockstep, one with a window: each gets its half */
	struct server s;
	struct client a, b;
	static uint8_t large[1500000];
	char url[64], path[PATH_ROOM], other[PATH_ROOM];
	wire_fill(large, sizeof(large), 4);
	server_start_at(&s, "0.0.0.0", 0, "--rate", "2M", NULL);
	server_put(&s, "large", large, sizeof(large));
	snprintf(url, sizeof(url), "tftp://127.0.0.1:%u/large", s.port);
	path_join(path, files_dir(), "a");
	path_join(other, files_dir(), "b");
	double first = 0;
	/* where the machine holds up one of them the other may have it all: then once more */
	for (int i = 0; i < 5 && first <= 1.1; i++) {
		double began = seconds();
		client_start(&a, "get", "--blksize", "1428", "--windowsize", "1", url, path, NULL);
		client_start(&b, "get", "--blksize", "1428", "--windowsize", "32", url, other, NULL);
		ck_assert_msg(client_wait(&a) == 0, "%s", client_said(&a));
		first = seconds() - began;
		ck_assert_msg(client_wait(&b) == 0, "%s", client_said(&b));
		double both = seconds() - began;
		ck_assert(file_is(path, large, sizeof(large)) && file_is(other, large, sizeof(large)));
		ck_assert_msg(both > 1.4, "%.3f s for 3 MB at 2 MB/s", both);
	}
	ck_assert_msg(first > 1.1, "%.3f s: the other one had to wait", first);
	server_stop(&s);
}
END_TEST

START_TEST(rate_per_client_leaves_the_others_alone)
{
	struct server s;
	struct client a;
	static uint8_t large[1000000];
	char url[64], path[PATH_ROOM];
	wire_fill(large, sizeof(large), 4);
	server_start_at(&s, "0.0.0.0", 0, "--rate-per-client", "1M", "--create", NULL);
	server_put(&s, "large", large, sizeof(large));
	start(&s);
	snprintf(url, sizeof(url), "tftp://127.0.0.1:%u/large", s.port);
	path_join(path, files_dir(), "a");
	double began = seconds();
	client_start(&a, "get", "--blksize", "1428", url, path, NULL);
	for (int i = 0; i < 10; i++) {
		occupy(&w, &s, "127.0.0.2");
		end(&w);
	}
	ck_assert_msg(client_wait(&a) == 0, "%s", client_said(&a));
	ck_assert(seconds() - began > 0.9);
	/* and an upload */
	snprintf(url, sizeof(url), "tftp://127.0.0.1:%u/up", s.port);
	began = seconds();
	client_start(&a, "put", "--blksize", "1428", path, url, NULL);
	ck_assert_msg(client_wait(&a) == 0, "%s", client_said(&a));
	ck_assert(server_has(&s, "up", large, sizeof(large)));
	ck_assert(seconds() - began > 0.8);
	server_stop(&s);
}
END_TEST

WIRE_MAIN("wire_limits", request_past_the_limit_waits_for_a_place,
    request_that_waited_in_vain_is_refused_with_words, one_client_past_its_limit_holds_up_nobody_else,
    transfer_that_was_never_answered_makes_room, those_that_answered_before_come_before_strangers,
    limit_on_open_files_is_told_and_kept, uploads_over_existing_files_count_their_directory,
    what_the_kernel_drops_is_told, ports_that_may_not_be_had_are_not_taken_for_files,
    used_up_ports_are_refused_with_words,
    port_of_a_transfer_that_was_never_answered_is_had, finished_upload_is_in_nobodys_way,
    denied_client_hears_nothing, writes_have_a_list_of_their_own, forged_request_is_worth_little,
    log_lines_are_bounded_and_the_rest_is_counted, flood_of_forged_requests_hurts_nobody,
    flood_hurts_nobody_on_the_single_port, rate_is_kept_and_shared, rate_per_client_leaves_the_others_alone)
