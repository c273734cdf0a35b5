/*
 * The log: lines with a level, as words followed by key=value fields.
 *
 * One event is one line and one write. Bytes that came from the wire or from a file name are escaped here, so no caller
 * can forget it.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

struct log {
	int fd;                /* -1: nowhere */
	enum log_level level;  /* lines above it are dropped */
	const char *tag;       /* fd is a socket to syslog: each line begins with its priority and this; NULL: it does not */
};

/* Where it goes (the descriptor stays the caller's) and how much. */
void log_init(struct log *l, int fd, enum log_level level);

/* Log to syslog from now on, as daemon.LEVEL and with `tag`, which must stay. Returns 0 or -errno: there is none. */
int log_syslog(struct log *l, const char *tag);

/* One line: a sentence made by printf. */
void log_line(const struct log *l, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A line with fields: begin, any number of fields, end writes it. Kept on the stack. */
struct log_event {
	const struct log *log; /* NULL: the level is dropped, fields cost nothing */
	enum log_level level;
	size_t len;
	char buf[2048];
};

void log_begin(struct log_event *e, const struct log *l, enum log_level level, const char *what);
void log_text(struct log_event *e, const char *key, const char *value);             /* quoted and escaped where it must be */
void log_bytes(struct log_event *e, const char *key, const void *value, size_t len);
void log_u64(struct log_event *e, const char *key, uint64_t value);
void log_fixed(struct log_event *e, const char *key, double value, int digits, const char *unit);
void log_end(struct log_event *e);

/*
 * Make bytes fit for a terminal and a log: control characters, quotes, backslashes and everything above ASCII that is
 * not valid UTF-8 become \xNN. Writes at most cap - 1 bytes and a NUL; returns buf. cap must not be 0.
 */
char *log_safe(char *buf, size_t cap, const void *bytes, size_t len);

#endif
