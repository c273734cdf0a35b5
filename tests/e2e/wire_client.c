/* The real client against a server played by hand: what it accepts, what it refuses, and how it says so. */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Exit statuses: as curl's, and sysexits' for usage. */
enum {
	PEER = 1,
	REFUSED = 7,
	SILENT = 28,
	NOT_FOUND = 68,
	ACCESS = 69,
	DISK_FULL = 70,
	ILLEGAL = 71,
	UNKNOWN_TID = 72,
	EXISTS = 73,
	NO_USER = 74,
	INTERRUPTED = 130,
};

static uint8_t data[8 * 65700 + 3];
static struct wire listener, tid, other;
static struct client c;
static char url[64], target[PATH_ROOM];
static int pipe_end;

static void listen_here(void)
{
	wire_fill(data, sizeof(data), 5);
	wire_open(&listener, wire_local);
	snprintf(url, sizeof(url), "tftp://%s:%u/name", wire_local, wire_port(&listener));
	path_join(target, files_dir(), "local");
}

/* The client's request has come, or its next one; answers go out from a port of their own. */
static void take(int op)
{
	/* where this test was slow to answer the one before, that has been repeated */
	const char *name = wire_expect_new_request(&listener, op);
	ck_assert_str_eq(name, "name");
	wire_open(&tid, wire_local);
	tid.peer = listener.from;
}

/* A `get` into the file "local" has begun. */
static void get(void)
{
	listen_here();
	client_start(&c, "get", url, "local", NULL);
	take(OP_RRQ);
}

/* A `put` of the first `len` bytes of data has begun. */
static void put(size_t len)
{
	listen_here();
	file_write(target, data, len);
	client_start(&c, "put", "local", url, NULL);
	take(OP_WRQ);
}

/* The client ended well, silently, and this is all it left. */
static void got(size_t len)
{
	int status = client_wait(&c);
	ck_assert_msg(status == 0, "exit status %d: %s", status, client_said(&c));
	ck_assert_msg(file_is(target, data, len), "the file holds something else");
	ck_assert_uint_eq(dir_entries(files_dir()), 1);
}

/* Host, file, what happened, and what to try: that comes behind a semicolon, or is a question. */
static void says_all(void)
{
	size_t lines = client_lines(&c);
	const char *said = client_said(&c);

	ck_assert_msg(lines == 1, "one line should say why, but this did: %s", said);
	ck_assert_msg(strstr(said, wire_local) && strstr(said, "\"name\""), "host or file is missing: %s", said);
	ck_assert_msg(strstr(said, "; ") || strchr(said, '?'), "what to try is missing: %s", said);
}

/* It failed with this status and one line, and left `entries` files. */
static void failed(int status, size_t entries)
{
	int is = client_wait(&c);
	says_all();
	ck_assert_msg(is == status, "exit status %d and not %d: %s", is, status, client_said(&c));
	ck_assert_uint_eq(dir_entries(files_dir()), entries);
}

/* The rest of a get, in blocks of `blksize` from block 1. */
static void serve(size_t blksize, size_t len)
{
	wire_write_rest(&tid, blksize, data, len);
}

START_TEST(plain_server_without_options_is_understood)
{
	get();
	serve(512, 1300);
	got(1300);
}
END_TEST

START_TEST(request_asks_for_octet_and_options_that_any_server_may_leave_out)
{
	get();
	const char *name = (const char *)listener.buf + 2;
	ck_assert_str_eq(name + strlen(name) + 1, "octet");
	ck_assert_str_eq(wire_option(&listener, "tsize"), "0");
	serve(512, 0);
	got(0);
}
END_TEST

START_TEST(put_tells_the_size)
{
	put(1234);
	ck_assert_ptr_nonnull(wire_option(&listener, "tsize"));
	ck_assert_str_eq(wire_option(&listener, "tsize"), "1234");
	wire_ack(&tid, 0);
	wire_read_rest(&tid, 512, data, 1234);
	ck_assert_int_eq(client_wait(&c), 0);
}
END_TEST

