/*
 * The packet codec. Every input ends at a guard page, so a decoder that reads one byte too far dies here and not in
 * front of a peer.
 */
#include "packet.h"
#include "unit.h"
#include "unit_guard.h"
#include "unit_must.h"

#include <string.h>

#define BYTES(literal) (literal), sizeof(literal) - 1 /* without the literal's own NUL */

static uint8_t *guard;

/* Decode a copy that ends at the guard page; the view stays good until the next call. */
static int decode(struct packet *p, const void *bytes, size_t len)
{
	if (!guard)
		guard = unit_guard_end();
	memset(p, 0xee, sizeof(*p));
	return packet_decode(p, unit_guard_copy(guard, bytes, len), len);
}

static void assert_empty_but_op(const struct packet *p, int op)
{
	MUST((int)p->op == op);
	MUST(p->block == 0);
	MUST(p->code == 0);
	MUST(p->len == 0);
	MUST(p->options_len == 0);
	MUST(p->name == NULL);
	MUST(p->mode == NULL);
	MUST(p->text == NULL);
	MUST(p->data == NULL);
	MUST(p->options == NULL);
}

static unsigned count_options(const struct packet *p)
{
	const char *name, *value;
	size_t at = 0;
	unsigned n = 0;

	while (packet_option(p, &at, &name, &value)) {
		MUST(name != NULL);
		MUST(value != NULL);
		n++;
		MUST(n <= 70000);
	}
	return n;
}

/* A string of a decoded packet lies, with its NUL, inside the datagram. */
static void assert_inside(const char *s, const uint8_t *buf, size_t len)
{
	MUST((const uint8_t *)s >= buf && (const uint8_t *)s < buf + len);
	MUST(memchr(s, 0, (size_t)((const char *)buf + len - s)) != NULL);
}

/* What holds for any bytes whatever: a packet's parts lie inside the datagram, a fault leaves nothing but the opcode. */
static void assert_sane(const void *bytes, size_t len)
{
	struct packet p;
	int fault = decode(&p, bytes, len);
	const uint8_t *buf = guard - len;

	if (fault != PACKET_OK) {
		MUST(fault < 0);
		MUST(fault >= PACKET_ODD_OPTION);
		assert_empty_but_op(&p, len >= 2 && fault != PACKET_BAD_OP ? buf[0] << 8 | buf[1] : 0);
		return;
	}
	MUST(len >= 2);
	MUST((int)p.op == (buf[0] << 8 | buf[1]));
	switch (p.op) {
	case PACKET_RRQ:
	case PACKET_WRQ:
		assert_inside(p.name, buf, len);
		assert_inside(p.mode, buf, len);
		break;
	case PACKET_DATA:
		MUST(p.data == buf + 4);
		MUST(p.len == len - 4);
		break;
	case PACKET_ERROR:
		MUST(p.len <= len - 4);
		break;
	case PACKET_ACK:
	case PACKET_OACK:
		break;
	}
	const char *name, *value;
	size_t at = 0;
	while (packet_option(&p, &at, &name, &value)) {
		assert_inside(name, buf, len);
		assert_inside(value, buf, len);
	}
}

START_TEST(request_without_options_is_read)
{
	struct packet p;

	ck_assert_int_eq(decode(&p, BYTES("\0\1boot/pxelinux.0\0octet\0")), PACKET_OK);
	ck_assert_int_eq(p.op, PACKET_RRQ);
	ck_assert_str_eq(p.name, "boot/pxelinux.0");
	ck_assert_str_eq(p.mode, "octet");
	ck_assert_uint_eq(count_options(&p), 0);

	ck_assert_int_eq(decode(&p, BYTES("\0\2up\0netascii\0")), PACKET_OK);
	ck_assert_int_eq(p.op, PACKET_WRQ);
	ck_assert_str_eq(p.name, "up");
	ck_assert_str_eq(p.mode, "netascii");
}
END_TEST

