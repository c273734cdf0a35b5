/* The real server, read from by hand: who may answer, what is repeated and what is not, and how a read ends. */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* With timeout=255 nothing is repeated by itself, and every packet that comes is the answer to one of ours. */
#define PATIENT "timeout", "255"

static uint8_t data[1 << 20];
static struct wire w, other;

static void start(struct server *s, size_t len)
{
	server_start(s, NULL);
	wire_fill(data, sizeof(data), 1);
	server_put(s, "kernel", data, len);
	wire_dial(&w, wire_local, s->port);
}

static void stop(struct server *s)
{
	wire_close(&w);
	server_is_well(s);
	server_stop(s);
}

START_TEST(read_without_options_comes_in_blocks_of_512)
{
	struct server s;
	start(&s, 1300);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_read_rest(&w, 512, data, 1300);
	server_expect_logged(&s, "kernel", 1);
	stop(&s);
}
END_TEST

START_TEST(answer_comes_from_a_new_tid)
{
	struct server s;
	start(&s, 1300);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, data, 512);
	ck_assert_uint_ne(wire_from_port(&w), s.port);
	ck_assert(wire_from_host(&w, wire_local));
	stop(&s);
}
END_TEST

START_TEST(stranger_at_a_tid_gets_error_5_and_disturbs_nothing)
{
	struct server s;
	start(&s, 1300);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	/* from another port, and from another address: none of these is the peer */
	static const char *const hosts[] = {wire_local, "127.0.0.2"};
	for (size_t i = 0; i < 2; i++) {
		wire_dial(&other, hosts[i], wire_from_port(&w));
		other.peer = w.peer;
		wire_ack(&other, 0);
		wire_expect_error(&other, 5);
		wire_data(&other, 1, "x", 1);
		wire_expect_error(&other, 5);
		/* an ERROR is never answered */
		wire_error(&other, 0, "stop");
		wire_expect_silence(&other);
		wire_close(&other);
	}
	wire_ack(&w, 0);
	wire_read_rest(&w, 512, data, 1300);
	stop(&s);
}
END_TEST

START_TEST(stranger_that_is_denied_is_told_nothing)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, "--deny", "127.0.0.2", NULL);
	wire_fill(data, sizeof(data), 1);
	server_put(&s, "kernel", data, 600);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	wire_dial(&other, "127.0.0.2", wire_from_port(&w));
	other.peer = w.peer;
	wire_ack(&other, 0);
	wire_request(&other, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_silence(&other);
	wire_close(&other);
	server_expect_logged(&s, "denied peer=127.0.0.2", 1);
	wire_ack(&w, 0);
	wire_read_rest(&w, 512, data, 600);
	stop(&s);
}
END_TEST

START_TEST(stranger_that_vanishes_disturbs_nothing)
{
	/* the ICMP that ERROR 5 brings back must not be taken for the peer's; stopped, the server sees both at once */
	struct server s;
	start(&s, 1300);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	for (unsigned b = 0; b < 2; b++) {
		kill(s.pid, SIGSTOP);
		wire_open(&other, wire_local);
		other.peer = w.peer;
		wire_ack(&other, b);
		wire_ack(&other, b);
		wire_close(&other);
		wire_ack(&w, b);
		kill(s.pid, SIGCONT);
		wire_expect_data(&w, b + 1, data + b * 512, 512);
	}
	wire_ack(&w, 2);
	wire_expect_data(&w, 3, data + 1024, 276);
	wire_ack(&w, 3);
	server_expect_logged(&s, "sent", 1);
	stop(&s);
}
END_TEST

START_TEST(repeated_request_is_answered_by_the_running_transfer)
{
	struct server s;
	start(&s, 1300);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	uint16_t tid = wire_from_port(&w);
	for (int i = 0; i < 3; i++) {
		wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
		wire_expect_oack(&w, "timeout\0" "255");
		ck_assert_uint_eq(wire_from_port(&w), tid);
	}
	wire_follow(&w);
	wire_ack(&w, 0);
	wire_read_rest(&w, 512, data, 1300);
	ck_assert_uint_eq(wire_from_port(&w), tid);
	server_expect_logged(&s, "kernel", 1);
	server_is_well(&s);
	ck_assert_uint_eq(server_log_count(&s, "kernel"), 1);
	stop(&s);
}
END_TEST