START_TEST(request_that_is_lost_comes_again)
{
	listen_here();
	client_start(&c, "get", url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	uint16_t port = wire_from_port(&listener);
	wire_expect_request(&listener, OP_RRQ);
	/* from the same port, so that a server can tell that it is the same */
	ck_assert_uint_eq(wire_from_port(&listener), port);
	wire_open(&tid, wire_local);
	tid.peer = listener.from;
	serve(512, 100);
	got(100);
}
END_TEST

START_TEST(agreed_options_are_kept)
{
	listen_here();
	client_start(&c, "get", "--blksize", "1000", "--windowsize", "4", url, "local", NULL);
	take(OP_RRQ);
	ck_assert_str_eq(wire_option(&listener, "blksize"), "1000");
	ck_assert_str_eq(wire_option(&listener, "windowsize"), "4");
	/* smaller is allowed */
	wire_oack(&tid, "blksize", "900", "windowsize", "2", "tsize", "4000", NULL);
	wire_expect_ack(&tid, 0);
	wire_data(&tid, 1, data, 900);
	wire_data(&tid, 2, data + 900, 900);
	wire_expect_ack(&tid, 2);
	wire_data(&tid, 3, data + 1800, 900);
	wire_data(&tid, 4, data + 2700, 900);
	wire_expect_ack(&tid, 4);
	wire_data(&tid, 5, data + 3600, 400);
	wire_expect_ack(&tid, 5);
	got(4000);
}
END_TEST

/* The OACK is refused with ERROR 8, and so is the whole transfer. */
static void bad_oack(const char *name, const char *value)
{
	listen_here();
	client_start(&c, "get", "--blksize", "1000", "--windowsize", "4", "--timeout", "3", url, "local", NULL);
	take(OP_RRQ);
	wire_oack(&tid, name, value, NULL);
	wire_expect_error(&tid, 8);
	failed(ILLEGAL, 0);
	wire_close(&listener);
	wire_close(&tid);
}

START_TEST(oack_with_something_larger_is_refused)
{
	bad_oack("blksize", "1001");
	bad_oack("windowsize", "5");
}
END_TEST

START_TEST(oack_with_something_not_asked_is_refused)
{
	bad_oack("multicast", "224.0.0.1,1758,1");
	bad_oack("rollover", "0");
}
END_TEST

START_TEST(oack_with_a_value_that_makes_no_sense_is_refused)
{
	bad_oack("blksize", "0");
	bad_oack("blksize", "-5");
	bad_oack("blksize", "");
	bad_oack("windowsize", "0");
	bad_oack("tsize", "many");
}
END_TEST

START_TEST(wrong_tsize_does_not_cut_the_file)
{
	static const char *const wrong[] = {"100", "999999999"};
	for (size_t i = 0; i < 2; i++) {
		get();
		wire_oack(&tid, "tsize", wrong[i], NULL);
		wire_expect_ack(&tid, 0);
		serve(512, 1300);
		got(1300);
		wire_close(&listener);
		wire_close(&tid);
	}
}
END_TEST

START_TEST(data_from_a_wrong_tid_is_answered_with_error_5)
{
	get();
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	/* the same host, another port; and the listener itself, whose TID this is not */
	wire_open(&other, wire_local);
	other.peer = tid.peer;
	wire_data(&other, 2, "wrong", 5);
	wire_expect_error(&other, 5);
	wire_error(&other, 1, "not you");
	wire_expect_silence(&other);
	listener.peer = tid.peer;
	wire_data(&listener, 2, "wrong", 5);
	wire_expect_error(&listener, 5);
	wire_data(&tid, 2, data + 512, 88);
	wire_expect_ack(&tid, 2);
	got(600);
}
END_TEST

START_TEST(first_answer_from_another_address_is_not_taken)
{
	listen_here();
	client_start(&c, "get", url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	wire_open(&other, "127.0.0.2");
	other.peer = listener.from;
	wire_data(&other, 1, "wrong", 5);
	wire_error(&other, 1, "wrong");
	wire_open(&tid, wire_local);
	tid.peer = listener.from;
	serve(512, 700);
	got(700);
	/* whatever the stranger was told, it was not an ACK */
	while (wire_recv(&other, 0))
		ck_assert_int_eq(wire_op(&other), OP_ERROR);
}
END_TEST

START_TEST(exit_status_tells_the_error)
{
	static const struct {
		unsigned code;
		int status;
	} errors[] = {{1, NOT_FOUND}, {2, ACCESS}, {3, DISK_FULL}, {4, ILLEGAL}, {5, UNKNOWN_TID}, {6, EXISTS},
	    {7, NO_USER}, {8, ILLEGAL}, {0, PEER}, {9, PEER}, {99, PEER}, {65535, PEER}};
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		listen_here();
		file_write(target, "old", 3);
		client_start(&c, "get", url, "local", NULL);
		take(OP_RRQ);
		wire_error(&tid, errors[i].code, "words for a person");
		if (errors[i].code == 4 || errors[i].code == 8 || errors[i].code == 0) {
			/* perhaps an old server that cannot stand options: once more without any */
			wire_close(&tid);
			take(OP_RRQ);
			ck_assert_uint_eq(listener.len, 2 + sizeof("name") + sizeof("octet"));
			wire_error(&tid, errors[i].code, "words for a person");
		}
		failed(errors[i].status, 1);
		ck_assert_msg(strstr(client_said(&c), "words for a person"), "the server's words are missing: %s",
		    client_said(&c));
		ck_assert(file_is(target, "old", 3));
		wire_expect_silence(&tid);
		wire_close(&tid);
		wire_close(&listener);
	}
}
END_TEST

START_TEST(old_server_that_refuses_options_is_asked_without_them)
{
	static const unsigned codes[] = {8, 4, 0};
	for (size_t i = 0; i < 3; i++) {
		get();
		wire_error(&tid, codes[i], "what are options?");
		wire_close(&tid);
		take(OP_RRQ);
		ck_assert_ptr_null(wire_option(&listener, "tsize"));
		serve(512, 700);
		got(700);
		wire_close(&listener);
	}
}
END_TEST

START_TEST(error_inside_a_transfer_keeps_the_old_file)
{
	listen_here();
	file_write(target, "old", 3);
	client_start(&c, "get", url, "local", NULL);
	take(OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	ck_assert(file_is(target, "old", 3));
	wire_error(&tid, 0, "disk on fire");
	failed(PEER, 1);
	ck_assert(file_is(target, "old", 3));
}
END_TEST

/* An ERROR as these bytes. */
static void odd_error_bytes(const void *bytes, size_t len, int status, const char *words)
{
	get();
	wire_send(&tid, bytes, len);
	failed(status, 0);
	const char *said = client_said(&c);
	for (const char *at = said; *at; at++)
		ck_assert_msg(*at == '\n' || ((unsigned char)*at >= 32 && *at != 127), "a raw control character: %s",
		    said);
	ck_assert_msg(!words || strstr(said, words), "\"%s\" is missing in: %s", words, said);
	wire_close(&listener);
	wire_close(&tid);
}

#define odd_error(bytes, status, words) odd_error_bytes(bytes, sizeof(bytes) - 1, status, words)

START_TEST(error_without_an_end_is_read_to_its_length)
{
	odd_error("\0\5\0\1gone", NOT_FOUND, "gone");
	odd_error("\0\5\0\1", NOT_FOUND, NULL);
	odd_error("\0\5\0\1\0", NOT_FOUND, NULL);
}
END_TEST

START_TEST(control_characters_of_an_error_are_never_printed_raw)
{
	odd_error("\0\5\0\2\x1b[2J\x1b]0;owned\x07 no\r\nsecond line\0", ACCESS, "owned");
	odd_error("\0\5\0\2\x9b" "31m\xff\xfe\0", ACCESS, NULL);
	static uint8_t loud[5000] = {0, 5, 0, 2};
	memset(loud + 4, 7, sizeof(loud) - 4);
	odd_error_bytes(loud, sizeof(loud), ACCESS, NULL);
}
END_TEST

START_TEST(silent_server_is_28)
{
	listen_here();
	file_write(target, "old", 3);
	client_start(&c, "get", "--timeout", "1", url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	failed(SILENT, 1);
	ck_assert(file_is(target, "old", 3));
}
END_TEST

START_TEST(max_time_ends_what_is_under_way)
{
	listen_here();
	file_write(target, "old", 3);
	/* long enough for a busy machine to get to the first block */
	client_start(&c, "get", "--max-time", "6", url, "local", NULL);
	take(OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	failed(SILENT, 1);
	ck_assert_msg(strstr(client_said(&c), "--max-time"), "%s", client_said(&c));
	ck_assert(file_is(target, "old", 3));
}
END_TEST

START_TEST(closed_port_is_7_at_once)
{
	listen_here();
	wire_deafen(&listener);
	client_start(&c, "get", url, "local", NULL);
	failed(REFUSED, 0);
	client_start(&c, "put", "/dev/null", url, NULL);
	ck_assert_int_eq(client_wait(&c), REFUSED);
}
END_TEST

START_TEST(server_that_goes_away_ends_a_get_with_nothing_left)
{
	get();
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	wire_deafen(&tid);
	/* its next ACK finds nobody */
	failed(REFUSED, 0);
	ck_assert_msg(strstr(client_said(&c), "went away after 512 bytes"), "%s", client_said(&c));
}
END_TEST

/* Everything was sent, and the end was not acknowledged: nobody here knows whether it is complete there. */
START_TEST(put_without_a_last_ack_is_no_success_and_says_so)
{
	put(700);
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
	wire_ack(&tid, 1);
	wire_expect_data(&tid, 2, data + 512, 188);
	wire_deafen(&tid);
	failed(REFUSED, 1);
	ck_assert_msg(strstr(client_said(&c), "may be complete there"), "%s", client_said(&c));
	wire_close(&tid);
	wire_close(&listener);
	listen_here();
	client_start(&c, "put", "--timeout", "2", "local", url, NULL);
	take(OP_WRQ);
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
	wire_ack(&tid, 1);
	failed(SILENT, 1);
	ck_assert_msg(strstr(client_said(&c), "may be complete there"), "%s", client_said(&c));
}
END_TEST

START_TEST(repeated_and_reordered_data_make_the_same_file)
{
	listen_here();
	client_start(&c, "get", "--windowsize", "8", "--blksize", "512", url, "local", NULL);
	take(OP_RRQ);
	wire_oack(&tid, "windowsize", "8", NULL);
	wire_expect_ack(&tid, 0);
	/* the OACK once more: its ACK may have been lost */
	wire_oack(&tid, "windowsize", "8", NULL);
	wire_expect_ack(&tid, 0);
	static const unsigned order[] = {1, 3, 2, 2, 5, 4, 1, 8, 7, 6};
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		wire_data(&tid, order[i], data + (order[i] - 1) * 512, 512);
	unsigned acked = 0;
	for (int i = 0; acked < 10 && i < 100; i++) {
		if (wire_recv(&tid, 300)) {
			ck_assert_int_eq(wire_op(&tid), OP_ACK);
			ck_assert_uint_le(wire_block(&tid), 10);
			if (wire_block(&tid) > acked)
				acked = wire_block(&tid);
			continue;
		}
		for (unsigned b = acked + 1; b <= 10 && b <= acked + 8; b++)
			wire_data(&tid, b, data + (b - 1) * 512, b < 10 ? 512 : 50);
	}
	ck_assert_uint_eq(acked, 10);
	got(9 * 512 + 50);
}
END_TEST

START_TEST(repeated_data_is_acknowledged_again)
{
	get();
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	wire_data(&tid, 2, data + 512, 5);
	wire_expect_ack(&tid, 2);
	got(517);
}
END_TEST

/*
 * As if the last ACK had been lost: the client stays for a moment, two round trips and a little. Ours are long here, but a
 * machine may be too busy all the same: one of several is enough.
 */
START_TEST(lost_last_ack_is_sent_again)
{
	bool again = false;

	for (int i = 0; i < 10 && !again; i++) {
		get();
		sleep_ms(150);
		wire_data(&tid, 1, data, 512);
		wire_expect_ack(&tid, 1);
		sleep_ms(150);
		wire_data(&tid, 2, data + 512, 5);
		wire_expect_ack(&tid, 2);
		sleep_ms(100); /* at once it could come before the client has even looked whether to leave */
		wire_data(&tid, 2, data + 512, 5);
		again = wire_recv(&tid, 1000) && wire_op(&tid) == OP_ACK && wire_block(&tid) == 2;
		got(517);
		wire_close(&tid);
		wire_close(&listener);
	}
	ck_assert_msg(again, "the client does not dally");
}
END_TEST

/*
 * Somebody waits for the client to end, and for what it inherited to be closed: a child dallies, and holds nothing but
 * the socket. A machine may be too busy for one, hence several.
 */
START_TEST(nobody_waits_for_the_dallying)
{
	struct stat pids;
	bool again = false;

	if (stat("/proc/self/ns/pid", &pids) != 0 || pids.st_ino != 0xeffffffc)
		return; /* in a container the client itself does */
	for (int i = 0; i < 10 && !again; i++) {
		int ends[2];
		char none;
		ck_assert_int_eq(pipe(ends), 0);
		get();
		close(ends[1]);
		sleep_ms(300);
		wire_data(&tid, 1, data, 512);
		wire_expect_ack(&tid, 1);
		sleep_ms(300);
		wire_data(&tid, 2, data + 512, 5);
		wire_expect_ack(&tid, 2);
		got(517);
		ck_assert_int_eq(read(ends[0], &none, 1), 0);
		int file = open(target, O_RDONLY | O_CLOEXEC);
		ck_assert_int_eq(flock(file, LOCK_EX | LOCK_NB), 0); /* which is held as long as it is open for writing */
		close(file);
		wire_data(&tid, 2, data + 512, 5);
		again = wire_recv(&tid, 1000) && wire_op(&tid) == OP_ACK && wire_block(&tid) == 2;
		close(ends[0]);
		wire_close(&tid);
		wire_close(&listener);
	}
	ck_assert_msg(again, "nobody dallies once the client has ended");
}
END_TEST

/*
 * A hundred sockets do not stand in poll() alone, and an epoll set would be shared with a child: what the client closes
 * would be gone from the child's too. So there is none, and nobody answers once the client has ended.
 */
START_TEST(crowd_is_left_to_no_child)
{
	static struct wire tids[110];
	size_t n = sizeof(tids) / sizeof(tids[0]);

	listen_here();
#define TEN url, url, url, url, url, url, url, url, url, url
	client_start(&c, "get", "--parallel", "110", "--no-options", TEN, TEN, TEN, TEN, TEN, TEN, TEN, TEN, TEN, TEN, TEN,
	    files_dir(), NULL);
#undef TEN
	for (size_t i = 0; i < n; i++) {
		size_t known = 0;
		wire_expect_request(&listener, OP_RRQ);
		while (known < i && memcmp(&tids[known].peer, &listener.from, sizeof(struct sockaddr_in)) != 0)
			known++;
		wire_open(&tids[i], wire_local);
		tids[i].peer = listener.from;
		if (known < i) /* repeated: the machine is slow */
			wire_close(&tids[i--]);
	}
	for (unsigned block = 1; block <= 2; block++) {
		sleep_ms(200); /* a round trip long enough to dally for a second */
		for (size_t i = 0; i < n; i++)
			wire_data(&tids[i], block, data, block == 1 ? 512 : 5);
		for (size_t i = 0; i < n; i++)
			wire_expect_ack(&tids[i], block);
	}
	ck_assert_int_eq(client_wait(&c), 0);
	wire_drain(&tids[0], 50);
	wire_data(&tids[0], 2, data, 5);
	wire_expect_silence(&tids[0]);
}
END_TEST

/* The first file's last ACK was lost: it is sent again while the second file is on its way. */
START_TEST(next_file_begins_while_the_last_one_dallies)
{
	bool again = false;

	for (int i = 0; i < 10 && !again; i++) {
		listen_here();
		client_start(&c, "get", url, url, files_dir(), NULL);
		take(OP_RRQ);
		sleep_ms(150);
		wire_data(&tid, 1, data, 100);
		wire_expect_ack(&tid, 1);
		struct wire first = tid;
		take(OP_RRQ);
		wire_data(&first, 1, data, 100);
		again = wire_recv(&first, 1000) && wire_op(&first) == OP_ACK && wire_block(&first) == 1;
		wire_data(&tid, 1, data, 100);
		wire_expect_ack(&tid, 1);
		ck_assert_int_eq(client_wait(&c), 0);
		wire_close(&first);
		wire_close(&tid);
		wire_close(&listener);
	}
	ck_assert_msg(again, "the client forgets a file as soon as the next one begins");
}
END_TEST

START_TEST(file_is_there_when_the_last_ack_leaves)
{
	get();
	wire_data(&tid, 1, data, 17);
	wire_expect_ack(&tid, 1);
	ck_assert(file_is(target, data, 17));
	got(17);
}
END_TEST

START_TEST(error_after_the_last_ack_is_no_failure)
{
	get();
	wire_data(&tid, 1, data, 17);
	wire_expect_ack(&tid, 1);
	wire_error(&tid, 0, "too late");
	got(17);
}
END_TEST

/* A get of more than 65535 blocks of 8 bytes, after which the numbers go on at `wrap`. */
static void get_past_the_wrap(unsigned wrap)
{
	listen_here();
	client_start(&c, "get", "--blksize", "8", "--windowsize", "1", url, "local", NULL);
	take(OP_RRQ);
	wire_oack(&tid, "blksize", "8", NULL);
	wire_expect_ack(&tid, 0);
	unsigned number = 0, last;
	for (size_t at = 0;; at += 8) {
		last = number;
		number = number == 65535 ? wrap : number + 1;
		size_t n = sizeof(data) - at < 8 ? sizeof(data) - at : 8;
		/* on a busy machine the client's own timer may repeat its last ACK */
		wire_data(&tid, number, data + at, n);
		do
			ck_assert_msg(wire_recv(&tid, WIRE_WAIT), "no ACK %u (%zu bytes in)", number, at);
		while (wire_op(&tid) == OP_ACK && wire_block(&tid) == last);
		ck_assert_msg(wire_op(&tid) == OP_ACK && wire_block(&tid) == number,
		    "opcode %d, %u and not ACK %u (%zu bytes in)", wire_op(&tid), wire_block(&tid), number, at);
		if (n < 8)
			break;
	}
	got(sizeof(data));
}

START_TEST(server_that_wraps_to_0_is_understood)
{
	get_past_the_wrap(0);
}
END_TEST

START_TEST(server_that_wraps_to_1_is_understood)
{
	get_past_the_wrap(1);
}
END_TEST

START_TEST(put_in_lockstep_survives_duplicate_acks)
{
	put(1300);
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
	wire_ack(&tid, 1);
	wire_expect_data(&tid, 2, data + 512, 512);
	/* Sorcerer's Apprentice: none of these may cause DATA, beyond what the client's own timer repeats */
	for (int i = 0; i < 30; i++) {
		wire_ack(&tid, 1);
		sleep_ms(2); /* one at a time: a batch would count as one */
	}
	int n = 0;
	while (wire_recv(&tid, 20) && n < 100)
		n++;
	ck_assert_int_lt(n, 15);
	wire_ack(&tid, 2);
	wire_expect_data(&tid, 3, data + 1024, 276);
	wire_ack(&tid, 3);
	got(1300);
}
END_TEST

START_TEST(put_repeats_its_last_block_until_it_is_acknowledged)
{
	put(600);
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
	wire_ack(&tid, 1);
	wire_expect_data(&tid, 2, data + 512, 88);
	wire_expect_data(&tid, 2, data + 512, 88);
	wire_ack(&tid, 2);
	got(600);
}
END_TEST

START_TEST(put_of_an_exact_multiple_ends_with_an_empty_block)
{
	put(1024);
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
	wire_ack(&tid, 1);
	wire_expect_data(&tid, 2, data + 512, 512);
	wire_ack(&tid, 2);
	wire_expect_data(&tid, 3, "", 0);
	wire_ack(&tid, 3);
	got(1024);
}
END_TEST

START_TEST(put_that_is_refused_fails_in_words)
{
	put(600);
	wire_error(&tid, 2, "uploads are off");
	failed(ACCESS, 1);
	ck_assert(strstr(client_said(&c), "uploads are off"));
	wire_close(&listener);
	wire_close(&tid);
	put(6000);
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
	wire_error(&tid, 3, "disk full");
	failed(DISK_FULL, 1);
}
END_TEST

START_TEST(put_window_goes_back_to_the_gap)
{
	listen_here();
	file_write(target, data, 512 * 12);
	client_start(&c, "put", "--blksize", "512", "--windowsize", "4", "local", url, NULL);
	take(OP_WRQ);
	wire_oack(&tid, "windowsize", "4", NULL);
	for (unsigned b = 1; b <= 4; b++)
		wire_expect_data(&tid, b, data + (b - 1) * 512, 512);
	wire_ack(&tid, 2);
	for (unsigned b = 3; b <= 6; b++)
		wire_expect_data(&tid, b, data + (b - 1) * 512, 512);
	for (unsigned b = 6; b < 13; b += 4) {
		wire_ack(&tid, b);
		for (unsigned n = b + 1; n <= b + 4 && n <= 13; n++)
			wire_expect_data(&tid, n, data + (n - 1) * 512, n < 13 ? 512 : 0);
	}
	wire_ack(&tid, 13);
	got(512 * 12);
}
END_TEST

START_TEST(random_answers_are_survived)
{
	static uint8_t buf[1000];
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t state = seed;
		listen_here();
		client_start(&c, seed % 2 ? "get" : "put", seed % 2 ? url : "/dev/null", seed % 2 ? "local" : url,
		    "--timeout", "1", NULL);
		ck_assert(wire_recv(&listener, WIRE_WAIT));
		wire_open(&tid, wire_local);
		tid.peer = listener.from;
		for (int i = 0; i < 60; i++) {
			size_t len = wire_random(&state) % (i % 8 ? 40 : sizeof(buf));
			wire_fill(buf, len, wire_random(&state));
			if (len >= 4 && wire_random(&state) % 8) {
				buf[0] = 0;
				buf[1] = (uint8_t)(i < 50 ? wire_random(&state) % 8 : OP_DATA);
				buf[2] = 0;
				buf[3] = (uint8_t)(wire_random(&state) % 4);
			}
			/* the ERROR comes last */
			if (len >= 2 && buf[1] == OP_ERROR)
				buf[1] = OP_ACK;
			wire_send(&tid, buf, len);
		}
		wire_error(&tid, 1, "enough");
		wire_close(&tid);
		wire_close(&listener);
		int status = client_wait(&c);
		ck_assert_msg(status < 126, "seed %llu: exit status %d: %s", (unsigned long long)seed, status,
		    client_said(&c));
		ck_assert_msg(!strstr(client_said(&c), "Sanitizer") && !strstr(client_said(&c), "runtime error"),
		    "seed %llu: %s", (unsigned long long)seed, client_said(&c));
	}
}
END_TEST

START_TEST(interrupted_put_is_130_and_the_file_stays)
{
	put(6000);
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
	kill(c.pid, SIGINT);
	failed(INTERRUPTED, 1);
	ck_assert(file_is(target, data, 6000));
}
END_TEST

START_TEST(interrupted_get_leaves_nothing_and_tells_the_server)
{
	listen_here();
	file_write(target, "old", 3);
	client_start(&c, "get", url, "local", NULL);
	take(OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	kill(c.pid, SIGINT);
	failed(INTERRUPTED, 1);
	ck_assert(file_is(target, "old", 3));
	/* so that it need not wait in vain; ACKs that its timer repeated may stand before it */
	do
		ck_assert_msg(wire_recv(&tid, WIRE_WAIT), "the server was not told");
	while (wire_op(&tid) == OP_ACK);
	ck_assert_int_eq(wire_op(&tid), OP_ERROR);
}
END_TEST

/*
 * What ends a get that waits for the reader of a pipe is told as it is, and not as a disk that fails. The pipe is one
 * of a page, which poll() calls full once there is something in it.
 */
static void get_into_full_pipe(const char *option, const char *value)
{
	listen_here();
	ck_assert_int_eq(mkfifo(target, 0600), 0);
	pipe_end = open(target, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fcntl(pipe_end, F_SETPIPE_SZ, 4096), 4096);
	client_start(&c, "get", "--no-options", option, value, url, "local", NULL);
	take(OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	wire_data(&tid, 2, data, 512);
}

static void server_is_told(const char *text)
{
	do
		ck_assert_msg(wire_recv(&tid, WIRE_WAIT), "the server was not told");
	while (wire_op(&tid) == OP_ACK);
	ck_assert_int_eq(wire_op(&tid), OP_ERROR);
	ck_assert_str_eq((const char *)tid.buf + 4, text);
	close(pipe_end);
}

START_TEST(interrupted_while_a_pipe_is_full_is_what_the_server_is_told)
{
	get_into_full_pipe("--blksize", "auto");
	sleep_ms(200);
	kill(c.pid, SIGINT);
	failed(INTERRUPTED, 1);
	server_is_told("interrupted at the other end");
}
END_TEST

START_TEST(out_of_time_while_a_pipe_is_full_is_what_the_server_is_told)
{
	get_into_full_pipe("--max-time", "3");
	failed(SILENT, 1);
	server_is_told("out of time at the other end");
}
END_TEST

WIRE_MAIN("wire_client", plain_server_without_options_is_understood,
    request_asks_for_octet_and_options_that_any_server_may_leave_out, put_tells_the_size,
    request_that_is_lost_comes_again, agreed_options_are_kept, oack_with_something_larger_is_refused,
    oack_with_something_not_asked_is_refused, oack_with_a_value_that_makes_no_sense_is_refused,
    wrong_tsize_does_not_cut_the_file, data_from_a_wrong_tid_is_answered_with_error_5,
    first_answer_from_another_address_is_not_taken, exit_status_tells_the_error,
    old_server_that_refuses_options_is_asked_without_them,
    error_inside_a_transfer_keeps_the_old_file, error_without_an_end_is_read_to_its_length,
    control_characters_of_an_error_are_never_printed_raw, silent_server_is_28,
    max_time_ends_what_is_under_way, closed_port_is_7_at_once,
    server_that_goes_away_ends_a_get_with_nothing_left, put_without_a_last_ack_is_no_success_and_says_so,
    repeated_and_reordered_data_make_the_same_file,
    repeated_data_is_acknowledged_again, lost_last_ack_is_sent_again,
    nobody_waits_for_the_dallying, crowd_is_left_to_no_child,
    next_file_begins_while_the_last_one_dallies, file_is_there_when_the_last_ack_leaves,
    error_after_the_last_ack_is_no_failure, server_that_wraps_to_0_is_understood,
    server_that_wraps_to_1_is_understood, put_in_lockstep_survives_duplicate_acks,
    put_repeats_its_last_block_until_it_is_acknowledged, put_of_an_exact_multiple_ends_with_an_empty_block,
    put_that_is_refused_fails_in_words, put_window_goes_back_to_the_gap, random_answers_are_survived,
    interrupted_put_is_130_and_the_file_stays, interrupted_get_leaves_nothing_and_tells_the_server,
    interrupted_while_a_pipe_is_full_is_what_the_server_is_told,
    out_of_time_while_a_pipe_is_full_is_what_the_server_is_told)