START_TEST(options_come_out_in_order)
{
	struct packet p;
	const char *name, *value;
	size_t at = 0;

	ck_assert_int_eq(decode(&p, BYTES("\0\1f\0octet\0tsize\0" "0\0blksize\0" "1408\0x\0\0")), PACKET_OK);
	ck_assert(packet_option(&p, &at, &name, &value));
	ck_assert_str_eq(name, "tsize");
	ck_assert_str_eq(value, "0");
	ck_assert(packet_option(&p, &at, &name, &value));
	ck_assert_str_eq(name, "blksize");
	ck_assert_str_eq(value, "1408");
	/* "x" with an empty value, or "x" cut short and padded: both readings are harmless. */
	if (packet_option(&p, &at, &name, &value)) {
		ck_assert_str_eq(name, "x");
		ck_assert_str_eq(value, "");
	}
	ck_assert(!packet_option(&p, &at, &name, &value));
	ck_assert(!packet_option(&p, &at, &name, &value));
}
END_TEST

/* One row per length at which a cut request still means something; every other length must be a fault. */
START_TEST(every_truncation_of_a_request_fails_or_has_fewer_options)
{
	static const char whole[] = "\0\1file\0octet\0blksize\0" "1432\0tsize\0" "0";
	const size_t len = sizeof(whole); /* the last NUL belongs to it */
	const size_t no_options = 2 + 5 + 6, one_option = no_options + 8 + 5, odd1 = no_options + 8, odd2 = one_option + 6;

	for (uint8_t op = PACKET_RRQ; op <= PACKET_WRQ; op++)
		for (size_t cut = 0; cut <= len; cut++) {
			char bytes[sizeof(whole)];
			struct packet p;

			memcpy(bytes, whole, len);
			bytes[1] = (char)op;
			int fault = decode(&p, bytes, cut);
			if (cut == no_options || cut == one_option || cut == len) {
				ck_assert_int_eq(fault, PACKET_OK);
				ck_assert_uint_eq(count_options(&p), cut == len ? 2 : cut == one_option ? 1 : 0);
				ck_assert_str_eq(p.name, "file");
				ck_assert_str_eq(p.mode, "octet");
				continue;
			}
			assert_empty_but_op(&p, cut < 2 ? 0 : op);
			if (cut < 2)
				ck_assert_int_eq(fault, PACKET_SHORT);
			else if (cut == 2)
				ck_assert(fault == PACKET_SHORT || fault == PACKET_UNTERMINATED);
			else if (cut == odd1 || cut == odd2)
				ck_assert_int_eq(fault, PACKET_ODD_OPTION);
			else
				ck_assert_msg(fault == PACKET_UNTERMINATED || (fault == PACKET_SHORT && cut == 7),
				    "cut at %zu: fault %d", cut, fault);
		}
}
END_TEST

START_TEST(every_truncation_of_data_is_a_shorter_block_or_fails)
{
	static const char whole[] = "\0\3\x12\x34payload";

	for (size_t cut = 0; cut < sizeof(whole); cut++) {
		struct packet p;
		int fault = decode(&p, whole, cut);

		if (cut < 4) {
			ck_assert_int_eq(fault, PACKET_SHORT);
			assert_empty_but_op(&p, cut < 2 ? 0 : PACKET_DATA);
			continue;
		}
		ck_assert_int_eq(fault, PACKET_OK);
		ck_assert_int_eq(p.op, PACKET_DATA);
		ck_assert_uint_eq(p.block, 0x1234);
		ck_assert_ptr_nonnull(p.data);
		ck_assert_uint_eq(p.len, cut - 4);
		ck_assert_int_eq(memcmp(p.data, "payload", p.len), 0);
		ck_assert_uint_eq(count_options(&p), 0);
	}
}
END_TEST

START_TEST(every_truncation_of_an_ack_fails_and_a_tail_is_ignored)
{
	static const char whole[] = "\0\4\xff\xfejunk";

	for (size_t cut = 0; cut < sizeof(whole); cut++) {
		struct packet p;
		int fault = decode(&p, whole, cut);

		if (cut < 4) {
			ck_assert_int_eq(fault, PACKET_SHORT);
			assert_empty_but_op(&p, cut < 2 ? 0 : PACKET_ACK);
			continue;
		}
		ck_assert_int_eq(fault, PACKET_OK);
		ck_assert_int_eq(p.op, PACKET_ACK);
		ck_assert_uint_eq(p.block, 0xfffe);
		ck_assert_uint_eq(count_options(&p), 0);
	}
}
END_TEST

