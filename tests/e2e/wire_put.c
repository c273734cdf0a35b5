/* The real server, written to by hand: what is acknowledged exists, what is broken off leaves nothing. */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define PATIENT "timeout", "255"

static uint8_t data[1 << 20];
static struct wire w, other;

static void start(struct server *s)
{
	server_start(s, "--create", NULL);
	wire_fill(data, sizeof(data), 2);
	wire_dial(&w, wire_local, s->port);
}

static void stop(struct server *s)
{
	wire_close(&w);
	server_is_well(s);
	server_stop(s);
}

/* Asks for a patient write of `name` and takes the OACK. */
static void begin(const char *name)
{
	wire_request(&w, OP_WRQ, name, "octet", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
}

START_TEST(write_without_options_is_acknowledged_from_0)
{
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	wire_expect_ack(&w, 0);
	ck_assert_uint_ne(wire_from_port(&w), s.port);
	wire_follow(&w);
	wire_write_rest(&w, 512, data, 1300);
	ck_assert(server_has(&s, "new", data, 1300));
	server_expect_logged(&s, "new", 1);
	stop(&s);
}
END_TEST

START_TEST(acknowledged_upload_exists)
{
	struct server s;
	start(&s);
	server_put(&s, "old", "the old file", 12);
	static const char *const names[] = {"new", "old"};
	for (size_t i = 0; i < 2; i++) {
		wire_dial(&w, wire_local, s.port);
		begin(names[i]);
		wire_data(&w, 1, data, 512);
		wire_expect_ack(&w, 1);
		/* until the last block the old file is what everybody sees */
		ck_assert(i ? server_has(&s, "old", "the old file", 12) : server_lacks(&s, "new"));
		wire_data(&w, 2, data + 512, 100);
		wire_expect_ack(&w, 2);
		ck_assert(server_has(&s, names[i], data, 612));
		wire_close(&w);
	}
	ck_assert_uint_eq(server_entries(&s), 2);
	wire_open(&w, wire_local);
	stop(&s);
}
END_TEST

START_TEST(empty_and_exact_multiple_uploads_end_with_an_empty_block)
{
	struct server s;
	start(&s);
	begin("empty");
	wire_write_rest(&w, 512, data, 0);
	ck_assert(server_has(&s, "empty", "", 0));
	wire_close(&w);
	wire_dial(&w, wire_local, s.port);
	begin("even");
	wire_write_rest(&w, 512, data, 1024);
	ck_assert(server_has(&s, "even", data, 1024));
	stop(&s);
}
END_TEST

START_TEST(repeated_write_request_is_answered_by_the_running_transfer)
{
	/* Cisco repeats it after 4 s: "file exists" would be wrong, and so would be a second upload */
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	wire_expect_ack(&w, 0);
	uint16_t tid = wire_from_port(&w);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	wire_expect_ack(&w, 0);
	ck_assert_uint_eq(wire_from_port(&w), tid);
	wire_follow(&w);
	wire_write_rest(&w, 512, data, 700);
	ck_assert(server_has(&s, "new", data, 700));
	server_expect_logged(&s, "new", 1);
	server_is_well(&s);
	ck_assert_uint_eq(server_log_count(&s, "new"), 1);
	stop(&s);
}
END_TEST

START_TEST(repeated_write_request_with_options_gets_the_oack_again)
{
	struct server s;
	start(&s);
	struct sockaddr_storage server = w.peer;
	begin("new");
	uint16_t tid = wire_from_port(&w);
	w.peer = server;
	begin("new");
	ck_assert_uint_eq(wire_from_port(&w), tid);
	wire_write_rest(&w, 512, data, 700);
	/* and once it runs, the echo of the request changes nothing */
	ck_assert(server_has(&s, "new", data, 700));
	stop(&s);
}
END_TEST

START_TEST(stranger_at_a_write_gets_error_5_and_disturbs_nothing)
{
	struct server s;
	start(&s);
	begin("new");
	wire_data(&w, 1, data, 512);
	wire_expect_ack(&w, 1);
	wire_open(&other, wire_local);
	other.peer = w.peer;
	wire_data(&other, 2, "evil", 4);
	wire_expect_error(&other, 5);
	wire_error(&other, 0, "stop");
	wire_expect_silence(&other);
	wire_close(&other);
	wire_data(&w, 2, data + 512, 10);
	wire_expect_ack(&w, 2);
	ck_assert(server_has(&s, "new", data, 522));
	stop(&s);
}
END_TEST

START_TEST(repeated_data_is_acknowledged_again_and_written_once)
{
	struct server s;
	start(&s);
	begin("new");
	wire_data(&w, 1, data, 512);
	wire_expect_ack(&w, 1);
	wire_data(&w, 1, data, 512);
	wire_expect_ack(&w, 1);
	wire_data(&w, 2, data + 512, 512);
	wire_expect_ack(&w, 2);
	wire_data(&w, 3, data + 1024, 1);
	wire_expect_ack(&w, 3);
	ck_assert(server_has(&s, "new", data, 1025));
	stop(&s);
}
END_TEST

START_TEST(lost_last_ack_is_sent_again)
{
	struct server s;
	start(&s);
	begin("new");
	wire_data(&w, 1, data, 100);
	wire_expect_ack(&w, 1);
	for (int i = 0; i < 3; i++) {
		wire_data(&w, 1, data, 100);
		wire_expect_ack(&w, 1);
	}
	ck_assert(server_has(&s, "new", data, 100));
	server_expect_logged(&s, "new", 1);
	server_is_well(&s);
	ck_assert_uint_eq(server_log_count(&s, "new"), 1);
	stop(&s);
}
END_TEST

START_TEST(finished_upload_does_not_keep_a_stopping_server)
{
	struct server s;
	start(&s);
	begin("new");
	wire_data(&w, 1, data, 100);
	wire_expect_ack(&w, 1);
	ck_assert_int_eq(kill(s.pid, SIGTERM), 0);
	server_expect_logged(&s, "0 transfers running", 1);
	ck_assert_int_eq(waitpid(s.pid, NULL, 0), s.pid);
	ck_assert(server_has(&s, "new", data, 100));
	wire_close(&w);
}
END_TEST

START_TEST(error_while_dallying_does_not_undo_the_upload)
{
	struct server s;
	start(&s);
	begin("new");
	wire_data(&w, 1, data, 100);
	wire_expect_ack(&w, 1);
	wire_error(&w, 0, "too late");
	server_is_well(&s);
	ck_assert(server_has(&s, "new", data, 100));
	ck_assert_uint_eq(server_log_count(&s, "new"), 1);
	stop(&s);
}
END_TEST

START_TEST(ack_0_that_is_lost_comes_again)
{
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	for (int i = 0; i < 2; i++) {
		wire_expect_ack(&w, 0);
	}
	wire_follow(&w);
	wire_write_rest(&w, 512, data, 5);
	stop(&s);
}
END_TEST

START_TEST(window_is_acknowledged_at_its_end)
{
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "new", "octet", PATIENT, "windowsize", "4", NULL);
	wire_expect_oack(&w, "timeout\0" "255\0" "windowsize\0" "4");
	wire_follow(&w);
	for (unsigned b = 1; b <= 3; b++)
		wire_data(&w, b, data + (b - 1) * 512, 512);
	wire_expect_silence(&w);
	wire_data(&w, 4, data + 3 * 512, 512);
	wire_expect_ack(&w, 4);
	/* the last block ends a window too */
	wire_data(&w, 5, data + 4 * 512, 512);
	wire_data(&w, 6, data + 5 * 512, 7);
	wire_expect_ack(&w, 6);
	ck_assert(server_has(&s, "new", data, 5 * 512 + 7));
	stop(&s);
}
END_TEST

