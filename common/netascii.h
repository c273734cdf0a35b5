/*
 * netascii (RFC 764 as RFC 1350 cites it): a line ends in CR LF, a carriage return alone is CR NUL.
 *
 * Both directions are streams: any split of the input gives the same output, a CR at the end of a piece is carried over
 * to the next one, and finish() brings out what is still held.
 */
#ifndef NETASCII_H
#define NETASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netascii {
	bool cr;       /* decoding: a CR was read, what follows decides */
	int held;      /* encoding: the second byte of a pair that did not fit, or -1 */
};

void netascii_init(struct netascii *n);

/*
 * Local text to netascii: LF becomes CR LF, CR becomes CR NUL. Writes at most `cap` bytes, returns how many, and sets
 * *used to the input bytes consumed. Stops when either runs out; a pair may be split between two calls.
 */
size_t netascii_encode(struct netascii *n, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t cap);

/* Bytes still held by the encoder, 0 or 1: call encode again, with no input, while this is not 0. */
size_t netascii_pending(const struct netascii *n);

/*
 * netascii to local text: CR LF becomes LF, CR NUL becomes CR; a CR before anything else is kept as it is, and so is a
 * bare LF (old clients send it). All input is consumed; `out` must hold len + 1 bytes. Returns the bytes written.
 */
size_t netascii_decode(struct netascii *n, const uint8_t *in, size_t len, uint8_t *out);

/* The end of the input: a CR still undecided comes out. `out` must hold 1 byte; returns 0 or 1. */
size_t netascii_decode_end(struct netascii *n, uint8_t *out);

#endif