/* Old servers leave the NUL out, so a cut text is a shorter text. */
START_TEST(error_needs_no_nul)
{
	static const char whole[] = "\0\5\0\1not here"; /* and its NUL */

	for (size_t cut = 0; cut <= sizeof(whole); cut++) {
		struct packet p;
		int fault = decode(&p, whole, cut);
		size_t text = cut > 4 + 8 ? 8 : cut - 4;

		if (cut < 4) {
			ck_assert_int_eq(fault, PACKET_SHORT);
			assert_empty_but_op(&p, cut < 2 ? 0 : PACKET_ERROR);
			continue;
		}
		ck_assert_int_eq(fault, PACKET_OK);
		ck_assert_int_eq(p.op, PACKET_ERROR);
		ck_assert_uint_eq(p.code, ERROR_NOT_FOUND);
		ck_assert_uint_eq(p.len, text);
		ck_assert_int_eq(memcmp(text ? p.text : "", "not here", text), 0);
	}
}
END_TEST

START_TEST(error_text_ends_at_its_first_nul)
{
	struct packet p;

	ck_assert_int_eq(decode(&p, BYTES("\0\5\1\0no\0more\0")), PACKET_OK);
	ck_assert_uint_eq(p.code, 256);
	ck_assert_uint_eq(p.len, 2);
	ck_assert_int_eq(memcmp(p.text, "no", 2), 0);
}
END_TEST

START_TEST(every_truncation_of_an_oack_fails_or_has_fewer_options)
{
	static const char whole[] = "\0\6blksize\0" "1432\0tsize\0" "0";
	const size_t len = sizeof(whole), one = 2 + 8 + 5;

	for (size_t cut = 0; cut <= len; cut++) {
		struct packet p;
		int fault = decode(&p, whole, cut);

		if (cut == one || cut == len) {
			ck_assert_int_eq(fault, PACKET_OK);
			ck_assert_int_eq(p.op, PACKET_OACK);
			ck_assert_uint_eq(count_options(&p), cut == len ? 2 : 1);
		} else if (cut == 2) {
			/* An OACK that acknowledges nothing: a packet without options, or too short to be one. */
			ck_assert(fault == PACKET_SHORT || (fault == PACKET_OK && count_options(&p) == 0));
		} else {
			assert_empty_but_op(&p, cut < 2 ? 0 : PACKET_OACK);
			ck_assert_int_eq(fault, cut < 2 ? PACKET_SHORT :
			    cut == 10 || cut == one + 6 ? PACKET_ODD_OPTION : PACKET_UNTERMINATED);
		}
	}
}
END_TEST

START_TEST(option_without_a_value_is_odd)
{
	struct packet p;

	ck_assert_int_eq(decode(&p, BYTES("\0\1f\0octet\0blksize\0")), PACKET_ODD_OPTION);
	assert_empty_but_op(&p, PACKET_RRQ);
	ck_assert_int_eq(decode(&p, BYTES("\0\6tsize\0" "1\0blksize\0")), PACKET_ODD_OPTION);
	assert_empty_but_op(&p, PACKET_OACK);
}
END_TEST

/* Some boot ROMs send a request out of a buffer of fixed size, and old servers pad their OACK. */
START_TEST(trailing_nuls_are_ignored)
{
	static const struct {
		const char *bytes;
		size_t len;
		unsigned options;
	} rows[] = {
		{BYTES("\0\1f\0octet\0"), 0},
		{BYTES("\0\2f\0octet\0blksize\0" "512\0"), 1},
		{BYTES("\0\1f\0octet\0blksize\0" "512\0tsize\0" "0\0"), 2},
		{BYTES("\0\6blksize\0" "512\0"), 1},
	};

	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
		for (size_t pad = 0; pad <= 600; pad += pad < 9 ? 1 : 97) {
			uint8_t bytes[1024] = {0};
			struct packet p;

			memcpy(bytes, rows[row].bytes, rows[row].len);
			ck_assert_int_eq(decode(&p, bytes, rows[row].len + pad), PACKET_OK);
			ck_assert_uint_eq(count_options(&p), rows[row].options);
		}
}
END_TEST

