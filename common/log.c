/* One line, one write. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

void log_init(struct log *l, int fd, enum log_level level)
{
	l->fd = fd;
	l->level = level;
	l->tag = NULL;
}

int log_syslog(struct log *l, const char *tag)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		err = -errno;
		close(fd);
		return err;
	}
	l->fd = fd;
	l->tag = tag;
	return 0;
}

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

#define FACILITY_DAEMON (3 << 3)

/* `line` ends in a newline. A failed write is not an event: there is nowhere to report it. */
static void put(const struct log *l, enum log_level level, const char *line, size_t len)
{
	char head[64];
	struct iovec iov[2] = {{.iov_base = head}, {.iov_base = (void *)line, .iov_len = len - 1}};
	ssize_t n;

	if (l->tag == NULL) {
		n = write(l->fd, line, len);
	} else {
		iov[0].iov_len = (size_t)snprintf(head, sizeof(head), "<%d>%.32s[%d]: ", FACILITY_DAEMON | (int)level, l->tag,
		    (int)getpid());
		n = writev(l->fd, iov, 2);
	}
	(void)n;
}

void log_line(const struct log *l, enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	if (l->fd < 0 || level > l->level)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	/* Callers escape what they quote with log_safe; this is for the one that forgets. */
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	put(l, level, line, (size_t)n);
}

static void append(struct log_event *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void append(struct log_event *e, const char *fmt, ...)
{
	size_t room = sizeof(e->buf) - 1 - e->len; /* one byte is kept for the newline */
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(e->buf + e->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		e->len += (size_t)n < room ? (size_t)n : room - 1;
}

void log_begin(struct log_event *e, const struct log *l, enum log_level level, const char *what)
{
	e->log = l->fd < 0 || level > l->level ? NULL : l;
	e->level = level;
	e->len = 0;
	if (e->log != NULL)
		append(e, "%s", what);
}

static bool needs_quotes(const uint8_t *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' || s[i] == '=')
			return true;
	return len == 0;
}

void log_bytes(struct log_event *e, const char *key, const void *value, size_t len)
{
	char safe[1024];

	if (e->log == NULL)
		return;
	log_safe(safe, sizeof(safe), value, len);
	append(e, needs_quotes(value, len) ? " %s=\"%s\"" : " %s=%s", key, safe);
}

void log_text(struct log_event *e, const char *key, const char *value)
{
	log_bytes(e, key, value, strlen(value));
}

void log_u64(struct log_event *e, const char *key, uint64_t value)
{
	if (e->log != NULL)
		append(e, " %s=%llu", key, (unsigned long long)value);
}

void log_fixed(struct log_event *e, const char *key, double value, int digits, const char *unit)
{
	if (e->log != NULL)
		append(e, " %s=%.*f%s", key, digits, value, unit);
}

void log_end(struct log_event *e)
{
	if (e->log == NULL)
		return;
	e->buf[e->len++] = '\n';
	put(e->log, e->level, e->buf, e->len);
}