START_TEST(gap_in_a_window_is_acknowledged_once)
{
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "new", "octet", PATIENT, "windowsize", "8", NULL);
	wire_expect_oack(&w, "timeout\0" "255\0" "windowsize\0" "8");
	wire_follow(&w);
	wire_data(&w, 1, data, 512);
	wire_data(&w, 2, data + 512, 512);
	/* 3 is lost */
	for (unsigned b = 4; b <= 8; b++)
		wire_data(&w, b, data + (b - 1) * 512, 512);
	wire_expect_ack(&w, 2);
	wire_expect_silence(&w);
	/* go back, as RFC 7440 has it; whatever is acknowledged on the way must be at or past the hole */
	unsigned block = 3;
	for (int rounds = 0; block <= 12 && rounds < 20; rounds++) {
		for (unsigned b = block; b < block + 8 && b <= 12; b++)
			wire_data(&w, b, data + (b - 1) * 512, b < 12 ? 512 : 9);
		ck_assert(wire_recv(&w, WIRE_WAIT));
		do {
			ck_assert_int_eq(wire_op(&w), OP_ACK);
			ck_assert_uint_ge(wire_block(&w), 3);
			if (wire_block(&w) >= block)
				block = wire_block(&w) + 1;
		} while (wire_recv(&w, 50));
	}
	ck_assert(server_has(&s, "new", data, 11 * 512 + 9));
	stop(&s);
}
END_TEST

