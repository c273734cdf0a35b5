/* The real server's answers to options (RFC 2347, 2348, 2349, 7440), byte for byte. */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 3000

static uint8_t data[SIZE];
static struct wire w;
static struct server s;

static void start(void)
{
	server_start(&s, "--create", NULL);
	wire_fill(data, sizeof(data), 3);
	server_put(&s, "file", data, sizeof(data));
	server_put(&s, "empty", "", 0);
}

/* An OACK must be exactly this, and the transfer must then begin with block 1; a slow test may have it repeated. */
#define answers(name, oack, ...) \
	do { \
		wire_dial(&w, wire_local, s.port); \
		wire_request(&w, OP_RRQ, name, "octet", __VA_ARGS__, NULL); \
		wire_expect_oack(&w, oack); \
		wire_follow(&w); \
		wire_ack(&w, 0); \
		do \
			ck_assert(wire_recv(&w, WIRE_WAIT)); \
		while (wire_op(&w) == OP_OACK); \
		ck_assert_int_eq(wire_op(&w), OP_DATA); \
		ck_assert_uint_eq(wire_block(&w), 1); \
		wire_error(&w, 0, "enough"); \
		wire_close(&w); \
	} while (0)

/* As if no option had been there: DATA 1 with 512 bytes. */
#define ignores(...) \
	do { \
		wire_dial(&w, wire_local, s.port); \
		wire_request(&w, OP_RRQ, "file", "octet", __VA_ARGS__, NULL); \
		wire_expect_data(&w, 1, data, 512); \
		wire_follow(&w); \
		wire_error(&w, 0, "enough"); \
		wire_close(&w); \
	} while (0)

static void stop(void)
{
	server_is_well(&s);
	server_stop(&s);
}

START_TEST(oack_is_byte_exact_and_in_the_order_asked)
{
	start();
	answers("file", "tsize\0" "3000\0" "blksize\0" "1432", "tsize", "0", "blksize", "1432");
	answers("file", "blksize\0" "1432\0" "tsize\0" "3000", "blksize", "1432", "tsize", "0");
	answers("file", "timeout\0" "5\0" "tsize\0" "3000\0" "blksize\0" "1468\0" "windowsize\0" "8",
	    "timeout", "5", "tsize", "0", "blksize", "1468", "windowsize", "8");
	answers("file", "windowsize\0" "8\0" "blksize\0" "1468\0" "tsize\0" "3000\0" "timeout\0" "5",
	    "windowsize", "8", "blksize", "1468", "tsize", "0", "timeout", "5");
	answers("file", "blksize\0" "512", "blksize", "512");
	stop();
}
END_TEST

START_TEST(option_names_are_read_in_any_case)
{
	start();
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "file", "octet", "BLKSIZE", "100", "TSize", "0", NULL);
	ck_assert(wire_recv(&w, WIRE_WAIT));
	ck_assert_int_eq(wire_op(&w), OP_OACK);
	ck_assert_str_eq(wire_option(&w, "blksize"), "100");
	ck_assert_str_eq(wire_option(&w, "tsize"), "3000");
	wire_close(&w);
	stop();
}
END_TEST

START_TEST(unknown_options_are_left_out)
{
	start();
	ignores("color", "blue");
	ignores("", "");
	ignores("multicast", "", "x-vendor", "1");
	answers("file", "blksize\0" "600", "color", "blue", "blksize", "600", "saveFiles", "all");
	stop();
}
END_TEST

START_TEST(values_that_are_no_numbers_are_as_if_not_there)
{
	start();
	static const char *const bad[] = {"", "-1", "+512", " 512", "512 ", "0x200", "5e2", "512.0", "five",
	    "99999999999999999999", "18446744073709551616", "5\xff", "512\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ignores("blksize", bad[i]);
		ignores("windowsize", bad[i]);
		ignores("timeout", bad[i]);
	}
	ignores("tsize", "-1", "utimeout", "1x", "rollover", "2", "blksize2", "");
	stop();
}
END_TEST

START_TEST(values_out_of_range_are_as_if_not_there)
{
	start();
	ignores("blksize", "0");
	ignores("blksize", "7");
	ignores("timeout", "0");
	ignores("timeout", "256");
	ignores("utimeout", "9999");
	ignores("utimeout", "255000001");
	ignores("windowsize", "0");
	ignores("windowsize", "65536");
	ignores("rollover", "2");
	stop();
}
END_TEST

START_TEST(timeout_is_echoed_exactly)
{
	start();
	answers("file", "timeout\0" "1", "timeout", "1");
	answers("file", "timeout\0" "5", "timeout", "5");
	answers("file", "timeout\0" "255", "timeout", "255");
	/* a hundredth of a second: it may have given up before a busy machine gets to the acknowledgement */
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "file", "octet", "utimeout", "10000", NULL);
	wire_expect_oack(&w, "utimeout\0" "10000");
	wire_close(&w);
	answers("file", "utimeout\0" "255000000", "utimeout", "255000000");
	stop();
}
END_TEST

static unsigned long granted(const char *option, const char *asked)
{
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "file", "octet", option, asked, NULL);
	ck_assert(wire_recv(&w, WIRE_WAIT));
	ck_assert_int_eq(wire_op(&w), OP_OACK);
	const char *value = wire_option(&w, option);
	ck_assert_ptr_nonnull(value);
	unsigned long n = strtoul(value, NULL, 10);
	wire_close(&w);
	return n;
}

