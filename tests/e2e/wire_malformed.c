/* Whatever arrives, the real server goes on, answers at most one ERROR, and never answers an ERROR. */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define PATIENT "timeout", "255"

static uint8_t data[4096];
static struct wire w, probe;
static struct server s;

static void start(void)
{
	server_start(&s, "--create", NULL);
	wire_fill(data, sizeof(data), 4);
	server_put(&s, "kernel", data, sizeof(data));
	wire_dial(&w, wire_local, s.port);
}

static void stop(void)
{
	wire_close(&w);
	server_is_well(&s);
	server_stop(&s);
}

/*
 * The server has dealt with all that was sent before: it answers one more request. Cheaper than server_is_well(). Asked
 * again after a while, as any client would: what was sent before may have filled the socket.
 */
static void catch_up(void)
{
	wire_dial(&probe, wire_local, s.port);
	bool answered = false;
	for (int i = 0; i < 15 && !answered; i++) {
		wire_request(&probe, OP_RRQ, "no such file", "octet", NULL);
		answered = wire_recv(&probe, 1000);
	}
	ck_assert_msg(answered && wire_op(&probe) == OP_ERROR && wire_block(&probe) == 1, "the server does not answer");
	wire_close(&probe);
}

/* One datagram to the listener: silence, or one ERROR 4 (0 with words) from a request that can be answered. */
static void bad_datagram(const char *what, const void *buf, size_t len)
{
	wire_dial(&w, wire_local, s.port);
	wire_send(&w, buf, len);
	catch_up();
	int n = 0;
	while (wire_recv(&w, n ? 10 : 1)) {
		n++;
		ck_assert_msg(wire_op(&w) == OP_ERROR, "%s was answered with opcode %d", what, wire_op(&w));
		ck_assert_msg(wire_block(&w) == 4 || wire_block(&w) == 0, "%s was answered with ERROR %u", what,
		    wire_block(&w));
		ck_assert_msg(w.len > 5 && w.buf[w.len - 1] == 0, "%s: the ERROR has no text", what);
	}
	ck_assert_msg(n <= 1, "%s was answered %d times", what, n);
	wire_close(&w);
}

#define bad(what, bytes) bad_datagram(what, bytes, sizeof(bytes) - 1)

START_TEST(malformed_requests_get_one_error_4_or_silence)
{
	start();
	bad("nothing", "");
	bad("one byte", "\0");
	bad("an opcode alone", "\0\1");
	bad("a name without its end", "\0\1kernel");
	bad("a name without a mode", "\0\1kernel\0");
	bad("a mode without its end", "\0\1kernel\0octet");
	bad("an option without its end", "\0\1kernel\0octet\0blksize");
	bad("an option without a value", "\0\1kernel\0octet\0blksize\0");
	bad("a value without its end", "\0\1kernel\0octet\0blksize\0" "512");
	bad("a write without an end", "\0\2kernel");
	bad("a write without a mode", "\0\2kernel\0");
	bad("opcode 0", "\0\0kernel\0octet\0");
	bad("opcode 7", "\0\7kernel\0octet\0");
	bad("opcode 256", "\1\0kernel\0octet\0");
	bad("opcode 257", "\1\1kernel\0octet\0");
	bad("opcode 65535", "\377\377kernel\0octet\0");
	stop();
}
END_TEST

START_TEST(packets_of_a_transfer_mean_nothing_to_the_listener)
{
	start();
	bad("DATA", "\0\3\0\1hello");
	bad("ACK", "\0\4\0\0");
	bad("OACK", "\0\6blksize\0" "512\0");
	stop();
}
END_TEST

START_TEST(error_is_never_answered)
{
	static const struct {
		const char *bytes;
		size_t len;
	} errors[] = {{"\0\5\0\0", 4}, {"\0\5\0\1not found\0", 14}, {"\0\5\0\5no end", 10}, {"\0\5", 2}, {"\0\5\0", 3}};
	start();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		wire_send(&w, errors[i].bytes, errors[i].len);
	catch_up();
	wire_expect_silence(&w);
	stop();
}
END_TEST