/* Were each of the empty options to look for the end of the padding, these would take minutes, and a test has one. */
START_TEST(empty_options_without_number_are_read_quickly)
{
	static uint8_t buf[PACKET_MAX];
	struct packet p;

	memcpy(buf, "\0\1name\0octet", 13);
	buf[PACKET_MAX - 3] = 'x';
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(packet_decode(&p, buf, PACKET_MAX), PACKET_OK);
		ck_assert_uint_eq(count_options(&p), (PACKET_MAX - 13 - 2) / 2);
	}
}
END_TEST

START_TEST(unknown_opcodes_are_refused)
{
	for (unsigned op = 0; op <= 0xffff; op++) {
		uint8_t bytes[64] = {(uint8_t)(op >> 8), (uint8_t)op, 'f', 0, 'o', 0};
		struct packet p;

		if (op >= PACKET_RRQ && op <= PACKET_OACK)
			continue;
		for (size_t len = 2; len <= sizeof(bytes); len += 31) {
			MUST(decode(&p, bytes, len) == PACKET_BAD_OP);
			assert_empty_but_op(&p, 0);
		}
	}
}
END_TEST

START_TEST(names_are_any_bytes)
{
	struct packet p;

	ck_assert_int_eq(decode(&p, BYTES("\0\1\xff\xfe\x01\n\\\0OcTeT\0")), PACKET_OK);
	ck_assert_str_eq(p.name, "\xff\xfe\x01\n\\");
	ck_assert_str_eq(p.mode, "OcTeT");
	ck_assert_int_eq(decode(&p, BYTES("\0\1\0octet\0")), PACKET_OK);
	ck_assert_str_eq(p.name, "");
}
END_TEST

START_TEST(largest_datagram_is_one_name)
{
	struct packet p;
	uint8_t *bytes = malloc(PACKET_MAX);

	ck_assert_ptr_nonnull(bytes);
	memset(bytes, 'n', PACKET_MAX);
	bytes[0] = 0;
	bytes[1] = PACKET_RRQ;
	ck_assert_int_eq(decode(&p, bytes, PACKET_MAX), PACKET_UNTERMINATED);
	bytes[PACKET_MAX - 1] = 0;
	bytes[PACKET_MAX - 2] = 0;
	ck_assert_int_eq(decode(&p, bytes, PACKET_MAX), PACKET_OK);
	ck_assert_uint_eq(strlen(p.name), PACKET_MAX - 4);
	ck_assert_str_eq(p.mode, "");
	free(bytes);
}
END_TEST

START_TEST(all_short_strings_of_bytes_decode_sanely)
{
	static const uint8_t alphabet[] = {0, 'a', 1};

	for (uint8_t op = 0; op <= 7; op++)
		for (size_t len = 0; len <= 9; len++) {
			size_t all = 1;
			for (size_t i = 0; i < len; i++)
				all *= sizeof(alphabet);
			for (size_t k = 0; k < all; k++) {
				uint8_t bytes[11] = {0, op};
				size_t rest = k;
				for (size_t i = 0; i < len; i++, rest /= sizeof(alphabet))
					bytes[2 + i] = alphabet[rest % sizeof(alphabet)];
				assert_sane(bytes, 2 + len);
			}
		}
}
END_TEST

START_TEST(random_bytes_decode_sanely)
{
	uint8_t bytes[300];
	unsigned state = 1;

	for (int round = 0; round < 100000; round++) {
		state = state * 1103515245 + 12345;
		size_t len = (state >> 16) % sizeof(bytes);
		for (size_t i = 0; i < len; i++) {
			state = state * 1103515245 + 12345;
			bytes[i] = (uint8_t)(state >> 16 & (round % 2 ? 0xff : 0x03));
		}
		if (len > 1 && round % 4 < 3) {
			bytes[0] = 0;
			bytes[1] = (uint8_t)(round % 8);
		}
		assert_sane(bytes, len);
	}
}
END_TEST