START_TEST(repeated_request_without_options_gets_data_1_again)
{
	struct server s;
	start(&s, 600);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, data, 512);
	uint16_t tid = wire_from_port(&w);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, data, 512);
	ck_assert_uint_eq(wire_from_port(&w), tid);
	wire_follow(&w);
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 88);
	wire_ack(&w, 2);
	server_expect_logged(&s, "kernel", 1);
	server_is_well(&s);
	ck_assert_uint_eq(server_log_count(&s, "kernel"), 1);
	stop(&s);
}
END_TEST

START_TEST(same_host_at_another_port_is_a_second_transfer)
{
	struct server s;
	start(&s, 1300);
	wire_dial(&other, wire_local, s.port);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_request(&other, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_expect_oack(&other, "timeout\0" "255");
	ck_assert_uint_ne(wire_from_port(&w), wire_from_port(&other));
	wire_follow(&w);
	wire_follow(&other);
	wire_ack(&other, 0);
	wire_read_rest(&other, 512, data, 1300);
	wire_ack(&w, 0);
	wire_read_rest(&w, 512, data, 1300);
	wire_close(&other);
	stop(&s);
}
END_TEST

START_TEST(next_request_from_the_same_port_is_a_new_transfer)
{
	/* SLOF asks from port 2001 every time */
	struct server s;
	start(&s, 1300);
	struct sockaddr_storage server = w.peer;
	for (size_t i = 0; i < 5; i++) {
		w.peer = server;
		wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
		wire_read_rest(&w, 512, data, 1300);
		server_expect_logged(&s, "kernel", i + 1);
	}
	stop(&s);
}
END_TEST

START_TEST(duplicate_ack_causes_no_data)
{
	struct server s;
	start(&s, 2000);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	wire_ack(&w, 0);
	wire_expect_data(&w, 1, data, 512);
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 512);
	/* Sorcerer's Apprentice, RFC 1123 section 4.2.3.1 */
	for (int i = 0; i < 5; i++)
		wire_ack(&w, 1);
	wire_ack(&w, 0);
	wire_expect_silence(&w);
	wire_ack(&w, 2);
	wire_expect_data(&w, 3, data + 1024, 512);
	wire_expect_silence(&w);
	wire_ack(&w, 3);
	wire_expect_data(&w, 4, data + 1536, 464);
	wire_ack(&w, 4);
	stop(&s);
}
END_TEST

START_TEST(ack_of_a_block_never_sent_is_ignored)
{
	struct server s;
	start(&s, 2000);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	wire_ack(&w, 0);
	wire_expect_data(&w, 1, data, 512);
	wire_ack(&w, 2);
	wire_ack(&w, 40000);
	wire_ack(&w, 65535);
	wire_expect_silence(&w);
	wire_ack(&w, 1);
	for (unsigned b = 2; b <= 4; b++) {
		wire_expect_data(&w, b, data + (b - 1) * 512, b < 4 ? 512 : 464);
		wire_ack(&w, b);
	}
	server_expect_logged(&s, "kernel", 1);
	stop(&s);
}
END_TEST

START_TEST(data_whose_ack_is_lost_comes_again)
{
	struct server s;
	start(&s, 1000);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, data, 512);
	wire_follow(&w);
	wire_expect_data(&w, 1, data, 512);
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 488);
	wire_expect_data(&w, 2, data + 512, 488);
	wire_ack(&w, 2);
	server_expect_logged(&s, "kernel", 1);
	stop(&s);
}
END_TEST

START_TEST(oack_that_is_not_answered_comes_again)
{
	struct server s;
	start(&s, 100);
	wire_request(&w, OP_RRQ, "kernel", "octet", "blksize", "1000", NULL);
	wire_expect_oack(&w, "blksize\0" "1000");
	wire_expect_oack(&w, "blksize\0" "1000");
	wire_follow(&w);
	wire_ack(&w, 0);
	wire_expect_data(&w, 1, data, 100);
	wire_ack(&w, 1);
	stop(&s);
}
END_TEST

