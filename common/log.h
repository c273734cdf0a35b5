/*
 * The log: lines with a level, as words followed by key=value fields, to standard error, syslog or a file.
 *
 * One event is one line and one write. Bytes that came from the wire or from a file name are escaped here, so no caller
 * can forget it.
 */
#ifndef LOG_H
#define LOG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Words and fields, for people; fields only, as logfmt has them; one JSON object. */
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_KV, LOG_FORMAT_JSON };

/* So many bytes of lines may wait: some thousands, more than the server's budget lets through in a burst. */
#define LOG_BACKLOG (1 << 20)

/* What could not be written yet, and how many lines never will be. Zeroed, with `waits` set or not. */
struct log_backlog {
	uint64_t missing;      /* lines that were left out since the last one that was not: said before the next one */
	bool torn;             /* the last of them was written in part */
	bool full;             /* there was no room for the last one */
	char *buf;             /* whole lines that wait for their reader, from `start` to `end`; NULL: none */
	size_t start, end;
	void (*waits)(struct log_backlog *b); /* a first one does: call log_flush when the descriptor takes more */
};

struct log {
	int fd;                /* -1: nowhere */
	enum log_level level;  /* lines above it are dropped */
	enum log_format format;
	const char *tag;       /* fd is a socket to syslog: each line begins with its priority and this; NULL: it does not */
	int devices;           /* then: the directory with syslog's socket, which may be another one later; -1: out of reach */
	bool journal;          /* each line begins with "<N>", its level, which the journal takes off */
	struct log_backlog *backlog; /* of who reads pipe, terminal, syslog; and what is missing. NULL: wait, say nothing */
	bool regular;          /* fd was a file from the start: nobody has to read it */
	bool clock;            /* each line says when: nobody adds that later */
	int dir;               /* a file: the directory it is in, and its name, so that it can be opened again; else -1 */
	char file[NAME_MAX + 1];
	int target_dir;        /* the same of what it leads to, where it is a symbolic link with this text; else -1 */
	char target[NAME_MAX + 1], link[PATH_MAX];
};

/* Where it goes (the descriptor stays the caller's) and how much. Text, with nothing before it. */
void log_init(struct log *l, int fd, enum log_level level);

/* The format, for which a time is added where nothing else does; call it after the place has been chosen. */
void log_set_format(struct log *l, enum log_format format);

/* If standard error leads to systemd's journal (JOURNAL_STREAM says so), tell it each line's level. */
void log_journal(struct log *l);

/*
 * Log to syslog from now on, as daemon.LEVEL and with `tag`, which must stay. One that is started anew later is found
 * again, also after chroot. Returns 0 or -errno: there is none.
 */
int log_syslog(struct log *l, const char *tag);

/* Log to this file from now on, made if need be. Returns 0 or -errno; then nothing has changed. */
int log_file(struct log *l, const char *path);

/* As log_file, but nothing is opened or made: for log_lasts, of a log that never was one. */
int log_find(struct log *l, const char *path);

/*
 * Whether who we are now may open the file again after it was renamed, or make it anew. 0 or -errno; other places last
 * by themselves.
 */
int log_lasts(const struct log *l);

/*
 * Open the file again by its name, after it was renamed to rotate it; works after chroot, and where a symbolic link
 * leads out of what is in reach by then. Nothing to do for one that still has its name, and for other places. Returns 0
 * or -errno; then the old one is still in use.
 */
int log_reopen(struct log *l);

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

/*
 * Write what waits in the backlog as far as that goes without waiting. True: all of it. A line that is logged does that
 * as well.
 */
bool log_flush(const struct log *l);

/* Give up what waits still. Closes nothing. */
void log_forget(const struct log *l);

#endif
