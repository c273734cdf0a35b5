/* One line, one write; or none yet, where its reader is slow. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Places. */

void log_init(struct log *l, int fd, enum log_level level)
{
	struct stat st;

	*l = (struct log){.fd = fd, .level = level, .devices = -1, .dir = -1, .target_dir = -1};
	l->regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void log_set_format(struct log *l, enum log_format format)
{
	l->format = format;
	l->clock = l->dir >= 0 || (format != LOG_FORMAT_TEXT && !l->journal && l->tag == NULL);
}

void log_journal(struct log *l)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	/* The variable is inherited by what is started from a service with its output elsewhere; so look. */
	l->journal = stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	    st.st_dev == dev && st.st_ino == ino;
}

static int connect_to(int fd, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 ? 0 : -errno;
}

int log_syslog(struct log *l, const char *tag)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	err = connect_to(fd, "/dev/log");
	if (err != 0) {
		close(fd);
		return err;
	}
	l->fd = fd;
	l->tag = tag;
	l->devices = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	l->journal = false;
	return 0;
}

/*
 * Syslog was started anew: its old socket leads nowhere. A socket is only found by its path, and that may lie outside of
 * our root by now, so we go where it is for a moment; no thread of ours opens anything by a path from where we are.
 */
static bool syslog_again(const struct log *l)
{
	int here, err = -ENOENT;

	if (l->devices < 0 || (here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return false;
	if (fchdir(l->devices) == 0)
		err = connect_to(l->fd, "log");
	if (fchdir(here) != 0)
		err = -errno;
	close(here);
	return err == 0;
}

/* Files. */

static int open_file(int dir, const char *file)
{
	int fd = openat(dir, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

	return fd < 0 ? -errno : fd;
}

static bool link_text(const struct log *l, char text[PATH_MAX])
{
	ssize_t len = readlinkat(l->dir, l->file, text, PATH_MAX);

	if (len < 0 || len == PATH_MAX)
		return false;
	text[len] = '\0';
	return true;
}

/* A link may lead to where nothing can be opened any more later. One that leads nowhere has nothing to remember. */
static void remember_target(struct log *l, const char *path)
{
	char *real = link_text(l, l->link) ? realpath(path, NULL) : NULL, *name;

	l->target_dir = -1;
	if (real == NULL)
		return;
	name = strrchr(real, '/') + 1;
	if (strlen(name) <= NAME_MAX) {
		strcpy(l->target, name);
		*name = '\0';
		l->target_dir = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	free(real);
}

/* Its directory, opened, and its name there. 0 or -errno. */
static int find_file(struct log *l, const char *path)
{
	const char *slash = strrchr(path, '/'), *file = slash != NULL ? slash + 1 : path;
	size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	char name[PATH_MAX];
	int dir;

	if (*file == '\0')
		return -EISDIR;
	if (len >= sizeof(name) || strlen(file) > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, path, len);
	name[len] = '\0';
	dir = open(len > 0 ? name : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	l->dir = dir;
	strcpy(l->file, file);
	return 0;
}

int log_find(struct log *l, const char *path)
{
	int err = find_file(l, path);

	if (err == 0)
		remember_target(l, path);
	return err;
}

int log_file(struct log *l, const char *path)
{
	int fd, err = find_file(l, path);

	if (err != 0)
		return err;
	fd = open_file(l->dir, l->file);
	if (fd < 0) {
		close(l->dir);
		l->dir = -1;
		return fd;
	}
	remember_target(l, path);
	l->fd = fd;
	l->tag = NULL;
	l->journal = false;
	l->clock = true;
	return 0;
}

/* The directory that the file is in or comes to be in, and its name there: a link's is where that has led from the start. */
static int whereabouts(const struct log *l, const char **name)
{
	char text[PATH_MAX];
	bool target = l->target_dir >= 0 && link_text(l, text) && strcmp(text, l->link) == 0;

	*name = target ? l->target : l->file;
	return target ? l->target_dir : l->dir;
}

int log_lasts(const struct log *l)
{
	const char *name;
	struct stat st;
	int dir;

	if (l->dir < 0)
		return 0;
	dir = whereabouts(l, &name);
	if (fstatat(dir, name, &st, 0) == 0 && (!S_ISREG(st.st_mode) || faccessat(dir, name, W_OK, AT_EACCESS) == 0))
		return 0;
	return faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) == 0 ? 0 : -errno;
}

int log_reopen(struct log *l)
{
	struct stat open, there;
	const char *name;
	int dir, fd;

	if (l->dir < 0)
		return 0;
	dir = whereabouts(l, &name);
	/* Root may have made it, and who we are now may not open it again. */
	if (fstat(l->fd, &open) == 0 && fstatat(dir, name, &there, 0) == 0 && open.st_dev == there.st_dev &&
	    open.st_ino == there.st_ino)
		return 0;
	fd = open_file(dir, name);
	if (fd < 0)
		return fd;
	close(l->fd);
	l->fd = fd;
	return 0;
}

/* Text that can do no harm. */

/* Length of the valid UTF-8 sequence at s (2 to 4 bytes), or 0. Overlong forms and surrogates are not valid. */
static size_t utf8_length(const uint8_t *s, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	uint32_t c;

	if (n == 0 || n > len)
		return 0;
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* C1 controls and the line separators move a terminal as well as a control character does. */
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) || c < 0xa0 || c == 0x2028 || c == 0x2029)
		return 0;
	return n;
}

char *log_safe(char *buf, size_t cap, const void *bytes, size_t len)
{
	const uint8_t *s = bytes;
	size_t o = 0, i = 0;

	while (i < len) {
		bool plain = s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\';
		size_t n = plain ? 1 : s[i] < 0x80 ? 0 : utf8_length(s + i, len - i);

		if (o + (n > 0 ? n : 4) >= cap)
			break;
		if (n > 0) {
			memcpy(buf + o, s + i, n);
			o += n;
			i += n;
		} else {
			o += (size_t)snprintf(buf + o, cap - o, "\\x%02x", s[i++]);
		}
	}
	buf[o] = '\0';
	return buf;
}

/* Lines. */

#define FACILITY_DAEMON (3 << 3)

/* Whether lines wait for a reader: of a pipe, a terminal, a socket, syslog's included. A file has none. */
static bool has_reader(const struct log *l)
{
	return l->backlog != NULL && !l->regular && l->dir < 0;
}

static bool takes_more(const struct log *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLOUT};

	return poll(&p, 1, 0) != 0;
}

static size_t waiting(const struct log_backlog *b)
{
	return b->end - b->start;
}

static void empty(struct log_backlog *b)
{
	free(b->buf);
	b->buf = NULL;
	b->start = b->end = 0;
	b->full = false;
}

/*
 * Room for so many bytes at the end. What waits is moved to the front when that is less than half of all, so that it is
 * moved rarely; and once a line was left out, so are all until there is room for many: one long gap is easier to read
 * than a hundred short ones.
 */
static bool make_room(struct log_backlog *b, size_t len)
{
	if (b->buf == NULL && (b->buf = malloc(LOG_BACKLOG)) == NULL)
		return false;
	if (waiting(b) <= LOG_BACKLOG / 2) {
		b->full = false;
		if (len > LOG_BACKLOG - b->end) {
			memmove(b->buf, b->buf + b->start, waiting(b));
			b->end -= b->start;
			b->start = 0;
		}
	}
	b->full |= len > LOG_BACKLOG - b->end;
	return !b->full;
}

/* All but the first `skip` bytes of a line wait for its reader. It may have no newline at its end: here it gets one. */
static bool hold(struct log_backlog *b, const struct iovec iov[2], size_t skip)
{
	size_t first;

	if (!make_room(b, iov[0].iov_len + iov[1].iov_len + 1))
		return false;
	first = b->end;
	for (int i = 0; i < 2; i++) {
		memcpy(b->buf + b->end, iov[i].iov_base, iov[i].iov_len);
		b->end += iov[i].iov_len;
	}
	if (b->buf[b->end - 1] != '\n')
		b->buf[b->end++] = '\n';
	if (waiting(b) == b->end - first) {
		b->start += skip;
		if (b->waits != NULL)
			b->waits(b);
	}
	return true;
}

static ssize_t write_out(const struct log *l, const struct iovec *iov, int n)
{
	ssize_t done = writev(l->fd, iov, n);

	return done < 0 && l->tag != NULL && errno != EAGAIN && syslog_again(l) ? writev(l->fd, iov, n) : done;
}

/* So many lines at once: transfers have their turn between. */
#define LINES_AT_ONCE 64

/* The first line that waits. False: the reader takes no more for now. */
static bool write_first(const struct log *l)
{
	struct log_backlog *b = l->backlog;
	const char *line = b->buf + b->start, *end = memchr(line, '\n', waiting(b));
	size_t len = (size_t)(end - line) + 1, newline = l->tag != NULL ? 1 : 0;
	struct iovec iov = {.iov_base = (void *)line, .iov_len = len - newline};
	ssize_t n = write_out(l, &iov, 1);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	b->missing += n < 0;
	b->start += n < 0 ? len : (size_t)n + newline;
	return true;
}

static void write_waiting(const struct log *l)
{
	struct log_backlog *b = l->backlog;

	for (int i = 0; i < LINES_AT_ONCE && waiting(b) > 0; i++)
		if (!takes_more(l) || !write_first(l))
			return;
	if (waiting(b) == 0)
		empty(b);
}

/*
 * One write. `line` ends in a newline. A failed write is not an event: there is nowhere to report it, but later. A
 * reader that is slow, or has stopped, would stop us, and all transfers with us: no line is worth that, so they wait in
 * memory.
 */
static void put(const struct log *l, enum log_level level, const char *line, size_t len)
{
	struct log_backlog *b = l->backlog;
	char head[64] = "\n";
	struct iovec iov[2] = {{.iov_base = head}, {.iov_base = (void *)line, .iov_len = len}};
	ssize_t n = -1;
	bool held = false;

	if (b != NULL && b->torn)
		iov[0].iov_len = 1;
	if (l->tag != NULL) {
		iov[0].iov_len = (size_t)snprintf(head, sizeof(head), "<%d>%.32s[%d]: ", FACILITY_DAEMON | (int)level, l->tag,
		    (int)getpid());
		iov[1].iov_len--;
	} else if (l->journal) {
		iov[0].iov_len = (size_t)snprintf(head, sizeof(head), "<%d>", (int)level);
	}
	if (!has_reader(l) || (waiting(b) == 0 && takes_more(l)))
		n = write_out(l, iov, 2);
	else
		errno = EAGAIN;
	if (b == NULL)
		return;
	if (n == (ssize_t)(iov[0].iov_len + iov[1].iov_len)) {
		b->torn = false;
		return;
	}
	if (has_reader(l) && (n >= 0 || errno == EAGAIN || errno == EINTR))
		held = hold(b, iov, n > 0 ? (size_t)n : 0);
	b->missing += !held;
	b->torn = !held && (b->torn || n > 0);
}

/* There is room again, perhaps. */
static void end_gap(const struct log *l)
{
	uint64_t lines = l->backlog->missing;

	l->backlog->missing = 0;
	log_line(l, LOG_LEVEL_WARNING, "%llu lines are missing here: they could not be written", (unsigned long long)lines);
	if (l->backlog->missing > 0)
		l->backlog->missing = lines;
}

bool log_flush(const struct log *l)
{
	struct log_backlog *b = l->backlog;

	if (b == NULL)
		return true;
	if (waiting(b) > 0)
		write_waiting(l);
	if (waiting(b) == 0 && b->missing > 0)
		end_gap(l);
	return waiting(b) == 0;
}

void log_forget(const struct log *l)
{
	if (l->backlog != NULL)
		empty(l->backlog);
}

static void append(struct log_event *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What does not fit is cut off; of a JSON object the whole member is left out, or it would not be one. */
static void append(struct log_event *e, const char *fmt, ...)
{
	size_t room = sizeof(e->buf) - 2 - e->len; /* two bytes are kept for the end */
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(e->buf + e->len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || ((size_t)n >= room && e->log->format == LOG_FORMAT_JSON))
		return;
	e->len += (size_t)n < room ? (size_t)n : room - 1;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_NOTICE:
		return "notice";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		break;
	}
	return "debug";
}

/* ISO 8601, UTC. */
static void now_text(char text[40])
{
	struct timespec now;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, 40 - len, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

/*
 * Text from log_safe as a string of JSON, which has escapes of its own for all of it but bytes that are no UTF-8: those
 * stay \xNN, with the backslash doubled. out takes twice the bytes.
 */
static void json_text(char *out, const char *safe)
{
	while (*safe != '\0') {
		unsigned byte;

		if (*safe != '\\' || sscanf(safe, "\\x%2x", &byte) != 1) {
			*out++ = *safe++;
			continue;
		}
		if (byte == '"' || byte == '\\')
			out += sprintf(out, "\\%c", (int)byte);
		else
			out += sprintf(out, byte < 0x80 ? "\\u%04x" : "\\\\x%02x", byte);
		safe += 4;
	}
	*out = '\0';
}

static bool needs_quotes(const uint8_t *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' || s[i] == '=')
			return true;
	return len == 0;
}

/* The first field, or another. */
static const char *between(const struct log_event *e)
{
	if (e->log->format == LOG_FORMAT_JSON)
		return e->len == 0 ? "{" : ",";
	return e->len == 0 ? "" : " ";
}

static void add_text(struct log_event *e, const char *key, const void *value, size_t len)
{
	char safe[1024], json[2048];

	log_safe(safe, sizeof(safe), value, len);
	if (e->log->format == LOG_FORMAT_JSON) {
		json_text(json, safe);
		append(e, "%s\"%s\":\"%s\"", between(e), key, json);
	} else {
		append(e, needs_quotes(value, len) ? "%s%s=\"%s\"" : "%s%s=%s", between(e), key, safe);
	}
}

static void begin(struct log_event *e, const struct log *l, enum log_level level)
{
	char now[40];

	e->log = l->fd < 0 || level > l->level ? NULL : l;
	e->level = level;
	e->len = 0;
	if (e->log == NULL)
		return;
	if (l->clock)
		now_text(now);
	if (l->format == LOG_FORMAT_TEXT) {
		if (l->clock)
			append(e, "%s ", now);
		return;
	}
	if (l->clock)
		add_text(e, "time", now, strlen(now));
	add_text(e, "level", level_name(level), strlen(level_name(level)));
}

void log_begin(struct log_event *e, const struct log *l, enum log_level level, const char *what)
{
	begin(e, l, level);
	if (e->log == NULL)
		return;
	if (l->format == LOG_FORMAT_TEXT)
		append(e, "%s", what);
	else
		add_text(e, "event", what, strlen(what));
}

void log_line(const struct log *l, enum log_level level, const char *fmt, ...)
{
	struct log_event e;
	char line[1024];
	va_list ap;
	int n;

	begin(&e, l, level);
	if (e.log == NULL)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	/* Callers escape what they quote with log_safe; this is for the one that forgets. */
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	if (l->format == LOG_FORMAT_TEXT)
		append(&e, "%s", line);
	else
		add_text(&e, "message", line, strlen(line));
	log_end(&e);
}

void log_bytes(struct log_event *e, const char *key, const void *value, size_t len)
{
	if (e->log != NULL)
		add_text(e, key, value, len);
}

void log_text(struct log_event *e, const char *key, const char *value)
{
	log_bytes(e, key, value, strlen(value));
}

/* A number's text with its key. */
static void add_number(struct log_event *e, const char *key, const char *number)
{
	append(e, e->log->format == LOG_FORMAT_JSON ? "%s\"%s\":%s" : "%s%s=%s", between(e), key, number);
}

void log_u64(struct log_event *e, const char *key, uint64_t value)
{
	char number[24];

	if (e->log == NULL)
		return;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)value);
	add_number(e, key, number);
}

void log_fixed(struct log_event *e, const char *key, double value, int digits, const char *unit)
{
	char number[400], named[64];

	if (e->log == NULL)
		return;
	if (e->log->format == LOG_FORMAT_TEXT) {
		snprintf(number, sizeof(number), "%.*f%s", digits, value, unit);
		add_number(e, key, number);
		return;
	}
	/* Programs read these: a number stays one, its unit goes to the key, "MB/s" as "_MBps". */
	snprintf(named, sizeof(named), "%s%s%s", key, *unit != '\0' ? "_" : "", unit);
	for (char *slash; (slash = strchr(named, '/')) != NULL;)
		*slash = 'p';
	snprintf(number, sizeof(number), "%.*f", digits, value);
	add_number(e, named, number);
}

void log_end(struct log_event *e)
{
	if (e->log == NULL)
		return;
	if (e->log->format == LOG_FORMAT_JSON)
		e->buf[e->len++] = '}';
	e->buf[e->len++] = '\n';
	if (e->log->backlog != NULL && waiting(e->log->backlog) > 0)
		write_waiting(e->log);
	if (e->log->backlog != NULL && e->log->backlog->missing > 0)
		end_gap(e->log);
	put(e->log, e->level, e->buf, e->len);
}
