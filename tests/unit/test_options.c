/*
 * Option negotiation: what a value may look like, what is granted of what was asked, the exact bytes of the OACK, and
 * what a client accepts as an answer.
 */
#include "options.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define END NULL

static const struct option_limits generous = {BLKSIZE_MAX, WINDOWSIZE_MAX, UINT32_MAX, 0};
static const struct option_limits usual = {1468, 44, 65536, 0};

/* A packet with these options: name, value, name, value, ..., END. Lives until the next call. */
static struct packet packet_with(enum packet_op op, const char *const *strings)
{
	static uint8_t bytes[4096];
	struct packet_writer w;
	struct packet p;

	packet_write(&w, bytes, sizeof(bytes));
	packet_write_u16(&w, (uint16_t)op);
	if (op != PACKET_OACK) {
		packet_write_string(&w, "file");
		packet_write_string(&w, "octet");
	}
	while (*strings)
		packet_write_string(&w, *strings++);
	ck_assert(!w.full);
	ck_assert_int_eq(packet_decode(&p, bytes, w.len), PACKET_OK);
	return p;
}

static struct option_set parsed(const char *const *strings)
{
	struct packet p = packet_with(PACKET_RRQ, strings);
	struct option_set set;

	memset(&set, 0xee, sizeof(set));
	options_parse(&set, &p);
	return set;
}

#define PARSE(...) parsed((const char *const[]){__VA_ARGS__, END})

static struct option_terms accepted(const struct option_set *asked, bool write, const struct option_limits *limits,
    uint64_t tsize, struct option_set *granted)
{
	struct option_terms terms;

	memset(&terms, 0xee, sizeof(terms));
	memset(granted, 0xee, sizeof(*granted));
	options_accept(asked, write, limits, tsize, granted, &terms);
	ck_assert_uint_ge(terms.blksize, BLKSIZE_MIN);
	ck_assert_uint_le(terms.blksize, BLKSIZE_MAX);
	ck_assert_uint_ge(terms.windowsize, 1);
	ck_assert_uint_le(terms.windowsize, WINDOWSIZE_MAX);
	ck_assert_uint_eq(granted->present & ~asked->present, 0);
	return terms;
}

static void assert_defaults(const struct option_terms *terms)
{
	ck_assert_uint_eq(terms->blksize, 512);
	ck_assert_uint_eq(terms->windowsize, 1);
	ck_assert_uint_eq(terms->timeout_us, 0);
	ck_assert(!terms->rollover);
	ck_assert(!terms->rollover_known);
}

/* The options as they go on the wire, without an opcode. */
static void assert_wire(const struct option_set *set, const void *want, size_t len)
{
	uint8_t bytes[512];
	struct packet_writer w;

	packet_write(&w, bytes, sizeof(bytes));
	options_write(set, &w);
	ck_assert(!w.full);
	ck_assert_uint_eq(w.len, len);
	ck_assert_mem_eq(bytes, want, len);
}

#define ASSERT_WIRE(set, literal) assert_wire(set, literal, sizeof(literal) - 1)

static bool has(const struct option_set *set, enum option_id id)
{
	unsigned listed = 0;

	for (unsigned i = 0; i < set->n; i++)
		listed += set->order[i] == id;
	ck_assert_uint_le(listed, 1);
	ck_assert_int_eq(listed == 1, (set->present & OPTION_BIT(id)) != 0);
	return listed == 1;
}

START_TEST(no_options_is_an_empty_set)
{
	struct option_set set = parsed((const char *const[]){END}), granted;

	ck_assert_uint_eq(set.n, 0);
	ck_assert_uint_eq(set.present, 0);
	struct option_terms terms = accepted(&set, false, &usual, 1000, &granted);
	ck_assert_uint_eq(granted.n, 0);
	assert_defaults(&terms);
	options_default_terms(&terms);
	assert_defaults(&terms);
	ck_assert_uint_eq(terms.tsize, TSIZE_UNKNOWN);
}
END_TEST