START_TEST(malformed_packets_inside_a_transfer_disturb_nothing)
{
	static const struct {
		const char *bytes;
		size_t len;
	} junk[] = {{"", 0}, {"\0", 1}, {"\0\4", 2}, {"\0\4\0", 3}, {"\0\3\0", 3}, {"\0\0\0\0", 4}, {"\0\7\0\1", 4},
	    {"\1\4\0\1", 4}, {"\0\6blksize", 9}, {"\0\1kernel", 8}, {"\0\2\0\0\0", 5}, {"\377\377\377\377", 4},
	    {"\0\6\0\0", 4}, {"\0\3\0\1x", 5}};
	start();
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	wire_ack(&w, 0);
	for (unsigned b = 1; b <= 9; b++) {
		size_t n = b < 9 ? 512 : 0;
		ck_assert(wire_recv(&w, WIRE_WAIT));
		while (wire_op(&w) == OP_ERROR && wire_block(&w) == 4)
			ck_assert(wire_recv(&w, WIRE_WAIT));
		ck_assert_msg(wire_op(&w) == OP_DATA && wire_block(&w) == b, "opcode %d, %u and not DATA %u",
		    wire_op(&w), wire_block(&w), b);
		ck_assert_uint_eq(w.len, n + 4);
		ck_assert(!memcmp(w.buf + 4, data + (b - 1) * 512, n));
		for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
			wire_send(&w, junk[i].bytes, junk[i].len);
		wire_ack(&w, b);
	}
	server_expect_logged(&s, "kernel", 1);
	stop();
}
END_TEST

START_TEST(ack_may_be_padded)
{
	/* "bytes after the last field of an ACK are ignored" */
	start();
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	wire_send(&w, "\0\4\0\0padding", 11);
	wire_expect_data(&w, 1, data, 512);
	stop();
}
END_TEST

START_TEST(every_truncation_of_a_good_packet_is_survived)
{
	start();
	static uint8_t buf[600];
	for (int op = OP_RRQ; op <= OP_WRQ; op++) {
		size_t len = wire_make_request(buf, sizeof(buf), op, op == OP_RRQ ? "kernel" : "new", "octet",
		    "blksize", "1432", "tsize", "0", "windowsize", "8", "utimeout", "10000", NULL);
		for (size_t n = 0; n < len; n++) {
			wire_dial(&w, wire_local, s.port);
			wire_send(&w, buf, n);
			wire_close(&w);
		}
		catch_up();
	}
	wire_open(&w, wire_local);
	stop();
}
END_TEST

START_TEST(refusal_is_not_lost_to_somebody_elses_icmp)
{
	/*
	 * The answer to a client that is gone comes back as ICMP, which the kernel reports with whatever the socket does
	 * next. Stopped, the server finds both requests at once: the one that nobody waits for, and ours.
	 */
	start();
	for (int i = 0; i < 5; i++) {
		kill(s.pid, SIGSTOP);
		wire_dial(&probe, wire_local, s.port);
		wire_request(&probe, OP_RRQ, "nothing", "octet", NULL);
		wire_close(&probe);
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, OP_RRQ, "nothing", "octet", NULL);
		kill(s.pid, SIGCONT);
		wire_expect_error(&w, 1);
		wire_close(&w);
	}
	wire_open(&w, wire_local);
	stop();
}
END_TEST

/* Something that often looks like a packet: the first bytes of one, then anything. */
static size_t random_datagram(uint8_t *buf, size_t cap, uint64_t *seed)
{
	size_t len = wire_random(seed) % 64;
	if (wire_random(seed) % 16 == 0)
		len = wire_random(seed) % cap;
	wire_fill(buf, len, wire_random(seed));
	if (len >= 2 && wire_random(seed) % 8) {
		buf[0] = 0;
		buf[1] = (uint8_t)(wire_random(seed) % 8);
	}
	if (wire_random(seed) % 2)
		return len;
	/* a good request with some bytes changed */
	static const char *const modes[] = {"octet", "netascii", "mail"};
	static const char *const options[] = {"blksize", "tsize", "windowsize", "timeout", "utimeout", "rollover",
	    "blksize2"};
	char value[32];
	snprintf(value, sizeof(value), "%llu", (unsigned long long)(wire_random(seed) >> wire_random(seed) % 64));
	len = wire_make_request(buf, cap, wire_random(seed) % 4 ? OP_RRQ : OP_WRQ,
	    wire_random(seed) % 2 ? "kernel" : "upload", modes[wire_random(seed) % 3],
	    options[wire_random(seed) % 7], value, options[wire_random(seed) % 7], "0", NULL);
	for (uint64_t i = wire_random(seed) % 4; i > 0; i--)
		buf[wire_random(seed) % len] = (uint8_t)wire_random(seed);
	return len;
}