START_TEST(agreed_timeout_is_the_interval)
{
	/*
	 * 20 ms, where it would be 1 s, then 2 s, without: generous on a busy machine, and still a difference. One that
	 * stands still for as long may have us ask once more: without, none of them would come so soon.
	 */
	struct server s;
	int soon = 0;
	start(&s, 100);
	for (int i = 0; i < 10 && soon < 2; i++) {
		wire_close(&w);
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, OP_RRQ, "kernel", "octet", "utimeout", "20000", NULL);
		wire_expect_oack(&w, "utimeout\0" "20000");
		for (soon = 0; soon < 2 && wire_recv(&w, 900); soon++)
			ck_assert_int_eq(wire_op(&w), OP_OACK);
	}
	ck_assert_msg(soon == 2, "%d repeats came within the interval, and not 2", soon);
	stop(&s);
}
END_TEST

START_TEST(unproven_peer_gets_few_packets_and_never_a_window)
{
	/* a forged source address must not be flooded */
	struct server s;
	start(&s, sizeof(data));
	wire_request(&w, OP_RRQ, "kernel", "octet", "utimeout", "50000", "windowsize", "64", NULL);
	int n = 0;
	server_expect_logged(&s, "kernel", 1); /* it has given up */
	for (; wire_recv(&w, n ? WIRE_QUIET : WIRE_WAIT); n++)
		ck_assert_int_eq(wire_op(&w), OP_OACK);
	ck_assert_int_ge(n, 2);
	ck_assert_int_le(n, 6);
	stop(&s);
}
END_TEST

START_TEST(unreachable_peer_ends_the_transfer_at_once)
{
	struct server s;
	start(&s, sizeof(data));
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, data, 512);
	wire_follow(&w);
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 512);
	/* proved, it would have 30 s; its port is gone, so the next repeat ends it */
	wire_close(&w);
	server_expect_logged(&s, "kernel", 1);
	wire_open(&w, wire_local);
	stop(&s);
}
END_TEST

START_TEST(exact_multiple_ends_with_an_empty_block)
{
	struct server s;
	start(&s, 1024);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, data, 512);
	wire_follow(&w);
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 512);
	wire_ack(&w, 2);
	wire_expect_data(&w, 3, "", 0);
	wire_ack(&w, 3);
	server_expect_logged(&s, "kernel", 1);
	stop(&s);
}
END_TEST

START_TEST(empty_file_is_one_empty_block)
{
	struct server s;
	start(&s, 0);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, "", 0);
	wire_follow(&w);
	wire_ack(&w, 1);
	server_expect_logged(&s, "kernel", 1);
	stop(&s);
}
END_TEST

START_TEST(size_probe_is_not_a_failure)
{
	/* UEFI asks, reads tsize from the OACK, ends with ERROR 8, and asks again without tsize */
	static const unsigned codes[] = {8, 0};
	struct server s;
	start(&s, 1300);
	struct sockaddr_storage server = w.peer;
	for (size_t i = 0; i < 2; i++) {
		w.peer = server;
		wire_request(&w, OP_RRQ, "kernel", "octet", "tsize", "0", "blksize", "1468", NULL);
		wire_expect_oack(&w, "tsize\0" "1300\0" "blksize\0" "1468");
		wire_follow(&w);
		wire_error(&w, codes[i], "User aborted the transfer");
		server_expect_logged(&s, "probe", i + 1);
		wire_drain(&w, 0); /* where this test was slow, the OACK has come once more meanwhile */
		wire_expect_silence(&w);
	}
	w.peer = server;
	wire_request(&w, OP_RRQ, "kernel", "octet", "blksize", "1468", NULL);
	wire_expect_oack(&w, "blksize\0" "1468");
	wire_follow(&w);
	wire_ack(&w, 0);
	wire_read_rest(&w, 1468, data, 1300);
	stop(&s);
}
END_TEST

