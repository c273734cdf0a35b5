/*
 * netascii, both ways: every split of every short text over the four bytes that matter, at every output capacity,
 * against a plain conversion of the whole text.
 */
#include "netascii.h"
#include "unit.h"
#include "unit_must.h"

#include <string.h>

#define LONGEST 6
#define CANARY 0xc5

static const uint8_t alphabet[4] = {'a', '\r', '\n', '\0'};

struct text {
	uint8_t bytes[2 * LONGEST + 2];
	size_t len;
};

static void put(struct text *t, uint8_t byte)
{
	MUST(t->len < sizeof(t->bytes));
	t->bytes[t->len++] = byte;
}

static struct text encode_whole(const struct text *in)
{
	struct text out = {.len = 0};

	for (size_t i = 0; i < in->len; i++) {
		if (in->bytes[i] == '\n') {
			put(&out, '\r');
			put(&out, '\n');
		} else if (in->bytes[i] == '\r') {
			put(&out, '\r');
			put(&out, '\0');
		} else {
			put(&out, in->bytes[i]);
		}
	}
	return out;
}

static struct text decode_whole(const struct text *in)
{
	struct text out = {.len = 0};

	for (size_t i = 0; i < in->len; i++) {
		if (in->bytes[i] == '\r' && i + 1 < in->len && in->bytes[i + 1] == '\n') {
			put(&out, '\n');
			i++;
		} else if (in->bytes[i] == '\r' && i + 1 < in->len && in->bytes[i + 1] == '\0') {
			put(&out, '\r');
			i++;
		} else {
			put(&out, in->bytes[i]);
		}
	}
	return out;
}

/* The k-th text of length len, counting in base 4. */
static struct text nth_text(size_t len, size_t k)
{
	struct text t = {.len = 0};

	for (size_t i = 0; i < len; i++, k /= 4)
		put(&t, alphabet[k % 4]);
	return t;
}

static size_t power4(size_t len)
{
	return (size_t)1 << (2 * len);
}

/* Where the piece that starts at `at` ends: bit i of `cuts` cuts after byte i. */
static size_t piece_end(size_t at, size_t len, unsigned cuts)
{
	size_t end = at;

	while (end < len && (end++, end < len && !(cuts >> (end - 1) & 1)))
		;
	return end;
}

static struct text encode_pieces(const struct text *in, unsigned cuts, size_t cap)
{
	struct netascii n;
	struct text out = {.len = 0};

	netascii_init(&n);
	MUST(netascii_pending(&n) == 0);
	for (size_t at = 0; at < in->len || netascii_pending(&n);) {
		uint8_t room[2 * LONGEST + 4];
		size_t used = 77;
		size_t len = piece_end(at, in->len, cuts) - at;

		memset(room, CANARY, sizeof(room));
		size_t got = netascii_encode(&n, in->bytes + at, len, &used, room, cap);
		MUST(got <= cap);
		MUST(used <= len);
		MUST(got > 0); /* any room at all is progress */
		MUST(netascii_pending(&n) <= 1);
		for (size_t i = cap; i < sizeof(room); i++)
			MUST(room[i] == CANARY);
		for (size_t i = 0; i < got; i++)
			put(&out, room[i]);
		/* It stops only where one of the two runs out. */
		MUST(used == len || got == cap);
		at += used;
	}
	return out;
}

static struct text decode_pieces(const struct text *in, unsigned cuts)
{
	struct netascii n;
	struct text out = {.len = 0};
	uint8_t room[2 * LONGEST + 4];

	netascii_init(&n);
	for (size_t at = 0; at < in->len;) {
		size_t end = piece_end(at, in->len, cuts);

		memset(room, CANARY, sizeof(room));
		size_t got = netascii_decode(&n, in->bytes + at, end - at, room);
		MUST(got <= end - at + 1);
		for (size_t i = end - at + 1; i < sizeof(room); i++)
			MUST(room[i] == CANARY);
		for (size_t i = 0; i < got; i++)
			put(&out, room[i]);
		at = end;
	}
	memset(room, CANARY, sizeof(room));
	size_t got = netascii_decode_end(&n, room);
	MUST(got <= 1);
	MUST(room[1] == CANARY);
	for (size_t i = 0; i < got; i++)
		put(&out, room[i]);
	/* What came out once does not come out again. */
	MUST(netascii_decode_end(&n, room) == 0);
	return out;
}