START_TEST(data_longer_than_agreed_is_refused)
{
	struct server s;
	start(&s);
	begin("new");
	wire_data(&w, 1, data, 513);
	wire_expect_error(&w, 4);
	ck_assert(server_settles(&s, 0));
	server_expect_logged(&s, "new", 1);
	stop(&s);
}
END_TEST

START_TEST(broken_upload_leaves_nothing_and_keeps_the_old_file)
{
	struct server s;
	start(&s);
	server_put(&s, "old", "the old file", 12);
	static const char *const names[] = {"new", "old"};
	for (size_t i = 0; i < 2; i++) {
		wire_close(&w);
		wire_dial(&w, wire_local, s.port);
		begin(names[i]);
		wire_data(&w, 1, data, 512);
		wire_expect_ack(&w, 1);
		wire_error(&w, 0, "changed my mind");
		ck_assert(server_settles(&s, 1));
		ck_assert(server_has(&s, "old", "the old file", 12));
		server_expect_logged(&s, names[i], 1);
	}
	stop(&s);
}
END_TEST

START_TEST(client_that_vanishes_leaves_nothing)
{
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "new", "octet", NULL);
	wire_expect_ack(&w, 0);
	wire_follow(&w);
	wire_data(&w, 1, data, 512);
	wire_expect_ack(&w, 1);
	/* proved, it would have 30 s; the repeated ACK finds nobody */
	wire_close(&w);
	server_expect_logged(&s, "new", 1);
	ck_assert(server_settles(&s, 0));
	wire_open(&w, wire_local);
	stop(&s);
}
END_TEST

START_TEST(two_uploads_of_one_name_do_not_mix)
{
	struct server s;
	start(&s);
	begin("new");
	wire_dial(&other, wire_local, s.port);
	wire_request(&other, OP_WRQ, "new", "octet", PATIENT, NULL);
	wire_expect_oack(&other, "timeout\0" "255");
	wire_follow(&other);
	ck_assert_uint_ne(wire_from_port(&w), wire_from_port(&other));
	wire_data(&w, 1, data, 512);
	wire_data(&other, 1, data + 9000, 512);
	wire_expect_ack(&w, 1);
	wire_expect_ack(&other, 1);
	wire_data(&w, 2, data + 512, 100);
	wire_expect_ack(&w, 2);
	ck_assert(server_has(&s, "new", data, 612));
	wire_data(&other, 2, data + 9512, 200);
	wire_expect_ack(&other, 2);
	ck_assert(server_has(&s, "new", data + 9000, 712));
	ck_assert_uint_eq(server_entries(&s), 1);
	wire_close(&other);
	stop(&s);
}
END_TEST