START_TEST(blksize_is_clamped_and_never_raised)
{
	start();
	ck_assert_uint_eq(granted("blksize", "8"), 8);
	ck_assert_uint_eq(granted("blksize", "9"), 9);
	ck_assert_uint_eq(granted("blksize", "1468"), 1468);
	static const char *const large[] = {"65464", "65465", "65535", "65536", "1000000"};
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
		ck_assert_uint_le(granted("blksize", large[i]), 65464);
		ck_assert_uint_ge(granted("blksize", large[i]), 1400);
	}
	stop();
}
END_TEST

START_TEST(blksize2_is_a_power_of_two)
{
	start();
	ck_assert_uint_eq(granted("blksize2", "1000"), 512);
	ck_assert_uint_eq(granted("blksize2", "1024"), 1024);
	ck_assert_uint_eq(granted("blksize2", "8"), 8);
	stop();
}
END_TEST

START_TEST(windowsize_is_clamped_and_never_raised)
{
	start();
	ck_assert_uint_eq(granted("windowsize", "1"), 1);
	ck_assert_uint_eq(granted("windowsize", "16"), 16);
	ck_assert_uint_ge(granted("windowsize", "65535"), 16);
	ck_assert_uint_le(granted("windowsize", "65535"), 65535);
	stop();
}
END_TEST

START_TEST(window_bytes_bound_a_window)
{
	server_start(&s, "--window-bytes", "8192", "--windowsize", "32", NULL);
	wire_fill(data, sizeof(data), 3);
	server_put(&s, "file", data, sizeof(data));
	answers("file", "windowsize\0" "16", "windowsize", "64");
	answers("file", "blksize\0" "1024\0" "windowsize\0" "8", "blksize", "1024", "windowsize", "64");
	answers("file", "blksize\0" "64\0" "windowsize\0" "32", "blksize", "64", "windowsize", "64");
	stop();
}
END_TEST

START_TEST(rollover_is_echoed)
{
	start();
	answers("file", "rollover\0" "0", "rollover", "0");
	answers("file", "rollover\0" "1", "rollover", "1");
	stop();
}
END_TEST

START_TEST(first_of_a_repeated_option_counts)
{
	start();
	answers("file", "blksize\0" "600", "blksize", "600", "blksize", "700");
	answers("file", "blksize\0" "600\0" "tsize\0" "3000", "blksize", "600", "tsize", "0", "BLKSIZE", "8");
	stop();
}
END_TEST

START_TEST(empty_file_has_no_tsize_in_its_oack)
{
	/* curl fails on it, iPXE stops there, the UEFI shell divides by it */
	start();
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "empty", "octet", "tsize", "0", NULL);
	wire_expect_data(&w, 1, "", 0);
	wire_follow(&w);
	wire_ack(&w, 1);
	wire_close(&w);
	answers("empty", "blksize\0" "1000", "tsize", "0", "blksize", "1000");
	stop();
}
END_TEST

START_TEST(netascii_has_no_tsize_that_is_not_true)
{
	start();
	server_put(&s, "text", "a\nb\n", 4);
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, "text", "netascii", "tsize", "0", "timeout", "9", NULL);
	ck_assert(wire_recv(&w, WIRE_WAIT));
	ck_assert_int_eq(wire_op(&w), OP_OACK);
	const char *tsize = wire_option(&w, "tsize");
	ck_assert_msg(!tsize || !strcmp(tsize, "6"), "tsize %s where 6 bytes are sent", tsize);
	wire_follow(&w);
	wire_ack(&w, 0);
	wire_expect_data(&w, 1, "a\r\nb\r\n", 6);
	wire_ack(&w, 1);
	wire_close(&w);
	stop();
}
END_TEST

START_TEST(padding_after_the_options_is_forgiven)
{
	/* some firmware sends its whole, zeroed buffer */
	start();
	uint8_t buf[1024] = {0};
	wire_make_request(buf, sizeof(buf), OP_RRQ, "file", "octet", "blksize", "600", NULL);
	wire_dial(&w, wire_local, s.port);
	wire_send(&w, buf, 512);
	wire_expect_oack(&w, "blksize\0" "600");
	wire_follow(&w);
	wire_ack(&w, 0);
	wire_read_rest(&w, 600, data, sizeof(data));
	wire_close(&w);
	stop();
}
END_TEST

START_TEST(every_granted_blksize_is_kept)
{
	static const size_t sizes[] = {8, 9, 511, 1000, 2999, 3000, 3001};
	start();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char value[16];
		snprintf(value, sizeof(value), "%zu", sizes[i]);
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, OP_RRQ, "file", "octet", "blksize", value, NULL);
		ck_assert(wire_recv(&w, WIRE_WAIT));
		ck_assert_str_eq(wire_option(&w, "blksize"), value);
		wire_follow(&w);
		wire_ack(&w, 0);
		wire_read_rest(&w, sizes[i], data, sizeof(data));
		wire_close(&w);
	}
	stop();
}
END_TEST

WIRE_MAIN("wire_options", oack_is_byte_exact_and_in_the_order_asked, option_names_are_read_in_any_case,
    unknown_options_are_left_out, values_that_are_no_numbers_are_as_if_not_there,
    values_out_of_range_are_as_if_not_there, timeout_is_echoed_exactly, blksize_is_clamped_and_never_raised,
    blksize2_is_a_power_of_two, windowsize_is_clamped_and_never_raised, window_bytes_bound_a_window, rollover_is_echoed,
    first_of_a_repeated_option_counts, empty_file_has_no_tsize_in_its_oack, netascii_has_no_tsize_that_is_not_true,
    padding_after_the_options_is_forgiven, every_granted_blksize_is_kept)