START_TEST(acks_round_trip)
{
	for (unsigned block = 0; block <= 0xffff; block++) {
		uint8_t bytes[PACKET_HEADER];
		struct packet p;

		MUST(packet_ack(bytes, sizeof(bytes), (uint16_t)block) == 4);
		MUST(decode(&p, bytes, 4) == PACKET_OK);
		MUST(p.op == PACKET_ACK);
		MUST(p.block == block);
	}
	static const uint8_t wire[] = {0, 4, 0x12, 0x34};
	uint8_t bytes[4];
	packet_ack(bytes, sizeof(bytes), 0x1234);
	ck_assert_mem_eq(bytes, wire, 4);
}
END_TEST

START_TEST(data_headers_round_trip)
{
	uint8_t bytes[7] = {0, 0, 0, 0, 'a', 'b', 'c'};

	for (unsigned block = 0; block <= 0xffff; block += 17) {
		struct packet p;

		packet_data_header(bytes, (uint16_t)block);
		ck_assert_int_eq(decode(&p, bytes, sizeof(bytes)), PACKET_OK);
		ck_assert_int_eq(p.op, PACKET_DATA);
		ck_assert_uint_eq(p.block, block);
		ck_assert_uint_eq(p.len, 3);
		ck_assert_mem_eq(p.data, "abc", 3);
	}
}
END_TEST

START_TEST(errors_round_trip)
{
	static const uint16_t codes[] = {0, 1, 5, 8, 9, 256, 65535};
	uint8_t bytes[256];

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct packet p;
		size_t len = packet_error(bytes, sizeof(bytes), codes[i], "File not found");

		ck_assert_uint_eq(len, 4 + sizeof("File not found"));
		ck_assert_uint_eq(bytes[len - 1], 0);
		ck_assert_int_eq(decode(&p, bytes, len), PACKET_OK);
		ck_assert_int_eq(p.op, PACKET_ERROR);
		ck_assert_uint_eq(p.code, codes[i]);
		ck_assert_uint_eq(p.len, 14);
		ck_assert_mem_eq(p.text, "File not found", 14);
	}
	ck_assert_uint_eq(packet_error(bytes, sizeof(bytes), 1, ""), 5);
	ck_assert_mem_eq(bytes, "\0\5\0\1\0", 5);
}
END_TEST

START_TEST(error_texts_of_every_length_round_trip)
{
	char text[PACKET_TEXT_MAX];
	uint8_t bytes[PACKET_TEXT_MAX + PACKET_HEADER];
	struct packet p;

	for (size_t n = 0; n < PACKET_TEXT_MAX; n++) {
		memset(text, 'x', n);
		text[n] = '\0';
		size_t len = packet_error(bytes, sizeof(bytes), 0, text);
		ck_assert_uint_eq(len, 4 + n + 1);
		ck_assert_int_eq(decode(&p, bytes, len), PACKET_OK);
		ck_assert_uint_eq(p.len, n);
	}
}
END_TEST

START_TEST(whole_packets_say_when_they_do_not_fit)
{
	uint8_t *end = unit_guard_end();

	for (size_t cap = 0; cap <= 12; cap++) {
		ck_assert_uint_eq(packet_ack(end - cap, cap, 7), cap >= 4 ? 4 : 0);
		ck_assert_uint_eq(packet_error(end - cap, cap, 1, "gone"), cap >= 9 ? 9 : 0);
	}
}
END_TEST

START_TEST(requests_round_trip)
{
	uint8_t bytes[512];
	struct packet_writer w;
	struct packet p;
	const char *name, *value;
	size_t at = 0;

	packet_write(&w, bytes, sizeof(bytes));
	packet_write_u16(&w, PACKET_WRQ);
	packet_write_string(&w, "dir/file name");
	packet_write_string(&w, "octet");
	packet_write_option(&w, "blksize", 65464);
	packet_write_option(&w, "tsize", 18446744073709551615u);
	packet_write_option(&w, "rollover", 0);
	ck_assert(!w.full);
	ck_assert_int_eq(decode(&p, bytes, w.len), PACKET_OK);
	ck_assert_int_eq(p.op, PACKET_WRQ);
	ck_assert_str_eq(p.name, "dir/file name");
	ck_assert_str_eq(p.mode, "octet");
	ck_assert(packet_option(&p, &at, &name, &value));
	ck_assert_str_eq(name, "blksize");
	ck_assert_str_eq(value, "65464");
	ck_assert(packet_option(&p, &at, &name, &value));
	ck_assert_str_eq(name, "tsize");
	ck_assert_str_eq(value, "18446744073709551615");
	ck_assert(packet_option(&p, &at, &name, &value));
	ck_assert_str_eq(name, "rollover");
	ck_assert_str_eq(value, "0");
	ck_assert(!packet_option(&p, &at, &name, &value));
}
END_TEST