START_TEST(netascii_upload_becomes_local_text)
{
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "text", "netascii", PATIENT, NULL);
	wire_expect_oack(&w, "timeout\0" "255");
	wire_follow(&w);
	/* a CR at the end of a block waits for what follows it, the one at the very end stays */
	static uint8_t sent[1200], local[1200];
	memset(sent, 'x', sizeof(sent));
	sent[100] = '\r', sent[101] = '\n';
	sent[511] = '\r', sent[512] = '\n';
	sent[1023] = '\r', sent[1024] = '\0';
	sent[1100] = '\n';
	sent[1199] = '\r';
	size_t n = 0;
	for (size_t i = 0; i < sizeof(sent); i++) {
		if (sent[i] == '\r' && i + 1 < sizeof(sent) && sent[i + 1] == '\n')
			continue;
		if (sent[i] == '\0')
			continue;
		local[n++] = sent[i];
	}
	wire_write_rest(&w, 512, sent, sizeof(sent));
	ck_assert(server_has(&s, "text", local, n));
	stop(&s);
}
END_TEST

/* Writes past 65535 blocks of 8 bytes, in windows. */
static void write_past_the_wrap(unsigned wrap, const char *rollover)
{
	struct server s;
	start(&s);
	size_t len = 8 * 65700 + 3;
	wire_request(&w, OP_WRQ, "new", "octet", "blksize", "8", "windowsize", "64", PATIENT,
	    rollover ? "rollover" : NULL, rollover, NULL);
	ck_assert(wire_recv(&w, WIRE_WAIT));
	ck_assert_int_eq(wire_op(&w), OP_OACK);
	ck_assert_str_eq(wire_option(&w, "windowsize"), "64");
	wire_follow(&w);
	unsigned number = 0;
	size_t at = 0;
	for (uint64_t block = 1;; block++, at += 8) {
		number = number == 65535 ? wrap : number + 1;
		size_t n = len - at < 8 ? len - at : 8;
		wire_data(&w, number, data + at, n);
		if (block % 64 == 0 || n < 8) {
			ck_assert_msg(wire_recv(&w, WIRE_WAIT), "no ACK %u (%zu bytes in)", number, at);
			ck_assert_msg(wire_op(&w) == OP_ACK && wire_block(&w) == number,
			    "opcode %d, %u and not ACK %u (%zu bytes in)", wire_op(&w), wire_block(&w), number, at);
		}
		if (n < 8)
			break;
	}
	ck_assert(server_has(&s, "new", data, len));
	stop(&s);
}

START_TEST(uploads_wrap_to_0)
{
	write_past_the_wrap(0, NULL);
}
END_TEST

START_TEST(uploads_wrap_as_rollover_says)
{
	write_past_the_wrap(0, "0");
	write_past_the_wrap(1, "1");
}
END_TEST

START_TEST(upload_that_wraps_to_1_is_understood)
{
	/* so many round trips take minutes there, and tell memcheck nothing that windows do not */
	if (under_memcheck())
		return;
	/* some senders go from 65535 to 1 without a word; in lockstep that is certain */
	struct server s;
	start(&s);
	size_t len = 8 * 65560 + 1;
	wire_request(&w, OP_WRQ, "new", "octet", "blksize", "8", PATIENT, NULL);
	wire_expect_oack(&w, "blksize\0" "8\0" "timeout\0" "255");
	wire_follow(&w);
	unsigned number = 0;
	for (size_t at = 0;; at += 8) {
		number = number == 65535 ? 1 : number + 1;
		size_t n = len - at < 8 ? len - at : 8;
		wire_data(&w, number, data + at, n);
		ck_assert_msg(wire_recv(&w, WIRE_WAIT), "no ACK %u (%zu bytes in)", number, at);
		ck_assert_msg(wire_op(&w) == OP_ACK && wire_block(&w) == number,
		    "opcode %d, %u and not ACK %u (%zu bytes in)", wire_op(&w), wire_block(&w), number, at);
		if (n < 8)
			break;
	}
	ck_assert(server_has(&s, "new", data, len));
	stop(&s);
}
END_TEST

START_TEST(write_without_create_is_error_2)
{
	struct server s;
	server_start(&s, NULL);
	server_put(&s, "old", "the old file", 12);
	static const char *const names[] = {"new", "old", "/new", "no/such/dir"};
	for (size_t i = 0; i < 4; i++) {
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, OP_WRQ, names[i], "octet", "tsize", "10", NULL);
		wire_expect_error(&w, 2);
		ck_assert_uint_gt(w.len, 10);
		wire_expect_silence(&w);
		wire_close(&w);
	}
	ck_assert(server_has(&s, "old", "the old file", 12));
	ck_assert_uint_eq(server_entries(&s), 1);
	wire_open(&w, wire_local);
	stop(&s);
}
END_TEST