START_TEST(error_ends_a_transfer_silently)
{
	struct server s;
	start(&s, 5000);
	wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
	wire_expect_data(&w, 1, data, 512);
	wire_follow(&w);
	wire_ack(&w, 1);
	wire_expect_data(&w, 2, data + 512, 512);
	wire_error(&w, 0, "Early terminate");
	server_expect_logged(&s, "kernel", 1);
	wire_drain(&w, 20);
	wire_expect_silence(&w);
	stop(&s);
}
END_TEST

START_TEST(window_is_sent_without_waiting)
{
	struct server s;
	start(&s, 512 * 9 + 10);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, "windowsize", "4", NULL);
	wire_expect_oack(&w, "timeout\0" "255\0" "windowsize\0" "4");
	wire_follow(&w);
	wire_ack(&w, 0);
	for (unsigned b = 1; b <= 4; b++)
		wire_expect_data(&w, b, data + (b - 1) * 512, 512);
	wire_expect_silence(&w);
	wire_ack(&w, 4);
	for (unsigned b = 5; b <= 8; b++)
		wire_expect_data(&w, b, data + (b - 1) * 512, 512);
	wire_expect_silence(&w);
	wire_ack(&w, 8);
	/* a short last window */
	wire_expect_data(&w, 9, data + 8 * 512, 512);
	wire_expect_data(&w, 10, data + 9 * 512, 10);
	wire_ack(&w, 10);
	server_expect_logged(&s, "kernel", 1);
	stop(&s);
}
END_TEST

START_TEST(ack_inside_a_window_goes_back_to_the_gap)
{
	struct server s;
	start(&s, 512 * 20);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, "windowsize", "4", NULL);
	wire_expect_oack(&w, "timeout\0" "255\0" "windowsize\0" "4");
	wire_follow(&w);
	wire_ack(&w, 0);
	for (unsigned b = 1; b <= 4; b++)
		wire_expect_data(&w, b, data + (b - 1) * 512, 512);
	/* block 3 was lost; RFC 7440 section 4 */
	wire_ack(&w, 2);
	for (unsigned b = 3; b <= 6; b++)
		wire_expect_data(&w, b, data + (b - 1) * 512, 512);
	wire_expect_silence(&w);
	stop(&s);
}
END_TEST

START_TEST(many_acks_of_one_gap_cause_no_storm)
{
	/* UEFI sends one for every packet that is out of order */
	struct server s;
	start(&s, 512 * 200);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, "windowsize", "64", NULL);
	wire_expect_oack(&w, "timeout\0" "255\0" "windowsize\0" "64");
	wire_follow(&w);
	wire_ack(&w, 0);
	for (unsigned b = 1; b <= 64; b++)
		wire_expect_data(&w, b, data + (b - 1) * 512, 512);
	for (int i = 0; i < 50; i++)
		wire_ack(&w, 10);
	/* from 11 to 74, once */
	int n = 0;
	for (bool whole = false; wire_recv(&w, whole ? WIRE_QUIET : WIRE_WAIT); n++)
		whole |= wire_block(&w) == 74;
	ck_assert_int_ge(n, 10);
	ck_assert_int_le(n, 128);
	stop(&s);
}
END_TEST

