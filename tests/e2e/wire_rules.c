/*
 * The real client's rules when a server is not as it should be: what it asks for next, whom it asks next, when it gives
 * up, and what it says. The server is played by hand.
 */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REFUSED = 7, LOCAL_READ = 26, SILENT = 28, USAGE = 64, NOT_FOUND = 68, ACCESS = 69 };

static uint8_t data[40000];
static struct wire listener, second, tid;
static struct client c;
static char url[128], target[PATH_ROOM];

static void listen_here(void)
{
	wire_fill(data, sizeof(data), 7);
	wire_open(&listener, "127.0.0.1");
	snprintf(url, sizeof(url), "tftp://127.0.0.1:%u/name", wire_port(&listener));
	path_join(target, files_dir(), "local");
}

/*
 * A port that nobody has in either family, and that nobody is given: it lies below those that the kernel hands out. Held
 * for IPv6 in `v6`, unless that is NULL.
 */
static uint16_t own_port(struct wire *v6)
{
	static struct wire v4;
	uint64_t random = (uint64_t)getpid();
	for (int tries = 0; tries < 100; tries++) {
		uint16_t port = (uint16_t)(30100 + wire_random(&random) % 800);
		if (!wire_try(&v4, "0.0.0.0", port))
			continue;
		wire_close(&v4);
		if (v6 == NULL || wire_try(v6, "::1", port))
			return port;
	}
	ck_abort_msg("no port is free");
	return 0;
}

/*
 * The next request, at `w`, and not one that is repeated because this test was slow to answer; answers go out from a
 * port of their own.
 */
static void take_at(struct wire *w, int op)
{
	ck_assert_str_eq(wire_expect_new_request(w, op), "name");
	wire_open(&tid, "127.0.0.1");
	tid.peer = w->from;
}

static void take(int op)
{
	take_at(&listener, op);
}

static bool plain(const struct wire *w)
{
	return w->len == 2 + sizeof("name") + sizeof("octet");
}

static void ends(int status)
{
	int is = client_wait(&c);
	ck_assert_msg(is == status, "exit status %d and not %d: %s", is, status, client_said(&c));
}

static void says(const char *words)
{
	ck_assert_msg(strstr(client_said(&c), words) != NULL, "<%s> is missing in: %s", words, client_said(&c));
}

/* It gives up on this attempt; until then it may repeat its ACK. */
static void cancels(void)
{
	do
		ck_assert(wire_recv(&tid, WIRE_WAIT));
	while (wire_op(&tid) == OP_ACK);
	ck_assert_int_eq(wire_op(&tid), OP_ERROR);
}

START_TEST(options_that_are_refused_become_fewer_and_then_none)
{
	listen_here();
	client_start(&c, "get", "--blksize", "1000", "--windowsize", "4", "--timeout", "2", url, "local", NULL);
	take(OP_RRQ);
	ck_assert_ptr_nonnull(wire_option(&listener, "windowsize"));
	wire_error(&tid, 8, "windowsize?");
	wire_close(&tid);
	take(OP_RRQ);
	ck_assert_ptr_null(wire_option(&listener, "windowsize"));
	ck_assert_ptr_null(wire_option(&listener, "timeout"));
	ck_assert_str_eq(wire_option(&listener, "blksize"), "1000");
	wire_error(&tid, 4, "blksize?");
	wire_close(&tid);
	take(OP_RRQ);
	ck_assert(plain(&listener));
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
	ck_assert(file_is(target, data, 700));
}
END_TEST

/* Silence: three requests with everything, one with fewer options, one with none. */
START_TEST(silence_is_answered_with_fewer_options_and_then_none)
{
	listen_here();
	client_start(&c, "get", "--blksize", "1000", "--windowsize", "4", url, "local", NULL);
	for (int i = 0; i < 3; i++) {
		wire_expect_request(&listener, OP_RRQ);
		ck_assert_ptr_nonnull(wire_option(&listener, "windowsize"));
	}
	wire_expect_request(&listener, OP_RRQ);
	ck_assert_ptr_null(wire_option(&listener, "windowsize"));
	ck_assert_ptr_nonnull(wire_option(&listener, "blksize"));
	take(OP_RRQ);
	ck_assert(plain(&listener));
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
	ck_assert(file_is(target, data, 700));
}
END_TEST

