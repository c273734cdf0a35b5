/*
 * The retransmit timer: how long to wait for an answer, and when to stop hoping.
 *
 * RFC 1123 section 4.2.3.3 asks TFTP for adaptive timers; the estimator is RFC 6298's, with a floor for LANs. With a
 * negotiated `timeout` (RFC 2349) the interval is fixed: no estimate, no back-off. Times are monotonic nanoseconds.
 */
#ifndef RETRANSMIT_H
#define RETRANSMIT_H

#include "monotime.h"

#include <stdbool.h>

#define RETRANSMIT_FIRST (1 * MONO_SEC)  /* the interval before any sample */
#define RETRANSMIT_SLACK (20 * MONO_MS)  /* always added to the smoothed round trip: covers a peer's scheduling */
#define RETRANSMIT_PROMPT (2 * MONO_MS)  /* what a peer that answers at once may take for it, see retransmit_prompt() */
#define RETRANSMIT_EARLY (100 * MONO_MS) /* the least while only the handshake was timed: it says nothing of a slow disk */
#define RETRANSMIT_MAX   (4 * MONO_SEC)  /* back-off stops here, unless the estimate itself is longer */

struct retransmit {
	mono_t srtt;      /* smoothed round trip, 0 before the first sample */
	mono_t rttvar;    /* its mean deviation */
	mono_t first;     /* the interval before any sample */
	mono_t fixed;     /* the agreed interval, or 0 */
	mono_t crowd;     /* what others may take of the link before a first answer; counts as long as `early` */
	unsigned shift;   /* back-off: the interval is doubled this many times; cleared by a sample, not by an answer */
	bool early;       /* at most one sample so far */
	unsigned tries;   /* timeouts since the last progress */
	mono_t progress;  /* when something last moved */
};

/* Start. `first` 0 means RETRANSMIT_FIRST. */
void retransmit_init(struct retransmit *r, mono_t first, mono_t now);

/* The two sides agreed on a fixed interval (RFC 2349 timeout). */
void retransmit_fix(struct retransmit *r, mono_t interval);

/*
 * An unambiguous round trip: the answer to something that was sent once (Karn). Ends the back-off. Zero and negative
 * values count as the shortest possible.
 */
void retransmit_sample(struct retransmit *r, mono_t rtt);

/* Something moved: the tries start over. Back-off stays until the next sample, or a longer round trip is never learnt. */
void retransmit_progress(struct retransmit *r, mono_t now);

/*
 * An answer that cannot be timed, but came without a timeout before it: takes back one step of back-off. A window that
 * loses blocks restarts so often that samples are rare, and the interval would stay at its longest for the whole file.
 */
void retransmit_relax(struct retransmit *r);

/* A timeout passed in silence: count it and back off. */
void retransmit_expired(struct retransmit *r);

/* How long to wait for the next answer. */
mono_t retransmit_interval(const struct retransmit *r);

/*
 * What an answer takes when nothing goes wrong: after that, silence is odd, though nothing need be lost. MONO_NEVER where
 * the interval was agreed, or no round trip measured.
 */
mono_t retransmit_prompt(const struct retransmit *r);

/*
 * Whether to give up now. A peer that has proved itself gets `give_up` since the last progress (and never fewer than
 * four of its own fixed intervals); one that has not gets `tries` timeouts.
 */
bool retransmit_hopeless(const struct retransmit *r, bool proved, mono_t give_up, unsigned tries, mono_t now);

#endif