/* Reads past 65535 blocks of 8 bytes, acknowledging whole windows; after 65535 the numbers go on at `wrap`. */
static void read_past_the_wrap(unsigned wrap, const char *rollover)
{
	struct server s;
	size_t len = 8 * 65700 + 3;
	start(&s, len);
	wire_request(&w, OP_RRQ, "kernel", "octet", "blksize", "8", "windowsize", "64", PATIENT,
	    rollover ? "rollover" : NULL, rollover, NULL);
	ck_assert(wire_recv(&w, WIRE_WAIT));
	ck_assert_int_eq(wire_op(&w), OP_OACK);
	ck_assert_str_eq(wire_option(&w, "windowsize"), "64");
	if (rollover)
		ck_assert_str_eq(wire_option(&w, "rollover"), rollover);
	else
		ck_assert_ptr_null(wire_option(&w, "rollover"));
	wire_follow(&w);
	wire_ack(&w, 0);
	unsigned number = 0;
	size_t at = 0;
	for (uint64_t block = 1;; block++, at += 8) {
		number = number == 65535 ? wrap : number + 1;
		size_t n = len - at < 8 ? len - at : 8;
		ck_assert_msg(wire_recv(&w, WIRE_WAIT), "no DATA %u (%zu bytes in)", number, at);
		ck_assert_msg(wire_op(&w) == OP_DATA && wire_block(&w) == number && w.len == n + 4,
		    "opcode %d, %u, %zu bytes and not DATA %u, %zu bytes (%zu bytes in)", wire_op(&w), wire_block(&w),
		    w.len, number, n + 4, at);
		ck_assert_msg(!memcmp(w.buf + 4, data + at, n), "DATA %u holds other bytes (%zu bytes in)", number, at);
		if (block % 64 == 0 || n < 8)
			wire_ack(&w, number);
		if (n < 8)
			break;
	}
	server_expect_logged(&s, "kernel", 1);
	stop(&s);
}

START_TEST(block_numbers_wrap_to_0)
{
	read_past_the_wrap(0, NULL);
}
END_TEST

START_TEST(block_numbers_wrap_as_rollover_says)
{
	read_past_the_wrap(0, "0");
	read_past_the_wrap(1, "1");
}
END_TEST

START_TEST(netascii_expands_line_ends_also_at_block_borders)
{
	struct server s;
	start(&s, 0);
	/* the CR LF of the first line end falls on 511 and 512, a CR NUL on 1023 and 1024 of what is sent */
	static uint8_t text[1100], sent[1300];
	memset(text, 'x', sizeof(text));
	text[511] = '\n';
	text[1021] = '\r';
	text[1050] = '\r';
	text[1051] = '\n';
	text[1099] = '\r';
	size_t n = 0;
	for (size_t i = 0; i < sizeof(text); i++) {
		if (text[i] == '\n')
			sent[n++] = '\r';
		sent[n++] = text[i];
		if (text[i] == '\r')
			sent[n++] = '\0';
	}
	ck_assert_uint_eq(sent[511], '\r');
	ck_assert_uint_eq(sent[512], '\n');
	server_put(&s, "text", text, sizeof(text));
	wire_request(&w, OP_RRQ, "text", "netascii", NULL);
	wire_read_rest(&w, 512, sent, n);
	stop(&s);
}
END_TEST

START_TEST(mode_may_be_in_any_case)
{
	static const char *const modes[] = {"octet", "OCTET", "OcTeT", "NETASCII", "NetAscii"};
	struct server s;
	start(&s, 0);
	server_put(&s, "plain", "no line end", 11);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		wire_dial(&other, wire_local, s.port);
		wire_request(&other, OP_RRQ, "plain", modes[i], NULL);
		wire_read_rest(&other, 512, (const uint8_t *)"no line end", 11);
		wire_close(&other);
	}
	stop(&s);
}
END_TEST

START_TEST(other_modes_are_refused)
{
	static const char *const modes[] = {"mail", "MAIL", "", "octets", "netascii "};
	struct server s;
	start(&s, 10);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		wire_dial(&other, wire_local, s.port);
		wire_request(&other, OP_RRQ, "kernel", modes[i], NULL);
		wire_expect_error(&other, -1);
		ck_assert_msg(wire_block(&other) == 4 || wire_block(&other) == 0, "ERROR %u for mode \"%s\"",
		    wire_block(&other), modes[i]);
		wire_expect_silence(&other);
		wire_close(&other);
	}
	stop(&s);
}
END_TEST

