/*
 * Option negotiation (RFC 2347, 2348, 2349, 7440, and the non-standard blksize2, utimeout, rollover).
 *
 * The client offers, the server accepts a part of it, the client confirms what came back. All three are here; which
 * packet carries them, and when, is the transfer's business.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "packet.h"

#include <stdbool.h>
#include <stdint.h>

enum option_id {
	OPTION_BLKSIZE,
	OPTION_BLKSIZE2,
	OPTION_TIMEOUT,
	OPTION_UTIMEOUT,
	OPTION_TSIZE,
	OPTION_WINDOWSIZE,
	OPTION_ROLLOVER,
	OPTION_COUNT,
};

#define OPTION_BIT(id) (1u << (id))

#define BLKSIZE_MIN 8u
#define BLKSIZE_MAX 65464u
/*
 * RFC 7440 allows 65535, but 16-bit block numbers can tell an old block from a new one only while the window is at most
 * half of their range.
 */
#define WINDOWSIZE_MAX 32767u
#define TSIZE_UNKNOWN UINT64_MAX

/* A set of options with their values, in the order in which they go on the wire. */
struct option_set {
	unsigned present;             /* OPTION_BIT of each one in it */
	unsigned n;
	uint8_t order[OPTION_COUNT];  /* option_id, first n */
	uint64_t value[OPTION_COUNT]; /* by option_id; utimeout in microseconds, timeout in seconds */
};

/* What a transfer runs by, once both sides agree. */
struct option_terms {
	uint32_t blksize;    /* bytes of payload in a full block */
	uint32_t windowsize; /* blocks in flight, RFC 7440 */
	uint32_t timeout_us; /* the agreed, fixed retransmit interval in microseconds; 0: adapt */
	bool rollover;       /* block 65535 is followed by 1 and not by 0 */
	bool rollover_known; /* said by the option, not assumed */
	uint64_t tsize;      /* bytes, or TSIZE_UNKNOWN */
};

/* The most that we grant. */
struct option_limits {
	uint32_t blksize;      /* largest block, BLKSIZE_MIN..BLKSIZE_MAX */
	uint32_t windowsize;   /* most blocks in a window, 1..WINDOWSIZE_MAX */
	uint32_t window_bytes; /* most payload in a window; one block always fits */
	unsigned refuse;       /* OPTION_BIT of each option never granted */
};

/* RFC 1350 as it was: 512-byte blocks, one at a time, an interval that adapts. */
void options_default_terms(struct option_terms *terms);

/* Add an option to a set, at its end. An id that is there already keeps its place and takes the new value. */
void options_add(struct option_set *set, enum option_id id, uint64_t value);

/*
 * Read the options of an RRQ or WRQ. Unknown names are skipped, a repeated name counts once (the first), and a value
 * that is not all digits or out of range is as if the option were not there.
 */
void options_parse(struct option_set *set, const struct packet *request);

/*
 * Decide what of `asked` is granted, in the order asked. `tsize` is the size to announce for a read; for a write pass
 * TSIZE_UNKNOWN, the client's own value is echoed. Never grants more than was asked (RFC 2348, 7440), and `timeout`
 * only as it was asked (RFC 2349). granted->n == 0 means: no OACK.
 */
void options_accept(const struct option_set *asked, bool write, const struct option_limits *limits, uint64_t tsize,
    struct option_set *granted, struct option_terms *terms);

/*
 * Check a server's OACK against what was offered. Returns 0 and the terms, or -1 and in *why what is wrong, in words (a
 * static string): an option that was not offered, a larger value, another timeout, something that is not a number.
 */
int options_confirm(const struct option_set *offered, const struct packet *oack, struct option_terms *terms,
    const char **why);

/* Append the set's options to a packet. */
void options_write(const struct option_set *set, struct packet_writer *w);

/* The option's name on the wire, and the id for a name (any case) or -1. */
const char *options_name(enum option_id id);
int options_find(const char *name);

#endif