START_TEST(what_a_server_can_stand_is_remembered_for_the_next_file)
{
	listen_here();
	/* a request that is repeated because this test is slow would be taken for the next one */
	client_start(&c, "get", "--timeout", "20", "--blksize", "1000", url, url, ".", NULL);
	for (int i = 0; i < 2; i++) {
		take(OP_RRQ);
		wire_error(&tid, 4, "no options here");
		wire_close(&tid);
	}
	for (int i = 0; i < 2; i++) {
		take(OP_RRQ);
		ck_assert(plain(&listener));
		wire_write_rest(&tid, 512, data, 700);
		wire_close(&tid);
	}
	ends(0);
}
END_TEST

START_TEST(no_options_asks_for_none)
{
	listen_here();
	client_start(&c, "get", "--no-options", url, "local", NULL);
	take(OP_RRQ);
	ck_assert(plain(&listener));
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
}
END_TEST

START_TEST(unanswered_request_is_repeated_as_often_as_told)
{
	listen_here();
	client_start(&c, "get", "--retries", "0", url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	ends(SILENT);
	wire_expect_nothing(&listener);
	client_start(&c, "get", "--retries", "1", "--timeout", "1", url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	wire_expect_request(&listener, OP_RRQ);
	ends(SILENT);
	wire_expect_nothing(&listener);
}
END_TEST

START_TEST(time_in_all_is_kept)
{
	listen_here();
	file_write(target, "old", 3);
	/* long enough for a busy machine to get to the first block */
	client_start(&c, "get", "--max-time", "6", url, "local", NULL);
	take(OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	cancels();
	ends(SILENT);
	says("--max-time");
	ck_assert(file_is(target, "old", 3));
}
END_TEST

/* The server answers, its large packets do not come through: once more with smaller ones. */
START_TEST(first_block_that_never_arrives_is_asked_for_in_smaller_ones)
{
	listen_here();
	client_start(&c, "get", "--blksize", "1468", "--windowsize", "1", url, "local", NULL);
	take(OP_RRQ);
	wire_oack(&tid, "blksize", "1468", NULL);
	wire_expect_ack(&tid, 0);
	cancels();
	wire_close(&tid);
	take(OP_RRQ);
	ck_assert_str_eq(wire_option(&listener, "blksize"), "1428");
	wire_oack(&tid, "blksize", "1428", NULL);
	wire_expect_ack(&tid, 0);
	wire_write_rest(&tid, 1428, data, 5000);
	ends(0);
	ck_assert(file_is(target, data, 5000));
}
END_TEST

/* What fits a smaller block anyway does not come through any better in one: a slow server is not asked anew. */
START_TEST(small_upload_is_not_tried_in_smaller_blocks)
{
	listen_here();
	file_write(target, data, 100);
	client_start(&c, "put", "--blksize", "1468", "--windowsize", "1", "--max-time", "7", "local", url, NULL);
	take(OP_WRQ);
	wire_oack(&tid, "blksize", "1468", NULL);
	wire_expect_data(&tid, 1, data, 100);
	ends(SILENT);
	says("--max-time");
	wire_expect_no_new_request(&listener);
}
END_TEST

/* The same where the bytes go to standard output: none has gone there yet. */
START_TEST(smaller_blocks_can_go_to_standard_output)
{
	listen_here();
	client_start(&c, "get", "--blksize", "1228", "--windowsize", "1", url, "-", NULL);
	take(OP_RRQ);
	wire_oack(&tid, "blksize", "1228", NULL);
	wire_expect_ack(&tid, 0);
	cancels();
	wire_close(&tid);
	take(OP_RRQ);
	ck_assert_ptr_null(wire_option(&listener, "blksize"));
	wire_write_rest(&tid, 512, data, 1300);
	ends(0);
	ck_assert(file_is(c.out, data, 1300));
}
END_TEST

/* An upload of the first `len` bytes of data from a pipe has begun. */
static pid_t put_from_pipe(size_t len, const char *ports, const char *to)
{
	int fds[2];
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq((int)write(fds[1], data, len), (int)len);
	close(fds[1]);
	pid_t pid = fork();
	if (pid == 0) {
		char program[PATH_ROOM];
		snprintf(program, sizeof(program), "%s/tftp", getenv("BUILD") ? getenv("BUILD") : "build");
		dup2(fds[0], 0);
		execl(program, "tftp", "put", "--port-range", ports, "-", to, NULL);
		_exit(127);
	}
	close(fds[0]);
	return pid;
}

/* Standard input is a pipe: nothing has been read when the options are refused. */
START_TEST(pipe_survives_the_refusal_of_options)
{
	listen_here();
	pid_t pid = put_from_pipe(900, "1024:65535", url);
	take(OP_WRQ);
	wire_error(&tid, 8, "no options");
	wire_close(&tid);
	do
		take(OP_WRQ);
	while (!plain(&listener));
	wire_ack(&tid, 0);
	wire_read_rest(&tid, 512, data, 900);
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* A part of it has been sent, to a server that went away; then there is one that cannot even be asked. */
START_TEST(pipe_survives_a_server_that_cannot_be_asked)
{
	static struct wire third;
	char ports[16], hosts[128];
	int status;
	if (!wire_has_v6())
		return;
	listen_here();
	wire_open(&third, "127.0.0.1");
	/* The client's only port is free for IPv4 and taken for IPv6. */
	uint16_t port = own_port(&second);
	snprintf(ports, sizeof(ports), "%u:%u", port, port);
	snprintf(hosts, sizeof(hosts), "tftp://127.0.0.1:%u,[::1]:69,127.0.0.1:%u/name", wire_port(&listener),
	    wire_port(&third));
	pid_t pid = put_from_pipe(900, ports, hosts);
	take(OP_WRQ);
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
	wire_deafen(&tid);
	take_at(&third, OP_WRQ);
	wire_ack(&tid, 0);
	wire_read_rest(&tid, 512, data, 900);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* What a text becomes on the wire is kept for a window, and a window of these would be less than one block of 512. */
START_TEST(small_blocks_that_are_not_granted_are_no_trouble_for_a_text)
{
	static const char text[] = "0123456789\n";
	static uint8_t wire[12 * 100];
	char lines[11 * 100 + 1] = "";
	listen_here();
	for (size_t i = 0; i < 100; i++) {
		strcat(lines, text);
		memcpy(wire + 12 * i, "0123456789\r\n", 12);
	}
	file_write(target, lines, strlen(lines));
	client_start(&c, "put", "--mode", "netascii", "--blksize", "100", "-W", "1", "local", url, NULL);
	take(OP_WRQ);
	wire_ack(&tid, 0);
	wire_read_rest(&tid, 512, wire, sizeof(wire));
	ends(0);
}
END_TEST

START_TEST(wrong_size_is_remarked_and_the_file_kept)
{
	listen_here();
	client_start(&c, "get", url, "local", NULL);
	take(OP_RRQ);
	wire_oack(&tid, "tsize", "99", NULL);
	wire_expect_ack(&tid, 0);
	wire_write_rest(&tid, 512, data, 1300);
	ends(0);
	says("announced 99 bytes");
	ck_assert(file_is(target, data, 1300));
}
END_TEST

/* An upload of the first 1300 bytes of data has begun, block 1 is there. */
static void begin_put(void)
{
	listen_here();
	file_write(target, data, 1300);
	client_start(&c, "put", "local", url, NULL);
	take(OP_WRQ);
	ck_assert_str_eq(wire_option(&listener, "tsize"), "1300");
	wire_ack(&tid, 0);
	wire_expect_data(&tid, 1, data, 512);
}

START_TEST(source_that_shrinks_ends_the_upload)
{
	begin_put();
	ck_assert_int_eq(truncate(target, 600), 0);
	wire_ack(&tid, 1);
	wire_expect_error(&tid, 0);
	ends(LOCAL_READ);
	says("became shorter");
}
END_TEST

START_TEST(source_that_grows_is_sent_as_announced_and_remarked)
{
	begin_put();
	FILE *f = fopen(target, "a");
	ck_assert_ptr_nonnull(f);
	fputs("more", f);
	fclose(f);
	wire_ack(&tid, 1);
	wire_expect_data(&tid, 2, data + 512, 512);
	wire_ack(&tid, 2);
	wire_expect_data(&tid, 3, data + 1024, 276);
	wire_ack(&tid, 3);
	ends(0);
	says("grew while it was being sent");
}
END_TEST

/* Two servers in one URL. */
static void listen_twice(void)
{
	listen_here();
	wire_open(&second, "127.0.0.1");
	snprintf(url, sizeof(url), "tftp://127.0.0.1:%u,127.0.0.1:%u/name", wire_port(&listener), wire_port(&second));
}

START_TEST(server_that_lacks_the_file_is_followed_by_the_next)
{
	listen_twice();
	client_start(&c, "get", url, "local", NULL);
	take(OP_RRQ);
	wire_error(&tid, 1, "not here");
	wire_close(&tid);
	take_at(&second, OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
	ck_assert_uint_eq(client_lines(&c), 0);
	ck_assert(file_is(target, data, 700));
}
END_TEST

START_TEST(server_that_is_silent_is_followed_within_seconds)
{
	listen_twice();
	client_start(&c, "get", url, "local", NULL);
	take_at(&second, OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
}
END_TEST

START_TEST(server_that_is_not_there_is_followed_at_once)
{
	listen_twice();
	wire_deafen(&listener);
	client_start(&c, "get", url, "local", NULL);
	take_at(&second, OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
}
END_TEST

START_TEST(server_whose_name_nobody_knows_is_followed)
{
	listen_twice();
	snprintf(url, sizeof(url), "tftp://nobody.invalid,127.0.0.1:%u/name", wire_port(&second));
	client_start(&c, "get", url, "local", NULL);
	take_at(&second, OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
	ck_assert_uint_eq(client_lines(&c), 0);
}
END_TEST

/* Or each of a hundred files would wait for it anew. */
START_TEST(server_that_was_silent_is_asked_last_from_then_on)
{
	listen_twice();
	/* a server that this test plays late would be a silent one, too */
	client_start(&c, "get", "--no-options", "--retries", "0", "--timeout", "4", url, url, url, ".", NULL);
	wire_expect_request(&listener, OP_RRQ);
	for (int i = 0; i < 2; i++) {
		take_at(&second, OP_RRQ);
		wire_write_rest(&tid, 512, data, 700);
		wire_close(&tid);
	}
	wire_expect_nothing(&listener); /* while another one answers */
	/* now the other one lacks it */
	take_at(&second, OP_RRQ);
	wire_error(&tid, 1, "not here");
	wire_close(&tid);
	take(OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
}
END_TEST

START_TEST(server_that_breaks_off_is_followed_and_the_file_is_whole)
{
	listen_twice();
	client_start(&c, "get", "--blksize", "512", url, "local", NULL);
	take(OP_RRQ);
	wire_data(&tid, 1, "something else", 14);
	wire_close(&tid);
	wire_open(&tid, "127.0.0.1");
	ends(0);
	ck_assert(file_is(target, "something else", 14));
	wire_forget(&listener);
	client_start(&c, "get", "--blksize", "512", url, "local", NULL);
	take(OP_RRQ);
	wire_data(&tid, 1, data + 1000, 512);
	wire_expect_ack(&tid, 1);
	wire_error(&tid, 2, "changed my mind");
	wire_close(&tid);
	take_at(&second, OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
	ck_assert(file_is(target, data, 700));
}
END_TEST

/* What went to standard output cannot be taken back: the next server's file would come behind it. */
static void breaks_off_on_stdout(bool goes_away, int status)
{
	char both[128];
	listen_here();
	wire_open(&second, "127.0.0.1");
	snprintf(both, sizeof(both), "tftp://127.0.0.1:%u,127.0.0.1:%u/name", wire_port(&listener), wire_port(&second));
	/* an answer that this test sends late would be none, and the second server the next to be asked */
	client_start(&c, "get", "--timeout", "2", both, "-", NULL);
	take(OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	if (goes_away)
		wire_deafen(&tid);
	ends(status);
	ck_assert(file_is(c.out, data, 512));
	wire_expect_nothing(&second);
	/* With --timeout it is five intervals that it waits, and not half a minute. */
	int acks = 0;
	while (!goes_away && wire_recv(&tid, 0))
		acks += wire_op(&tid) == OP_ACK;
	ck_assert_int_le(acks, 8);
	wire_close(&tid);
	wire_close(&listener);
	wire_close(&second);
}

START_TEST(server_that_breaks_off_on_standard_output_is_not_followed)
{
	breaks_off_on_stdout(true, REFUSED);
	breaks_off_on_stdout(false, SILENT);
}
END_TEST

START_TEST(interrupt_says_how_many_files_are_complete)
{
	listen_here();
	client_start(&c, "get", "--no-options", url, url, url, ".", NULL);
	for (int i = 0; i < 2; i++) {
		take(OP_RRQ);
		if (i == 0)
			wire_write_rest(&tid, 512, data, 700);
	}
	kill(c.pid, SIGINT);
	ends(130);
	says("interrupted, 1 of 3 files are complete");
	ck_assert_uint_eq(client_lines(&c), 1);
}
END_TEST

/* One that answers again is asked as patiently as ever. */
START_TEST(server_that_was_silent_is_trusted_again_once_it_answers)
{
	listen_here();
	client_start(&c, "get", "--timeout", "2", "--retries", "2", "--no-options", url, url, url, ".", NULL);
	for (int i = 0; i < 3; i++)
		wire_expect_request(&listener, OP_RRQ);
	take(OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	wire_expect_new_request(&listener, OP_RRQ);
	for (int i = 0; i < 2; i++) {
		wire_expect_request(&listener, OP_RRQ);
		ck_assert(listener.again);
	}
	ends(SILENT);
	says("2 of 3 files failed");
}
END_TEST

START_TEST(words_of_a_server_are_worth_more_than_the_silence_of_another)
{
	listen_twice();
	client_start(&c, "get", "--no-options", "--retries", "0", "--timeout", "4", url, "local", NULL);
	take(OP_RRQ);
	wire_error(&tid, 1, "not here");
	ends(NOT_FOUND);
	says("not here");
	ck_assert_uint_eq(client_lines(&c), 1);
}
END_TEST

START_TEST(upload_that_is_refused_stays_refused)
{
	listen_twice();
	file_write(target, data, 10);
	client_start(&c, "put", "local", url, NULL);
	take(OP_WRQ);
	wire_error(&tid, 2, "no");
	ends(ACCESS);
	wire_expect_nothing(&second);
}
END_TEST

START_TEST(answer_from_another_address_is_named)
{
	listen_here();
	client_start(&c, "get", "--retries", "1", "--timeout", "3", url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	wire_open(&second, "127.0.0.2");
	second.peer = listener.from;
	wire_data(&second, 1, data, 100);
	ends(SILENT);
	says("127.0.0.2");
	says("--relaxed-peer");
}
END_TEST

START_TEST(relaxed_peer_takes_it)
{
	listen_here();
	client_start(&c, "get", "--relaxed-peer", url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	wire_open(&second, "127.0.0.2");
	second.peer = listener.from;
	wire_write_rest(&second, 512, data, 700);
	ends(0);
	ck_assert(file_is(target, data, 700));
}
END_TEST

START_TEST(local_address_and_ports_are_as_told)
{
	char range[32];
	listen_here();
	for (int i = 0; i < 2; i++) {
		snprintf(range, sizeof(range), "%d:%d", 31000, 31003);
		client_start(&c, "get", "--bind", "127.0.0.3", "--port-range", range, url, "local", NULL);
		take(OP_RRQ);
		ck_assert(wire_from_host(&listener, "127.0.0.3"));
		ck_assert_uint_ge(wire_from_port(&listener), 31000);
		ck_assert_uint_le(wire_from_port(&listener), 31003);
		wire_write_rest(&tid, 512, data, 10);
		ends(0);
		wire_close(&tid);
		wire_forget(&listener);
	}
	/* no port is left */
	snprintf(range, sizeof(range), "%u:%u", wire_port(&listener), wire_port(&listener));
	client_start(&c, "get", "--bind", "127.0.0.1", "-R", range, url, "local", NULL);
	ends(REFUSED);
	says("in use");
}
END_TEST

/* The one port that a firewall lets through is in use until a complete transfer has dallied: the next file waits for it. */
START_TEST(files_follow_each_other_on_a_single_port)
{
	char range[32], urls[3][128], name[8];
	listen_here();
	uint16_t port = own_port(NULL);
	snprintf(range, sizeof(range), "%u:%u", port, port);
	/* names of their own, or from one port a request that is repeated would look like the next file's */
	for (int i = 0; i < 3; i++)
		snprintf(urls[i], sizeof(urls[i]), "tftp://127.0.0.1:%u/name%d", wire_port(&listener), i);
	client_start(&c, "get", "--parallel", "2", "-R", range, urls[0], urls[1], urls[2], ".", NULL);
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "name%d", i);
		ck_assert_str_eq(wire_expect_new_request(&listener, OP_RRQ), name);
		wire_open(&tid, "127.0.0.1");
		tid.peer = listener.from;
		wire_write_rest(&tid, 512, data, 700);
		wire_close(&tid);
	}
	ends(0);
}
END_TEST

START_TEST(trace_shows_every_packet_in_words)
{
	listen_here();
	client_start(&c, "get", "--trace", "--blksize", "600", "--windowsize", "1", url, "local", NULL);
	take(OP_RRQ);
	wire_oack(&tid, "blksize", "600", NULL);
	wire_expect_ack(&tid, 0);
	wire_write_rest(&tid, 600, data, 700);
	ends(0);
	says("sent RRQ <file=name, mode=octet, tsize=0, blksize=600> to 127.0.0.1:");
	says("received OACK <blksize=600> from 127.0.0.1:");
	says("sent ACK <block=0>");
	says("received DATA <block=1, 600 bytes>");
	says("received DATA <block=2, 100 bytes>");
	says("sent ACK <block=2>");
}
END_TEST

/* Why nothing is taken can be seen: it comes from somebody else. */
START_TEST(trace_shows_what_strangers_send)
{
	char words[96];
	listen_here();
	client_start(&c, "get", "--trace", "--retries", "0", "--timeout", "4", url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	wire_open(&second, "127.0.0.2");
	second.peer = listener.from;
	wire_data(&second, 2, data, 100);
	wire_expect_error(&second, 5);
	ends(SILENT);
	snprintf(words, sizeof(words), "received DATA <block=2, 100 bytes> (127.0.0.2:%u is not the peer)",
	    wire_port(&second));
	says(words);
}
END_TEST

START_TEST(json_is_one_object_for_each_file)
{
	listen_here();
	client_start(&c, "get", "--json", "--no-options", url, url, ".", NULL);
	take(OP_RRQ);
	wire_error(&tid, 1, "\"quoted\" \\ and \x1b[1m");
	wire_close(&tid);
	take(OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ends(NOT_FOUND);
	char command[2 * PATH_ROOM];
	/* any JSON parser will do; perl's comes with perl */
	snprintf(command, sizeof(command), "perl -MJSON::PP -ne '"
	    "$o = decode_json($_); push @s, \"$o->{status}:$o->{bytes}:$o->{remote}:$o->{local}\"; "
	    "END { exit(\"@s\" eq \"68:0:name:./name 0:700:name:./name\" ? 0 : 1) }' '%s'", c.out);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Also for those that were not begun: a script can tell which they are. */
START_TEST(json_has_an_object_for_each_file_after_an_interrupt)
{
	listen_here();
	client_start(&c, "get", "--json", "--no-options", url, url, url, files_dir(), NULL);
	take(OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	wire_close(&tid);
	take(OP_RRQ);
	wire_data(&tid, 1, data, 512);
	wire_expect_ack(&tid, 1);
	kill(c.pid, SIGINT);
	ends(130);
	ck_assert_str_eq(client_said(&c), "tftp: interrupted, 1 of 3 files are complete\n");
	char command[3 * PATH_ROOM];
	snprintf(command, sizeof(command), "perl -MJSON::PP -ne '"
	    "$o = decode_json($_); push @s, \"$o->{status}:$o->{bytes}\"; $o->{local} eq \"%s/name\" or exit 1; "
	    "END { exit(\"@s\" eq \"0:700 130:512 130:0\" && $o->{error} =~ /before .* was asked/ ? 0 : 1) }' '%s'",
	    files_dir(), c.out);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Long names are not cut in the middle of a character. */
START_TEST(json_is_json_whatever_the_name)
{
	char long_url[PATH_ROOM];
	listen_here();
	snprintf(long_url, sizeof(long_url), "tftp://127.0.0.1:%u/x", wire_port(&listener));
	for (int i = 0; i < 45; i++)
		strcat(long_url, "\xc3\xa4");
	client_start(&c, "get", "--json", long_url, "local", NULL);
	wire_expect_request(&listener, OP_RRQ);
	wire_open(&tid, "127.0.0.1");
	tid.peer = listener.from;
	wire_oack(&tid, "tsize", "99", NULL);
	wire_expect_ack(&tid, 0);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
	char command[2 * PATH_ROOM];
	snprintf(command, sizeof(command), "perl -MJSON::PP -ne '"
	    "exit(decode_json($_)->{note} =~ /announced 99 bytes .*\\x{e4}\" and sent 700$/ ? 0 : 1)' '%s'", c.out);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* A script gets the name that it gave, but for bytes that JSON has no place for. */
START_TEST(json_has_names_as_they_are)
{
	static char name[3000];
	listen_here();
	memset(name, 'x', sizeof(name) - 1);
	memcpy(name, "a\"b\\c\n\t\xff\xc3\xa4/", 11);
	client_start(&c, "put", "--json", name, url, NULL);
	ends(LOCAL_READ);
	char command[2 * PATH_ROOM];
	snprintf(command, sizeof(command), "perl -MJSON::PP -ne '"
	    "exit(decode_json($_)->{local} eq \"a\\\"b\\\\c\\n\\t\\\\xff\\x{e4}/\" . \"x\" x 2988 ? 0 : 1)' '%s'",
	    c.out);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* A file on standard output leaves standard error to the objects, and to nothing else. */
START_TEST(json_is_alone_on_standard_error)
{
	listen_here();
	client_start(&c, "get", "-v", "--json", "--no-options", url, "-", NULL);
	take(OP_RRQ);
	wire_error(&tid, 1, "not here");
	ends(NOT_FOUND);
	ck_assert_uint_eq(client_lines(&c), 1);
	ck_assert_msg(strncmp(client_said(&c), "{\"operation\":\"get\"", 18) == 0, "%s", client_said(&c));
}
END_TEST

START_TEST(verbose_sums_up_and_quiet_says_nothing)
{
	listen_here();
	/* nothing is to be sent again where this test is slow to answer */
	client_start(&c, "-v", "get", "--timeout", "20", "--no-options", url, "local", NULL);
	take(OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
	ck_assert_uint_eq(client_lines(&c), 1);
	says("700 bytes");
	says("no options");
	says("0 resent");
	wire_close(&tid);
	wire_forget(&listener);
	client_start(&c, "-v", "-q", "get", url, "local", NULL);
	take(OP_RRQ);
	wire_oack(&tid, "tsize", "5", NULL);
	wire_expect_ack(&tid, 0);
	wire_write_rest(&tid, 512, data, 700);
	ends(0);
	ck_assert_uint_eq(client_lines(&c), 0);
}
END_TEST

START_TEST(files_that_fail_are_counted_and_the_others_come)
{
	listen_here();
	client_start(&c, "get", "--no-options", url, url, url, ".", NULL);
	for (int i = 0; i < 3; i++) {
		take(OP_RRQ);
		if (i == 1)
			wire_error(&tid, 2, "not this one");
		else
			wire_write_rest(&tid, 512, data, 700);
		wire_close(&tid);
	}
	ends(ACCESS);
	says("1 of 3 files failed");
	ck_assert_uint_eq(client_lines(&c), 2);
}
END_TEST

/* The second request comes while the first is not yet answered. */
START_TEST(files_come_in_parallel)
{
	static struct wire tids[3];
	listen_here();
	client_start(&c, "get", "--parallel", "3", "--no-options", url, url, url, ".", NULL);
	for (int i = 0; i < 3; i++) {
		wire_expect_request(&listener, OP_RRQ);
		wire_open(&tids[i], "127.0.0.1");
		tids[i].peer = listener.from;
	}
	for (int i = 2; i >= 0; i--)
		wire_write_rest(&tids[i], 512, data, 700);
	ends(0);
}
END_TEST

static void take_name(int op, const char *name)
{
	ck_assert_str_eq(wire_expect_request(&listener, op), name);
	wire_open(&tid, "127.0.0.1");
	tid.peer = listener.from;
}

/* The first of three uploads comes from a pipe into which nobody writes yet. */
START_TEST(files_go_on_while_one_waits_for_its_pipe)
{
	char directory[80];
	int pipe_end;

	listen_here();
	path_join(target, files_dir(), "pipe");
	ck_assert_int_eq(mkfifo(target, 0600), 0);
	pipe_end = open(target, O_RDWR | O_CLOEXEC);
	path_join(target, files_dir(), "local");
	file_write(target, data, 700);
	snprintf(directory, sizeof(directory), "tftp://127.0.0.1:%u/", wire_port(&listener));
	client_start(&c, "put", "--parallel", "2", "--no-options", "pipe", "local", "local", directory, NULL);
	for (int i = 0; i < 2; i++) {
		take_name(OP_WRQ, "local");
		wire_ack(&tid, 0);
		wire_read_rest(&tid, 512, data, 700);
		wire_close(&tid);
	}
	/* a block of RFC 1350 is enough, where no larger one is asked for */
	ck_assert_int_eq(write(pipe_end, data, 600), 600);
	take_name(OP_WRQ, "pipe");
	wire_ack(&tid, 0);
	close(pipe_end);
	wire_read_rest(&tid, 512, data, 600);
	ends(0);
}
END_TEST

/* The first of two downloads goes into a pipe that nobody reads yet. */
START_TEST(files_come_while_one_waits_for_its_reader)
{
	static uint8_t received[1000];
	char other[80];
	int pipe_end;

	listen_here();
	path_join(target, files_dir(), "name");
	ck_assert_int_eq(mkfifo(target, 0600), 0);
	snprintf(other, sizeof(other), "tftp://127.0.0.1:%u/other", wire_port(&listener));
	client_start(&c, "get", "--parallel", "2", "--no-options", url, other, ".", NULL);
	take_name(OP_RRQ, "other");
	wire_write_rest(&tid, 512, data, 700);
	wire_close(&tid);
	pipe_end = open(target, O_RDONLY | O_CLOEXEC);
	take(OP_RRQ);
	wire_write_rest(&tid, 512, data, 700);
	ck_assert_int_eq(read(pipe_end, received, sizeof(received)), 700);
	ck_assert_int_eq(memcmp(received, data, 700), 0);
	close(pipe_end);
	ends(0);
}
END_TEST

START_TEST(progress_is_shown_when_told_and_only_then)
{
	listen_here();
	for (int i = 0; i < 2; i++) {
		client_start(&c, "get", i ? "--progress" : "--no-progress", "--no-options", url, "local", NULL);
		take(OP_RRQ);
		wire_data(&tid, 1, data, 512);
		wire_expect_ack(&tid, 1);
		sleep_ms(700);
		for (int tries = 0; i == 1 && tries < 300 && strstr(client_said(&c), "512 B") == NULL; tries++)
			sleep_ms(50);
		wire_data(&tid, 2, data + 512, 88);
		wire_expect_ack(&tid, 2);
		ends(0);
		wire_close(&tid);
		wire_forget(&listener);
		ck_assert_int_eq(i, strstr(client_said(&c), "name") && strstr(client_said(&c), "512 B"));
	}
}
END_TEST

WIRE_MAIN("wire_rules", options_that_are_refused_become_fewer_and_then_none,
    silence_is_answered_with_fewer_options_and_then_none, what_a_server_can_stand_is_remembered_for_the_next_file,
    no_options_asks_for_none, unanswered_request_is_repeated_as_often_as_told, time_in_all_is_kept,
    first_block_that_never_arrives_is_asked_for_in_smaller_ones, small_upload_is_not_tried_in_smaller_blocks,
    smaller_blocks_can_go_to_standard_output,
    pipe_survives_the_refusal_of_options, pipe_survives_a_server_that_cannot_be_asked,
    small_blocks_that_are_not_granted_are_no_trouble_for_a_text,
    wrong_size_is_remarked_and_the_file_kept,
    source_that_shrinks_ends_the_upload, source_that_grows_is_sent_as_announced_and_remarked,
    server_that_lacks_the_file_is_followed_by_the_next, server_that_is_silent_is_followed_within_seconds,
    server_that_is_not_there_is_followed_at_once, server_whose_name_nobody_knows_is_followed,
    server_that_was_silent_is_asked_last_from_then_on, server_that_breaks_off_is_followed_and_the_file_is_whole,
    server_that_breaks_off_on_standard_output_is_not_followed, interrupt_says_how_many_files_are_complete,
    server_that_was_silent_is_trusted_again_once_it_answers,
    words_of_a_server_are_worth_more_than_the_silence_of_another, upload_that_is_refused_stays_refused,
    answer_from_another_address_is_named, relaxed_peer_takes_it, local_address_and_ports_are_as_told,
    files_follow_each_other_on_a_single_port,
    trace_shows_every_packet_in_words, trace_shows_what_strangers_send, json_is_one_object_for_each_file,
    json_has_an_object_for_each_file_after_an_interrupt, json_is_json_whatever_the_name, json_has_names_as_they_are,
    json_is_alone_on_standard_error, verbose_sums_up_and_quiet_says_nothing,
    files_that_fail_are_counted_and_the_others_come, files_come_in_parallel,
    files_go_on_while_one_waits_for_its_pipe, files_come_while_one_waits_for_its_reader,
    progress_is_shown_when_told_and_only_then)
