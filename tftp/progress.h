/* What a person sees while waiting: one line that is drawn again and again. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	int fd;
	bool shown;          /* a line stands there */
	double rate;         /* bytes per second, smoothed */
	mono_t last;         /* elapsed time and bytes at the last call */
	uint64_t last_bytes;
};

void progress_init(struct progress *p, int fd);

/* Draw the line anew, as wide as the terminal is now. */
void progress_draw(struct progress *p, const struct client_state *state);

/* Take the line away, before anything else is printed. */
void progress_clear(struct progress *p);

/*
 * The line itself, of at most `width` columns; pure. `rate` in bytes per second, 0: unknown. buf of `cap` bytes gets it
 * with a NUL; returns the columns it takes.
 */
size_t progress_line(char *buf, size_t cap, size_t width, const struct client_state *state, double rate);

/* "512 B", "1.50 MB": five to seven columns. "0:07", "1:02:03". */
void progress_bytes(char buf[16], double bytes);
void progress_time(char buf[16], double seconds);

#endif