START_TEST(answer_comes_from_the_address_that_was_asked)
{
	struct server s;
	server_start_at(&s, "0.0.0.0", 0, NULL);
	wire_fill(data, 600, 1);
	server_put(&s, "kernel", data, 600);
	static const char *const hosts[] = {"127.0.0.1", "127.0.0.7"};
	for (size_t i = 0; i < 2; i++) {
		wire_dial(&w, "127.0.0.1", s.port);
		struct sockaddr_in *to = (struct sockaddr_in *)&w.peer;
		to->sin_addr.s_addr = htonl(i ? 0x7f000007 : 0x7f000001);
		wire_request(&w, OP_RRQ, "kernel", "octet", NULL);
		wire_expect_data(&w, 1, data, 512);
		ck_assert_msg(wire_from_host(&w, hosts[i]), "the answer did not come from %s", hosts[i]);
		wire_follow(&w);
		wire_ack(&w, 1);
		wire_expect_data(&w, 2, data + 512, 88);
		ck_assert(wire_from_host(&w, hosts[i]));
		wire_ack(&w, 2);
		/* a refusal as well */
		wire_close(&w);
		wire_dial(&w, "127.0.0.1", s.port);
		to->sin_addr.s_addr = htonl(i ? 0x7f000007 : 0x7f000001);
		wire_request(&w, OP_RRQ, "nothing", "octet", NULL);
		wire_expect_error(&w, 1);
		ck_assert(wire_from_host(&w, hosts[i]));
		wire_close(&w);
	}
	server_stop(&s);
}
END_TEST

START_TEST(ipv6_works_like_ipv4)
{
	if (!wire_has_v6())
		return;
	struct server s;
	server_start_at(&s, "[::1]", 0, NULL);
	wire_fill(data, 600, 1);
	server_put(&s, "kernel", data, 600);
	wire_dial(&w, "::1", s.port);
	wire_request(&w, OP_RRQ, "kernel", "octet", "blksize", "100", NULL);
	wire_expect_oack(&w, "blksize\0" "100");
	wire_follow(&w);
	wire_dial(&other, "::1", wire_from_port(&w));
	wire_ack(&other, 0);
	wire_expect_error(&other, 5);
	wire_ack(&w, 0);
	wire_read_rest(&w, 100, data, 600);
	server_stop(&s);
}
END_TEST

/* Waits until the process is gone: its exit status, or -1. */
static int ends(pid_t pid)
{
	int status;
	for (int i = 0; i < WIRE_WAIT / 5; i++, sleep_ms(5))
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return -1;
}

START_TEST(sigterm_ends_an_idle_server)
{
	struct server s;
	start(&s, 10);
	kill(s.pid, SIGTERM);
	ck_assert_int_eq(ends(s.pid), 0);
}
END_TEST

START_TEST(sigterm_lets_a_running_transfer_end)
{
	struct server s;
	start(&s, 1300);
	wire_request(&w, OP_RRQ, "kernel", "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	kill(s.pid, SIGTERM);
	wire_ack(&w, 0);
	wire_read_rest(&w, 512, data, 1300);
	ck_assert_int_eq(ends(s.pid), 0);
	ck_assert_uint_eq(server_log_count(&s, "kernel"), 1);
}
END_TEST

/* How often each of these packets comes: `most` of them in all, and whatever else does until nothing more comes. */
static void count_blocks(int op, unsigned copies[], size_t n, unsigned most)
{
	memset(copies, 0, n * sizeof(copies[0]));
	for (unsigned got = 0; wire_recv(&w, got < most ? WIRE_WAIT : WIRE_QUIET); got++) {
		ck_assert_int_eq(wire_op(&w), op);
		ck_assert_uint_lt(wire_block(&w), n);
		copies[wire_block(&w)]++;
	}
}

START_TEST(blocks_that_never_arrive_are_told_from_a_client_that_left)
{
	struct server s;
	struct wire absent;
	/* long enough for a busy machine to acknowledge the first block of the one that left */
	server_start(&s, "--give-up", "4", NULL);
	wire_fill(data, sizeof(data), 1);
	server_put(&s, "large", data, 5000);
	server_put(&s, "left", data, 5000);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "large", "octet", "blksize", "1400", NULL);
	wire_expect_oack(&w, "blksize\0" "1400");
	wire_follow(&w);
	wire_ack(&w, 0);
	wire_dial(&other, wire_local, s.port);
	wire_request(&other, OP_RRQ, "left", "octet", "blksize", "1400", NULL);
	wire_expect_oack(&other, "blksize\0" "1400");
	wire_follow(&other);
	wire_ack(&other, 0);
	wire_expect_data(&other, 1, data, 1400);
	wire_ack(&other, 1);
	wire_dial(&absent, wire_local, s.port);
	wire_request(&absent, OP_RRQ, "large", "octet", "blksize", "1400", NULL);
	wire_expect_oack(&absent, "blksize\0" "1400");
	server_expect_logged(&s, "fell silent", 2);
	server_expect_logged(&s, "reason=\"no answer\" detail=\"is the client gone, or does a firewall", 1);
	ck_assert_uint_eq(server_log_count(&s, "smaller MTU on the way"), 1);
	ck_assert(strstr(strstr(server_log(&s), "failed read file=large"), "smaller MTU") != NULL);
	wire_close(&absent);
	wire_close(&w);
	wire_close(&other);
	server_stop(&s);
}
END_TEST