static bool same(const struct text *a, const struct text *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

START_TEST(every_split_encodes_the_same_at_every_capacity)
{
	for (size_t len = 0; len <= LONGEST; len++)
		for (size_t k = 0; k < power4(len); k++) {
			struct text in = nth_text(len, k), want = encode_whole(&in);

			for (unsigned cuts = 0; cuts < 1u << (len ? len - 1 : 0); cuts++)
				for (size_t cap = 1; cap <= want.len + 1; cap++) {
					struct text got = encode_pieces(&in, cuts, cap);
					if (!same(&got, &want))
						ck_abort_msg("len %zu text %zu cuts %#x cap %zu", len, k, cuts, cap);
				}
		}
}
END_TEST

START_TEST(every_split_decodes_the_same)
{
	for (size_t len = 0; len <= LONGEST; len++)
		for (size_t k = 0; k < power4(len); k++) {
			struct text in = nth_text(len, k), want = decode_whole(&in);

			for (unsigned cuts = 0; cuts < 1u << (len ? len - 1 : 0); cuts++) {
				struct text got = decode_pieces(&in, cuts);
				if (!same(&got, &want))
					ck_abort_msg("len %zu text %zu cuts %#x", len, k, cuts);
			}
		}
}
END_TEST

START_TEST(what_is_encoded_decodes_to_itself)
{
	for (size_t len = 0; len <= LONGEST; len++)
		for (size_t k = 0; k < power4(len); k++) {
			struct text in = nth_text(len, k);
			struct text wire = encode_pieces(&in, 0, 3);

			for (unsigned cuts = 0; cuts < 64; cuts++) {
				struct text back = decode_pieces(&wire, cuts);
				if (!same(&back, &in))
					ck_abort_msg("len %zu text %zu cuts %#x", len, k, cuts);
			}
		}
}
END_TEST

START_TEST(every_byte_but_cr_and_lf_passes_unchanged)
{
	uint8_t in[256], out[512];
	struct netascii n;
	size_t used, len = 0;

	for (unsigned b = 0; b < 256; b++)
		if (b != '\r' && b != '\n')
			in[len++] = (uint8_t)b;
	netascii_init(&n);
	ck_assert_uint_eq(netascii_encode(&n, in, len, &used, out, sizeof(out)), len);
	ck_assert_uint_eq(used, len);
	ck_assert_mem_eq(out, in, len);
	netascii_init(&n);
	ck_assert_uint_eq(netascii_decode(&n, in, len, out), len);
	ck_assert_mem_eq(out, in, len);
	ck_assert_uint_eq(netascii_decode_end(&n, out), 0);
}
END_TEST

START_TEST(no_room_takes_nothing)
{
	struct netascii n;
	uint8_t out[2] = {CANARY, CANARY};
	size_t used = 9;

	netascii_init(&n);
	ck_assert_uint_eq(netascii_encode(&n, (const uint8_t *)"\n", 1, &used, out, 0), 0);
	ck_assert_uint_eq(used, 0);
	ck_assert_uint_eq(netascii_encode(&n, (const uint8_t *)"\n", 1, &used, out, 1), 1);
	ck_assert_uint_eq(used, 1);
	ck_assert_uint_eq(netascii_pending(&n), 1);
	ck_assert_uint_eq(netascii_encode(&n, NULL, 0, &used, out, 0), 0);
	ck_assert_uint_eq(netascii_pending(&n), 1);
	ck_assert_uint_eq(netascii_encode(&n, NULL, 0, &used, out, 1), 1);
	ck_assert_uint_eq(used, 0);
	ck_assert_uint_eq(out[0], '\n');
	ck_assert_uint_eq(out[1], CANARY);
	ck_assert_uint_eq(netascii_pending(&n), 0);
}
END_TEST

START_TEST(cr_at_the_end_is_not_lost)
{
	struct netascii n;
	uint8_t out[4];

	netascii_init(&n);
	ck_assert_uint_eq(netascii_decode(&n, (const uint8_t *)"a\r", 2, out), 1);
	ck_assert_uint_eq(out[0], 'a');
	ck_assert_uint_eq(netascii_decode_end(&n, out), 1);
	ck_assert_uint_eq(out[0], '\r');

	netascii_init(&n);
	ck_assert_uint_eq(netascii_decode(&n, (const uint8_t *)"\r", 1, out), 0);
	ck_assert_uint_eq(netascii_decode(&n, NULL, 0, out), 0);
	ck_assert_uint_eq(netascii_decode(&n, (const uint8_t *)"x", 1, out), 2);
	ck_assert_mem_eq(out, "\rx", 2);
	ck_assert_uint_eq(netascii_decode_end(&n, out), 0);
}
END_TEST

UNIT_MAIN("netascii", every_split_encodes_the_same_at_every_capacity, every_split_decodes_the_same,
    what_is_encoded_decodes_to_itself, every_byte_but_cr_and_lf_passes_unchanged, no_room_takes_nothing,
    cr_at_the_end_is_not_lost)