START_TEST(random_datagrams_are_survived)
{
	static uint8_t buf[1500];
	static struct wire many[8];
	const char *given = getenv("WIRE_SEED");
	uint64_t first = given ? strtoull(given, NULL, 0) : 1, last = given ? first : 20;
	start();
	for (uint64_t seed = first; seed <= last; seed++) {
		uint64_t state = seed;
		for (size_t i = 0; i < 8; i++)
			wire_dial(&many[i], wire_local, s.port);
		for (int i = 0; i < 200; i++) {
			size_t len = random_datagram(buf, sizeof(buf), &state);
			wire_send(&many[wire_random(&state) % 8], buf, len);
			if (i % 25 == 24)
				catch_up();
		}
		for (size_t i = 0; i < 8; i++)
			wire_close(&many[i]);
		if (waitpid(s.pid, NULL, WNOHANG) != 0)
			ck_abort_msg("WIRE_SEED=%llu ends the server: %s", (unsigned long long)seed, server_log(&s));
	}
	wire_close(&w);
	wire_open(&w, wire_local);
	stop();
}
END_TEST

START_TEST(random_datagrams_at_a_running_transfer_are_survived)
{
	static uint8_t buf[1500];
	start();
	for (uint64_t seed = 1; seed <= 100; seed++) {
		uint64_t state = seed;
		bool put = seed % 2;
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, put ? OP_WRQ : OP_RRQ, put ? "upload" : "kernel", seed % 3 ? "octet" : "netascii",
		    "blksize", "64", "windowsize", "4", NULL);
		ck_assert_msg(wire_recv(&w, WIRE_WAIT), "seed %llu: no answer", (unsigned long long)seed);
		wire_follow(&w);
		for (int i = 0; i < 20; i++) {
			size_t len = random_datagram(buf, sizeof(buf), &state);
			/* small numbers hit the window more often */
			if (len >= 4 && wire_random(&state) % 2)
				buf[2] = 0, buf[3] = (uint8_t)(wire_random(&state) % 8);
			wire_send(&w, buf, len);
			if (wire_random(&state) % 4 == 0)
				wire_drain(&w, 0);
		}
		wire_close(&w);
	}
	wire_open(&w, wire_local);
	stop();
}
END_TEST

START_TEST(largest_datagram_is_read)
{
	start();
	/* a name of 60,000 bytes is refused in words, and the rest of the world goes on */
	static uint8_t buf[60100];
	static char name[60001];
	memset(name, 'n', sizeof(name) - 1);
	size_t len = wire_make_request(buf, sizeof(buf), OP_RRQ, name, "octet", NULL);
	wire_send(&w, buf, len);
	wire_expect_error(&w, -1);
	ck_assert_uint_le(wire_block(&w), 4);
	wire_close(&w);
	/* a request with 8,000 options, the last of which counts */
	wire_dial(&w, wire_local, s.port);
	len = wire_make_request(buf, sizeof(buf), OP_RRQ, "kernel", "octet", NULL);
	for (int i = 0; i < 8000; i++, len += 4)
		memcpy(buf + len, "x\0y", 4);
	memcpy(buf + len, "blksize\0" "100", 12);
	wire_send(&w, buf, len + 12);
	wire_expect_oack(&w, "blksize\0" "100");
	stop();
}
END_TEST

WIRE_MAIN("wire_malformed", malformed_requests_get_one_error_4_or_silence,
    packets_of_a_transfer_mean_nothing_to_the_listener, error_is_never_answered,
    malformed_packets_inside_a_transfer_disturb_nothing, ack_may_be_padded,
    every_truncation_of_a_good_packet_is_survived, refusal_is_not_lost_to_somebody_elses_icmp,
    random_datagrams_are_survived,
    random_datagrams_at_a_running_transfer_are_survived, largest_datagram_is_read)