START_TEST(names_are_found_in_any_case)
{
	static const char *const names[] = {
		[OPTION_BLKSIZE] = "blksize", [OPTION_BLKSIZE2] = "blksize2", [OPTION_TIMEOUT] = "timeout",
		[OPTION_UTIMEOUT] = "utimeout", [OPTION_TSIZE] = "tsize", [OPTION_WINDOWSIZE] = "windowsize",
		[OPTION_ROLLOVER] = "rollover",
	};

	for (int id = 0; id < OPTION_COUNT; id++) {
		ck_assert_str_eq(options_name((enum option_id)id), names[id]);
		ck_assert_int_eq(options_find(names[id]), id);
	}
	ck_assert_int_eq(options_find("BLKSIZE"), OPTION_BLKSIZE);
	ck_assert_int_eq(options_find("WindowSize"), OPTION_WINDOWSIZE);
	ck_assert_int_eq(options_find("blksiz"), -1);
	ck_assert_int_eq(options_find("blksize3"), -1);
	ck_assert_int_eq(options_find(" blksize"), -1);
	ck_assert_int_eq(options_find("multicast"), -1);
	ck_assert_int_eq(options_find(""), -1);

	struct option_set set = PARSE("BlkSize", "1432", "TSIZE", "0");
	ck_assert(has(&set, OPTION_BLKSIZE));
	ck_assert(has(&set, OPTION_TSIZE));
}
END_TEST

START_TEST(a_value_is_digits_and_nothing_else)
{
	static const char *const bad[] = {
		"", "+1432", "-1432", " 1432", "1432 ", "\t1432", "0x598", "598h", "1432.0", "1,432", "1e3", "14 32",
		"18446744073709551616", "18446744073709553048", "99999999999999999999999999999999", "one", "\xb2", "1432\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (int id = 0; id < OPTION_COUNT; id++) {
			/* An empty last value and trailing padding look alike, so something follows. */
			struct option_set set = PARSE(options_name((enum option_id)id), bad[i], "unknown", "1");
			ck_assert_msg(set.n == 0 && set.present == 0, "%s '%s'", options_name((enum option_id)id), bad[i]);
		}
	}
}
END_TEST

START_TEST(leading_zeros_are_digits)
{
	struct option_set set = PARSE("blksize", "0001432", "tsize", "000", "timeout",
	    "00000000000000000000000000000000000000000000005");

	ck_assert(has(&set, OPTION_BLKSIZE));
	ck_assert_uint_eq(set.value[OPTION_BLKSIZE], 1432);
	ck_assert(has(&set, OPTION_TSIZE));
	ck_assert_uint_eq(set.value[OPTION_TSIZE], 0);
	ck_assert(has(&set, OPTION_TIMEOUT));
	ck_assert_uint_eq(set.value[OPTION_TIMEOUT], 5);
}
END_TEST