START_TEST(upload_that_cannot_fit_is_error_3_before_any_data)
{
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "new", "octet", "tsize", "4000000000000000000", NULL);
	wire_expect_error(&w, 3);
	wire_expect_silence(&w);
	ck_assert(server_settles(&s, 0));
	stop(&s);
}
END_TEST

START_TEST(tsize_of_a_write_is_echoed)
{
	struct server s;
	start(&s);
	wire_request(&w, OP_WRQ, "new", "octet", "tsize", "700", PATIENT, NULL);
	wire_expect_oack(&w, "tsize\0" "700\0" "timeout\0" "255");
	wire_follow(&w);
	wire_write_rest(&w, 512, data, 700);
	ck_assert(server_has(&s, "new", data, 700));
	stop(&s);
}
END_TEST

START_TEST(text_may_be_announced_with_its_size_on_the_wire)
{
	/* 12 bytes of netascii are 8 here: neither another file nor a larger one than is allowed */
	static const char sent[] = "a\r\nb\r\nc\r\nd\r\n";
	struct server s;
	server_start(&s, "--create", "--on-exists", "same", "--max-upload", "10", NULL);
	server_put(&s, "old", "a\nb\nc\nd\n", 8);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_WRQ, "old", "netascii", "tsize", "12", PATIENT, NULL);
	wire_expect_oack(&w, "tsize\0" "12\0" "timeout\0" "255");
	wire_follow(&w);
	wire_write_rest(&w, 512, (const uint8_t *)sent, 12);
	wire_close(&w);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_WRQ, "new", "netascii", "tsize", "22", NULL);
	wire_expect_error(&w, 3);
	wire_request(&w, OP_WRQ, "old", "octet", "tsize", "7", NULL);
	wire_expect_error(&w, 6);
	stop(&s);
}
END_TEST

START_TEST(first_data_may_come_late_and_acks_are_not_expected)
{
	/* ACK, OACK and requests that make no sense in a write are passed over */
	struct server s;
	start(&s);
	begin("new");
	wire_ack(&w, 0);
	wire_ack(&w, 1);
	wire_oack(&w, "blksize", "8", NULL);
	wire_request(&w, OP_RRQ, "new", "octet", NULL);
	wire_drain(&w, wire_wait(50));
	wire_write_rest(&w, 512, data, 600);
	ck_assert(server_has(&s, "new", data, 600));
	stop(&s);
}
END_TEST

WIRE_MAIN("wire_put", write_without_options_is_acknowledged_from_0, acknowledged_upload_exists,
    empty_and_exact_multiple_uploads_end_with_an_empty_block,
    repeated_write_request_is_answered_by_the_running_transfer,
    repeated_write_request_with_options_gets_the_oack_again, stranger_at_a_write_gets_error_5_and_disturbs_nothing,
    repeated_data_is_acknowledged_again_and_written_once, lost_last_ack_is_sent_again,
    finished_upload_does_not_keep_a_stopping_server,
    error_while_dallying_does_not_undo_the_upload, ack_0_that_is_lost_comes_again, window_is_acknowledged_at_its_end,
    gap_in_a_window_is_acknowledged_once, data_longer_than_agreed_is_refused,
    broken_upload_leaves_nothing_and_keeps_the_old_file, client_that_vanishes_leaves_nothing,
    two_uploads_of_one_name_do_not_mix, netascii_upload_becomes_local_text, uploads_wrap_to_0,
    uploads_wrap_as_rollover_says, upload_that_wraps_to_1_is_understood, write_without_create_is_error_2,
    upload_that_cannot_fit_is_error_3_before_any_data, tsize_of_a_write_is_echoed,
    text_may_be_announced_with_its_size_on_the_wire,
    first_data_may_come_late_and_acks_are_not_expected)
