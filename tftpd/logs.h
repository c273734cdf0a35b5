/*
 * Where the log goes, and what is not worth a line of its own: files that are asked for in vain, one name after the
 * other, as every network boot does, and requests that only want to know a size.
 */
#ifndef LOGS_H
#define LOGS_H

#include "addr.h"
#include "config.h"
#include "log.h"
#include "loop.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether the log is standard error: where it is asked for, and by default but in the background, where syslog is. */
bool logs_to_stderr(const struct config *c);

/* Whether it is a file. */
bool logs_to_file(const struct config *c);

/*
 * Open the log that the configuration names. Returns 0, or a sysexits.h status with a sentence in `error`; then the log
 * is standard error.
 */
int logs_open(struct log *l, const struct config *c, char error[CONFIG_ERROR_MAX]);

/*
 * What keeps the user that this process runs as from opening the log file anew after it was renamed, in words that say
 * what to do; NULL: nothing does. `l` has been opened, or found (log_find).
 */
#define LOGS_TROUBLE_MAX 512
const char *logs_trouble(const struct log *l, const struct config *c, char text[LOGS_TROUBLE_MAX]);

#define LOGS_CLIENTS 256
#define LOGS_MISSES 3                  /* lines for one client's misses in a period */
#define LOGS_PERIOD (60 * MONO_SEC)

struct logs {
	struct loop *loop;
	struct log *log;
	struct log_backlog backlog;        /* lines that their reader is too slow for */
	struct loop_fd reader;             /* the log's descriptor, while they wait */
	struct loop_timer period;          /* runs while there is something to sum up */
	uint64_t misses, probes;           /* that had no line */
	struct { struct addr host; unsigned misses; } clients[LOGS_CLIENTS];
};

/* The log must stay where it is: from now on lines wait for who reads it, and the loop does not. */
void logs_init(struct logs *g, struct loop *loop, struct log *log);

/* Give who reads the log a moment for what waits still. */
void logs_free(struct logs *g);

/* The level for a line about a file that this client asked for and that is not there. */
enum log_level logs_missed(struct logs *g, const struct addr *peer, mono_t now);

/*
 * This client got a file: it may have gone through names, as boot programs do, and found the one. What it misses next is
 * another matter, and has a line.
 */
void logs_served(struct logs *g, const struct addr *peer);

/* The level for a line about a size probe. */
enum log_level logs_probed(struct logs *g, mono_t now);

/* Say now what has been gathered. */
void logs_sum_up(struct logs *g);

#endif