START_TEST(duplicate_sends_everything_so_many_times_more)
{
	struct server s;
	unsigned copies[8];
	server_start(&s, "--duplicate", "2", "--create", NULL);
	wire_fill(data, sizeof(data), 1);
	server_put(&s, "file", data, 1700);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "file", "octet", "windowsize", "3", PATIENT, NULL);
	wire_expect_oack(&w, "windowsize\0" "3\0timeout\0" "255");
	wire_follow(&w);
	ck_assert(wire_recv(&w, WIRE_WAIT) && wire_recv(&w, WIRE_WAIT));
	ck_assert_int_eq(wire_op(&w), OP_OACK);
	wire_ack(&w, 0);
	count_blocks(OP_DATA, copies, 8, 9);
	for (unsigned block = 1; block <= 3; block++)
		ck_assert_uint_eq(copies[block], 3);
	wire_ack(&w, 3);
	count_blocks(OP_DATA, copies, 8, 3);
	ck_assert_uint_eq(copies[4], 3);
	wire_ack(&w, 4);
	server_expect_logged(&s, "sent", 1);
	ck_assert_uint_eq(server_log_count(&s, "resent=0"), 1);
	wire_close(&w);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	wire_expect_ack(&w, 0);
	wire_follow(&w);
	wire_data(&w, 1, data, 100);
	wire_expect_ack(&w, 1);
	ck_assert(wire_recv(&w, WIRE_WAIT) && wire_recv(&w, WIRE_WAIT));
	ck_assert(server_has(&s, "new", data, 100));
	wire_expect_silence(&w);
	server_stop(&s);
}
END_TEST

WIRE_MAIN("wire_get", read_without_options_comes_in_blocks_of_512, answer_comes_from_a_new_tid,
    stranger_at_a_tid_gets_error_5_and_disturbs_nothing, stranger_that_is_denied_is_told_nothing,
    stranger_that_vanishes_disturbs_nothing, repeated_request_is_answered_by_the_running_transfer,
    repeated_request_without_options_gets_data_1_again, same_host_at_another_port_is_a_second_transfer,
    next_request_from_the_same_port_is_a_new_transfer, duplicate_ack_causes_no_data,
    ack_of_a_block_never_sent_is_ignored, data_whose_ack_is_lost_comes_again, oack_that_is_not_answered_comes_again,
    agreed_timeout_is_the_interval,
    unproven_peer_gets_few_packets_and_never_a_window, unreachable_peer_ends_the_transfer_at_once,
    exact_multiple_ends_with_an_empty_block, empty_file_is_one_empty_block, size_probe_is_not_a_failure,
    error_ends_a_transfer_silently, window_is_sent_without_waiting, ack_inside_a_window_goes_back_to_the_gap,
    many_acks_of_one_gap_cause_no_storm, block_numbers_wrap_to_0, block_numbers_wrap_as_rollover_says,
    netascii_expands_line_ends_also_at_block_borders, mode_may_be_in_any_case, other_modes_are_refused,
    answer_comes_from_the_address_that_was_asked, ipv6_works_like_ipv4, sigterm_ends_an_idle_server,
    sigterm_lets_a_running_transfer_end, duplicate_sends_everything_so_many_times_more,
    blocks_that_never_arrive_are_told_from_a_client_that_left)