static void write_step(struct packet_writer *w, int step)
{
	switch (step) {
	case 0:
		packet_write_u16(w, PACKET_RRQ);
		break;
	case 1:
		packet_write_string(w, "file");
		break;
	case 2:
		packet_write_string(w, "");
		break;
	case 3:
		packet_write_option(w, "blksize", 1432);
		break;
	case 4:
		packet_write_option(w, "tsize", 0);
		break;
	default:
		packet_write_string(w, "");
		break;
	}
}

START_TEST(writer_stays_full_at_every_capacity)
{
	static const size_t after[] = {2, 7, 8, 21, 29, 30};
	static const char whole[] = "\0\1file\0\0blksize\0" "1432\0tsize\0" "0\0"; /* and its NUL */
	uint8_t *end = unit_guard_end();

	ck_assert_uint_eq(sizeof(whole), after[5]);
	for (size_t cap = 0; cap <= sizeof(whole) + 1; cap++) {
		struct packet_writer w;
		bool full = false;
		size_t stopped = 0;

		packet_write(&w, end - cap, cap);
		ck_assert_uint_eq(w.len, 0);
		ck_assert(!w.full);
		for (int step = 0; step < 6; step++) {
			write_step(&w, step);
			if (!full && cap < after[step]) {
				full = true;
				stopped = w.len;
			}
			ck_assert_int_eq(w.full, full);
			ck_assert_uint_le(w.len, cap);
			/* Nothing more is written, not even what would fit by itself. */
			ck_assert_uint_eq(w.len, full ? stopped : after[step]);
		}
		ck_assert_mem_eq(end - cap, whole, w.len);
	}
}
END_TEST

START_TEST(every_fault_and_error_has_words)
{
	for (int fault = PACKET_ODD_OPTION; fault < 0; fault++) {
		ck_assert_uint_gt(strlen(packet_fault_text(fault)), 0);
		for (int other = fault + 1; other < 0; other++)
			ck_assert_str_ne(packet_fault_text(fault), packet_fault_text(other));
	}
	for (uint16_t code = 0; code <= ERROR_OPTION; code++) {
		ck_assert_uint_gt(strlen(packet_error_text(code)), 0);
		ck_assert_uint_lt(strlen(packet_error_text(code)), PACKET_TEXT_MAX);
		for (uint16_t other = (uint16_t)(code + 1); other <= ERROR_OPTION; other++)
			ck_assert_str_ne(packet_error_text(code), packet_error_text(other));
	}
	ck_assert_ptr_nonnull(packet_error_text(9));
	ck_assert_ptr_nonnull(packet_error_text(65535));
}
END_TEST

UNIT_MAIN("packet", request_without_options_is_read, options_come_out_in_order,
    every_truncation_of_a_request_fails_or_has_fewer_options, every_truncation_of_data_is_a_shorter_block_or_fails,
    every_truncation_of_an_ack_fails_and_a_tail_is_ignored, error_needs_no_nul, error_text_ends_at_its_first_nul,
    every_truncation_of_an_oack_fails_or_has_fewer_options, option_without_a_value_is_odd, trailing_nuls_are_ignored,
    empty_options_without_number_are_read_quickly, unknown_opcodes_are_refused, names_are_any_bytes, largest_datagram_is_one_name,
    all_short_strings_of_bytes_decode_sanely, random_bytes_decode_sanely, acks_round_trip, data_headers_round_trip,
    errors_round_trip, error_texts_of_every_length_round_trip, whole_packets_say_when_they_do_not_fit, requests_round_trip,
    writer_stays_full_at_every_capacity, every_fault_and_error_has_words)
