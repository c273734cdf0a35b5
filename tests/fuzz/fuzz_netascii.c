/*
 * netascii as a stream: the first bytes say where the rest is split and how much room each call has. However it is cut,
 * the output is the same, and what was encoded is decoded to what it was.
 */
#include "fuzz.h"
#include "netascii.h"

/* Encode in pieces: `cut` bytes of input at a time, `room` bytes of output. */
static size_t encode(const uint8_t *in, size_t len, size_t cut, size_t room, uint8_t *out, size_t cap)
{
	struct netascii n;
	size_t done = 0, at = 0, rounds = 0;

	netascii_init(&n);
	while (at < len || netascii_pending(&n) > 0) {
		size_t give = len - at < cut ? len - at : cut, used, got;
		uint8_t *piece = malloc(room);

		if (piece == NULL)
			abort();
		got = netascii_encode(&n, in + at, give, &used, piece, room);
		FUZZ_MUST(got <= room && used <= give && got <= cap - done);
		memcpy(out + done, piece, got);
		free(piece);
		done += got;
		at += used;
		FUZZ_MUST(++rounds <= 4 * len + 4);
	}
	return done;
}

static size_t decode(const uint8_t *in, size_t len, size_t cut, uint8_t *out)
{
	struct netascii n;
	size_t done = 0;

	netascii_init(&n);
	for (size_t at = 0; at < len;) {
		size_t give = len - at < cut ? len - at : cut;
		uint8_t *piece = malloc(give + 1);
		size_t got;

		if (piece == NULL)
			abort();
		got = netascii_decode(&n, in + at, give, piece);
		FUZZ_MUST(got <= give + 1);
		memcpy(out + done, piece, got);
		free(piece);
		done += got;
		at += give;
	}
	return done + netascii_decode_end(&n, out + done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	size_t cut = 1u + fuzz_u8(&in) % 32, room = 1u + fuzz_u8(&in) % 32, n = in.left, wire, again;
	uint8_t *whole, *parts, *text;

	if (n > 65536)
		return 0;
	whole = malloc(2 * n + 2);
	parts = malloc(2 * n + 2);
	text = malloc(2 * n + 4);
	if (whole == NULL || parts == NULL || text == NULL)
		abort();
	wire = encode(in.p, n, n + 1, 2 * n + 2, whole, 2 * n + 2);
	again = encode(in.p, n, cut, room, parts, 2 * n + 2);
	FUZZ_MUST(wire == again && memcmp(whole, parts, wire) == 0);
	FUZZ_MUST(decode(whole, wire, cut, text) == n && (n == 0 || memcmp(text, in.p, n) == 0));
	/* And the input itself as if it came from the wire: any bytes, any cut, the same text. */
	wire = decode(in.p, n, n + 1, whole);
	again = decode(in.p, n, cut, parts);
	FUZZ_MUST(wire == again && memcmp(whole, parts, wire) == 0);
	free(whole);
	free(parts);
	free(text);
	return 0;
}