START_TEST(a_value_out_of_range_is_not_there)
{
	static const struct {
		const char *name, *value;
		bool there;
	} rows[] = {
		{"blksize", "0", false}, {"blksize", "7", false}, {"blksize", "8", true}, {"blksize", "65464", true},
		{"blksize2", "0", false}, {"blksize2", "7", false}, {"blksize2", "8", true}, {"blksize2", "32768", true},
		{"timeout", "0", false}, {"timeout", "1", true}, {"timeout", "255", true}, {"timeout", "256", false},
		{"timeout", "4294967297", false}, {"utimeout", "0", false}, {"utimeout", "9999", false},
		{"utimeout", "10000", true}, {"utimeout", "255000000", true}, {"utimeout", "255000001", false},
		{"tsize", "0", true}, {"tsize", "9223372036854775807", true}, {"windowsize", "0", false},
		{"windowsize", "1", true}, {"windowsize", "65535", true}, {"windowsize", "4294967297", false},
		{"rollover", "0", true}, {"rollover", "1", true}, {"rollover", "2", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct option_set set = PARSE(rows[i].name, rows[i].value);
		ck_assert_msg((set.n == 1) == rows[i].there && has(&set, (enum option_id)options_find(rows[i].name)) ==
		    rows[i].there, "%s %s", rows[i].name, rows[i].value);
	}
}
END_TEST

START_TEST(the_first_of_a_repeated_option_counts)
{
	struct option_set set = PARSE("blksize", "1024", "tsize", "0", "BLKSIZE", "2048", "blksize", "512");

	ck_assert_uint_eq(set.n, 2);
	ck_assert(has(&set, OPTION_BLKSIZE));
	ck_assert_uint_eq(set.value[OPTION_BLKSIZE], 1024);
	ck_assert_uint_eq(set.order[0], OPTION_BLKSIZE);
	ck_assert_uint_eq(set.order[1], OPTION_TSIZE);
}
END_TEST

START_TEST(unknown_options_are_skipped)
{
	struct option_set set = PARSE("multicast", "", "x", "y", "windowsize", "4", "blksize ", "1024", "", "7");

	ck_assert_uint_eq(set.n, 1);
	ck_assert(has(&set, OPTION_WINDOWSIZE));
	ck_assert_uint_eq(set.value[OPTION_WINDOWSIZE], 4);
}
END_TEST

START_TEST(oack_keeps_the_order_of_the_request_byte_for_byte)
{
	struct option_set granted;
	struct option_set ipxe = PARSE("blksize", "1432", "tsize", "0");
	struct option_set uboot = PARSE("timeout", "5", "tsize", "0", "blksize", "1468", "windowsize", "8");
	struct option_set edk2 = PARSE("tsize", "0", "blksize", "1468", "windowsize", "4");
	struct option_set busybox = PARSE("blksize", "65464", "tsize", "34603008");

	accepted(&ipxe, false, &usual, 123456789, &granted);
	ASSERT_WIRE(&granted, "blksize\0" "1432\0tsize\0" "123456789\0");
	accepted(&uboot, false, &usual, 7, &granted);
	ASSERT_WIRE(&granted, "timeout\0" "5\0tsize\0" "7\0blksize\0" "1468\0windowsize\0" "8\0");
	accepted(&edk2, false, &usual, 5000000000, &granted);
	ASSERT_WIRE(&granted, "tsize\0" "5000000000\0blksize\0" "1468\0windowsize\0" "4\0");
	accepted(&busybox, true, &usual, TSIZE_UNKNOWN, &granted);
	ASSERT_WIRE(&granted, "blksize\0" "1468\0tsize\0" "34603008\0");
}
END_TEST

START_TEST(oack_writes_into_what_room_there_is)
{
	struct option_set set = PARSE("blksize", "1432", "tsize", "0");

	for (size_t cap = 0; cap < 21; cap++) {
		uint8_t bytes[21];
		struct packet_writer w;

		packet_write(&w, bytes, cap);
		options_write(&set, &w);
		ck_assert(w.full);
		ck_assert_uint_le(w.len, cap);
	}
}
END_TEST

START_TEST(blksize_is_clamped_to_the_limit_and_never_raised)
{
	static const struct {
		const char *asked;
		uint32_t limit, granted;
	} rows[] = {
		{"8", 1468, 8}, {"9", 1468, 9}, {"512", 1468, 512}, {"1468", 1468, 1468}, {"1469", 1468, 1468},
		{"65464", 1468, 1468}, {"65465", 1468, 1468}, {"100000", 1468, 1468}, {"65464", 65464, 65464},
		{"65535", 65464, 65464}, {"4294967295", 1468, 1468}, {"1432", 8, 8}, {"1432", 512, 512},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct option_limits limits = usual;
		struct option_set granted, asked = PARSE("blksize", rows[i].asked);

		limits.blksize = rows[i].limit;
		struct option_terms terms = accepted(&asked, false, &limits, 1, &granted);
		ck_assert_msg(has(&granted, OPTION_BLKSIZE), "%s", rows[i].asked);
		ck_assert_uint_eq(granted.value[OPTION_BLKSIZE], rows[i].granted);
		ck_assert_uint_eq(terms.blksize, rows[i].granted);
	}
}
END_TEST

START_TEST(blksize2_is_the_power_of_two_below)
{
	static const struct {
		const char *asked;
		uint32_t limit, granted;
	} rows[] = {
		{"8", 1468, 8}, {"15", 1468, 8}, {"512", 1468, 512}, {"1023", 1468, 512}, {"1024", 1468, 1024},
		{"1468", 1468, 1024}, {"4096", 1468, 1024}, {"65464", 65464, 32768}, {"32768", 65464, 32768},
		{"1024", 1000, 512}, {"1024", 15, 8}, {"1024", 8, 8},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct option_limits limits = usual;
		struct option_set granted, asked = PARSE("blksize2", rows[i].asked);

		limits.blksize = rows[i].limit;
		struct option_terms terms = accepted(&asked, true, &limits, TSIZE_UNKNOWN, &granted);
		ck_assert(has(&granted, OPTION_BLKSIZE2));
		ck_assert_uint_eq(granted.value[OPTION_BLKSIZE2], rows[i].granted);
		ck_assert_uint_eq(terms.blksize, rows[i].granted);
	}
}
END_TEST

START_TEST(of_two_names_for_one_thing_the_first_granted_wins)
{
	struct option_set granted;
	struct option_limits limits = usual;
	struct option_set asked = PARSE("blksize", "1400", "blksize2", "1024");
	struct option_terms terms = accepted(&asked, false, &usual, 1, &granted);

	ASSERT_WIRE(&granted, "blksize\0" "1400\0");
	ck_assert_uint_eq(terms.blksize, 1400);

	asked = PARSE("blksize2", "1400", "tsize", "0", "blksize", "1400");
	terms = accepted(&asked, false, &usual, 1, &granted);
	ASSERT_WIRE(&granted, "blksize2\0" "1024\0tsize\0" "1\0");
	ck_assert_uint_eq(terms.blksize, 1024);

	/* One that is refused does not stand in the way of the other. */
	limits.refuse = OPTION_BIT(OPTION_BLKSIZE2);
	terms = accepted(&asked, false, &limits, 1, &granted);
	ASSERT_WIRE(&granted, "tsize\0" "1\0blksize\0" "1400\0");
	ck_assert_uint_eq(terms.blksize, 1400);

	asked = PARSE("timeout", "3", "utimeout", "50000");
	terms = accepted(&asked, false, &usual, 1, &granted);
	ASSERT_WIRE(&granted, "timeout\0" "3\0");
	ck_assert_uint_eq(terms.timeout_us, 3000000);

	asked = PARSE("utimeout", "50000", "timeout", "3");
	terms = accepted(&asked, false, &usual, 1, &granted);
	ASSERT_WIRE(&granted, "utimeout\0" "50000\0");
	ck_assert_uint_eq(terms.timeout_us, 50000);

	limits.refuse = OPTION_BIT(OPTION_UTIMEOUT);
	terms = accepted(&asked, false, &limits, 1, &granted);
	ASSERT_WIRE(&granted, "timeout\0" "3\0");
	ck_assert_uint_eq(terms.timeout_us, 3000000);
}
END_TEST

/* U-Boot and EDK2 end the transfer on any other value than the one they asked for. */
START_TEST(timeout_is_echoed_exactly)
{
	for (unsigned s = 1; s <= 255; s++) {
		char text[16];
		snprintf(text, sizeof(text), "%u", s);
		struct option_set granted, asked = PARSE("timeout", text);
		struct option_terms terms = accepted(&asked, s % 2, &usual, TSIZE_UNKNOWN, &granted);
		ck_assert(has(&granted, OPTION_TIMEOUT));
		ck_assert_uint_eq(granted.value[OPTION_TIMEOUT], s);
		ck_assert_uint_eq(terms.timeout_us, s * 1000000);
	}
	static const char *const us[] = {"10000", "10001", "999999", "255000000"};
	for (size_t i = 0; i < sizeof(us) / sizeof(us[0]); i++) {
		struct option_set granted, asked = PARSE("utimeout", us[i]);
		struct option_terms terms = accepted(&asked, false, &usual, 1, &granted);
		ck_assert(has(&granted, OPTION_UTIMEOUT));
		ck_assert_uint_eq(terms.timeout_us, strtoul(us[i], NULL, 10));
	}
}
END_TEST

START_TEST(windowsize_is_clamped)
{
	static const struct {
		const char *asked;
		uint32_t limit, granted;
	} rows[] = {
		{"1", 44, 1}, {"4", 44, 4}, {"44", 44, 44}, {"45", 44, 44}, {"65535", 44, 44}, {"65535", 32767, 32767},
		{"32768", 32767, 32767}, {"64", 1, 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct option_limits limits = generous;
		struct option_set granted, asked = PARSE("windowsize", rows[i].asked);

		limits.windowsize = rows[i].limit;
		struct option_terms terms = accepted(&asked, false, &limits, 1, &granted);
		ck_assert(has(&granted, OPTION_WINDOWSIZE));
		ck_assert_uint_eq(granted.value[OPTION_WINDOWSIZE], rows[i].granted);
		ck_assert_uint_eq(terms.windowsize, rows[i].granted);
	}
}
END_TEST

/* Whichever of the two was asked first, it is the agreed block that counts. */
START_TEST(window_holds_no_more_bytes_than_the_limit)
{
	static const struct {
		const char *blksize, *windowsize;
		uint32_t bytes, granted;
	} rows[] = {
		{"1468", "64", 65536, 44}, {"1024", "64", 65536, 64}, {"512", "65535", 65536, 128},
		{"65464", "64", 65536, 1}, {"65464", "64", 1, 1}, {"8", "64", 1, 1}, {"1468", "2", 65536, 2},
		{"65464", "32767", UINT32_MAX, 32767},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int first = 0; first < 2; first++) {
			struct option_limits limits = generous;
			struct option_set granted, asked = first ?
			    PARSE("windowsize", rows[i].windowsize, "blksize", rows[i].blksize) :
			    PARSE("blksize", rows[i].blksize, "windowsize", rows[i].windowsize);

			limits.window_bytes = rows[i].bytes;
			struct option_terms terms = accepted(&asked, false, &limits, 1, &granted);
			ck_assert_uint_eq(terms.windowsize, rows[i].granted);
			ck_assert_uint_eq(granted.value[OPTION_WINDOWSIZE], rows[i].granted);
			ck_assert_uint_eq(granted.order[0], first ? OPTION_WINDOWSIZE : OPTION_BLKSIZE);
		}
}
END_TEST

START_TEST(window_without_a_blksize_counts_blocks_of_512)
{
	struct option_limits limits = usual;
	struct option_set granted, asked = PARSE("windowsize", "44");

	limits.window_bytes = 10 * 512 + 511;
	ck_assert_uint_eq(accepted(&asked, false, &limits, 1, &granted).windowsize, 10);
}
END_TEST

START_TEST(what_is_refused_is_never_granted)
{
	struct option_set granted, asked = PARSE("blksize", "1024", "timeout", "3", "tsize", "0", "windowsize", "4",
	    "rollover", "1");

	for (unsigned refuse = 0; refuse < 1u << OPTION_COUNT; refuse++) {
		struct option_limits limits = usual;
		limits.refuse = refuse;
		struct option_terms terms = accepted(&asked, false, &limits, 99, &granted);
		ck_assert_uint_eq(granted.present, asked.present & ~refuse);
		ck_assert_uint_eq(terms.blksize, has(&granted, OPTION_BLKSIZE) ? 1024 : 512);
		ck_assert_uint_eq(terms.windowsize, has(&granted, OPTION_WINDOWSIZE) ? 4 : 1);
		ck_assert_uint_eq(terms.timeout_us, has(&granted, OPTION_TIMEOUT) ? 3000000 : 0);
		ck_assert_int_eq(terms.rollover, has(&granted, OPTION_ROLLOVER));
		ck_assert_int_eq(terms.rollover_known, has(&granted, OPTION_ROLLOVER));
	}
}
END_TEST

START_TEST(rollover_is_what_was_asked)
{
	struct option_set granted, asked = PARSE("rollover", "1");
	struct option_terms terms = accepted(&asked, false, &usual, 1, &granted);

	ck_assert(terms.rollover && terms.rollover_known);
	ASSERT_WIRE(&granted, "rollover\0" "1\0");
	asked = PARSE("rollover", "0");
	terms = accepted(&asked, false, &usual, 1, &granted);
	ck_assert(!terms.rollover && terms.rollover_known);
	ASSERT_WIRE(&granted, "rollover\0" "0\0");
}
END_TEST

START_TEST(tsize_of_a_read_is_the_size_and_of_a_write_the_clients_own)
{
	struct option_set granted, asked = PARSE("tsize", "4096");
	struct option_terms terms = accepted(&asked, false, &usual, 17, &granted);

	ck_assert_uint_eq(terms.tsize, 17);
	ASSERT_WIRE(&granted, "tsize\0" "17\0");
	terms = accepted(&asked, false, &usual, UINT64_MAX - 1, &granted);
	ASSERT_WIRE(&granted, "tsize\0" "18446744073709551614\0");

	/* A size that is not known is not announced. */
	accepted(&asked, false, &usual, TSIZE_UNKNOWN, &granted);
	ck_assert_uint_eq(granted.n, 0);

	terms = accepted(&asked, true, &usual, TSIZE_UNKNOWN, &granted);
	ck_assert_uint_eq(terms.tsize, 4096);
	ASSERT_WIRE(&granted, "tsize\0" "4096\0");
}
END_TEST

START_TEST(added_options_keep_their_place)
{
	struct option_set set = {0};

	options_add(&set, OPTION_TSIZE, 0);
	options_add(&set, OPTION_BLKSIZE, 1468);
	options_add(&set, OPTION_WINDOWSIZE, 16);
	ASSERT_WIRE(&set, "tsize\0" "0\0blksize\0" "1468\0windowsize\0" "16\0");
	options_add(&set, OPTION_BLKSIZE, 1024);
	ck_assert_uint_eq(set.n, 3);
	ASSERT_WIRE(&set, "tsize\0" "0\0blksize\0" "1024\0windowsize\0" "16\0");
	for (int id = 0; id < OPTION_COUNT; id++)
		options_add(&set, (enum option_id)id, 10);
	ck_assert_uint_eq(set.n, OPTION_COUNT);
	for (int id = 0; id < OPTION_COUNT; id++)
		ck_assert(has(&set, (enum option_id)id));
}
END_TEST

static int confirm(const struct option_set *offered, struct option_terms *terms, const char *const *strings)
{
	struct packet p = packet_with(PACKET_OACK, strings);
	const char *why = NULL;
	int status = options_confirm(offered, &p, terms, &why);

	if (status != 0) {
		ck_assert_int_eq(status, -1);
		ck_assert_ptr_nonnull(why);
		ck_assert_uint_gt(strlen(why), 0);
	}
	return status;
}

#define CONFIRM(offered, terms, ...) confirm(offered, terms, (const char *const[]){__VA_ARGS__, END})

static struct option_set offer(void)
{
	return PARSE("tsize", "0", "blksize", "1468", "windowsize", "16", "timeout", "3", "rollover", "0");
}

START_TEST(confirmed_options_become_the_terms)
{
	struct option_set offered = offer();
	struct option_terms terms;

	ck_assert_int_eq(CONFIRM(&offered, &terms, "blksize", "1468", "windowsize", "16", "timeout", "3", "tsize", "70000",
	    "rollover", "0"), 0);
	ck_assert_uint_eq(terms.blksize, 1468);
	ck_assert_uint_eq(terms.windowsize, 16);
	ck_assert_uint_eq(terms.timeout_us, 3000000);
	ck_assert_uint_eq(terms.tsize, 70000);
	ck_assert(terms.rollover_known && !terms.rollover);

	/* Less is fine, and so is another order, another case, zeros in front. */
	ck_assert_int_eq(CONFIRM(&offered, &terms, "WINDOWSIZE", "1", "BlkSize", "0008"), 0);
	ck_assert_uint_eq(terms.blksize, 8);
	ck_assert_uint_eq(terms.windowsize, 1);
	ck_assert_uint_eq(terms.timeout_us, 0);
	ck_assert_uint_eq(terms.tsize, TSIZE_UNKNOWN);
	ck_assert(!terms.rollover_known);
}
END_TEST

START_TEST(wrong_answers_are_told_apart)
{
	static const struct {
		const char *name, *value;
	} bad[] = {
		{"blksize", "1469"}, {"blksize", "65464"}, {"blksize", "7"}, {"blksize", "0"}, {"blksize", "1468x"},
		{"blksize", "-8"}, {"blksize", "+512"}, {"blksize", " 512"}, {"blksize", "0x200"},
		{"blksize", "18446744073709552128"}, {"windowsize", "17"}, {"windowsize", "0"}, {"windowsize", "65535"},
		{"windowsize", "four"}, {"timeout", "2"}, {"timeout", "4"}, {"timeout", "0"}, {"timeout", "3s"},
		{"tsize", "big"}, {"tsize", "-1"}, {"tsize", "18446744073709551616"}, {"rollover", "2"}, {"rollover", "x"},
		/* never offered */
		{"utimeout", "3000000"}, {"blksize2", "512"}, {"multicast", "1"}, {"x", "y"}, {"blksize ", "512"},
	};
	struct option_set offered = offer();
	struct option_terms terms;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(CONFIRM(&offered, &terms, bad[i].name, bad[i].value) == -1, "%s '%s'", bad[i].name,
		    bad[i].value);
		/* Also behind a good one. */
		if (strcmp(bad[i].name, "windowsize") != 0)
			ck_assert_int_eq(CONFIRM(&offered, &terms, "windowsize", "4", bad[i].name, bad[i].value), -1);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(CONFIRM(&offered, &terms, bad[i].name, "", "windowsize", "4"), -1);
}
END_TEST

START_TEST(an_answer_to_nothing_offered_is_wrong)
{
	struct option_set none = {0};
	struct option_terms terms;

	for (int id = 0; id < OPTION_COUNT; id++)
		ck_assert_int_eq(CONFIRM(&none, &terms, options_name((enum option_id)id), "10"), -1);
}
END_TEST

START_TEST(utimeout_is_confirmed_only_as_it_was_asked)
{
	struct option_set offered = PARSE("utimeout", "250000", "blksize2", "1024");
	struct option_terms terms;

	ck_assert_int_eq(CONFIRM(&offered, &terms, "utimeout", "250000", "blksize2", "512"), 0);
	ck_assert_uint_eq(terms.timeout_us, 250000);
	ck_assert_uint_eq(terms.blksize, 512);
	ck_assert_int_eq(CONFIRM(&offered, &terms, "utimeout", "250001"), -1);
	ck_assert_int_eq(CONFIRM(&offered, &terms, "utimeout", "100000"), -1);
	ck_assert_int_eq(CONFIRM(&offered, &terms, "blksize2", "2048"), -1);
}
END_TEST

/* Our own server's answer to any request is one that our own client takes. */
START_TEST(what_is_granted_is_confirmed)
{
	static const char *const blksizes[] = {"8", "512", "1432", "1468", "8192", "65464"};
	static const char *const windows[] = {"1", "4", "64", "32767"};
	static const char *const blknames[] = {"blksize", "blksize2"};
	static const char *const timenames[] = {"timeout", "utimeout"};

	for (int i = 0; i < 6 * 4 * 2 * 2 * 2; i++) {
		int write = i / 96;
		struct option_set granted, asked = PARSE(blknames[i / 24 % 2], blksizes[i % 6], "tsize", write ? "123" : "0",
		    "windowsize", windows[i / 6 % 4], timenames[i / 48 % 2], i / 48 % 2 ? "100000" : "100", "rollover", "1");
		struct option_terms server = accepted(&asked, write, &usual, write ? TSIZE_UNKNOWN : 99, &granted), client;
		uint8_t bytes[256];
		struct packet_writer w;
		struct packet p;
		const char *why;

		packet_write(&w, bytes, sizeof(bytes));
		packet_write_u16(&w, PACKET_OACK);
		options_write(&granted, &w);
		ck_assert(!w.full);
		ck_assert_int_eq(packet_decode(&p, bytes, w.len), PACKET_OK);
		ck_assert_int_eq(options_confirm(&asked, &p, &client, &why), 0);
		ck_assert_uint_eq(server.blksize, client.blksize);
		ck_assert_uint_eq(server.windowsize, client.windowsize);
		ck_assert_uint_eq(server.timeout_us, client.timeout_us);
		ck_assert_uint_eq(server.tsize, client.tsize);
		ck_assert_int_eq(server.rollover, client.rollover);
	}
}
END_TEST

UNIT_MAIN("options", no_options_is_an_empty_set, names_are_found_in_any_case, a_value_is_digits_and_nothing_else,
    leading_zeros_are_digits, a_value_out_of_range_is_not_there, the_first_of_a_repeated_option_counts,
    unknown_options_are_skipped, oack_keeps_the_order_of_the_request_byte_for_byte, oack_writes_into_what_room_there_is,
    blksize_is_clamped_to_the_limit_and_never_raised, blksize2_is_the_power_of_two_below,
    of_two_names_for_one_thing_the_first_granted_wins, timeout_is_echoed_exactly, windowsize_is_clamped,
    window_holds_no_more_bytes_than_the_limit, window_without_a_blksize_counts_blocks_of_512,
    what_is_refused_is_never_granted, rollover_is_what_was_asked,
    tsize_of_a_read_is_the_size_and_of_a_write_the_clients_own, added_options_keep_their_place,
    confirmed_options_become_the_terms, wrong_answers_are_told_apart, an_answer_to_nothing_offered_is_wrong,
    utimeout_is_confirmed_only_as_it_was_asked, what_is_granted_is_confirmed)
