/*
 * The log: what gets through, in how many writes, and that nothing from the wire can forge a line. The log writes into
 * a datagram socket here, so that one write is one message.
 */
#include "log.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink {
	int in, out;
	struct log log;
	char line[4096];
};

static void open_sink(struct sink *s, enum log_level level)
{
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	s->in = pair[0];
	s->out = pair[1];
	log_init(&s->log, s->in, level);
}

/* The next write as a string without its newline, NULL if there was none. */
static const char *next_line(struct sink *s)
{
	ssize_t n = recv(s->out, s->line, sizeof(s->line) - 1, MSG_DONTWAIT);

	if (n < 0)
		return NULL;
	MUST(n > 0);
	s->line[n] = '\0';
	MUST(strlen(s->line) == (size_t)n);
	MUST(s->line[n - 1] == '\n');
	s->line[n - 1] = '\0';
	MUST(strchr(s->line, '\n') == NULL);
	return s->line;
}

static const char *safe(const char *bytes, size_t len)
{
	static char buf[4096];

	ck_assert_ptr_eq(log_safe(buf, sizeof(buf), bytes, len), buf);
	return buf;
}

#define SAFE(literal) safe(literal, sizeof(literal) - 1)

START_TEST(plain_words_stay_as_they_are)
{
	ck_assert_str_eq(SAFE(""), "");
	ck_assert_str_eq(SAFE("boot/pxelinux.0"), "boot/pxelinux.0");
	ck_assert_str_eq(SAFE("with space, and (more)!"), "with space, and (more)!");
	ck_assert_str_eq(SAFE("~"), "~");
}
END_TEST

START_TEST(controls_quotes_and_backslashes_are_escaped)
{
	ck_assert_str_eq(SAFE("a\nb"), "a\\x0ab");
	ck_assert_str_eq(SAFE("\x1b[31m"), "\\x1b[31m");
	ck_assert_str_eq(SAFE("a\0b"), "a\\x00b");
	ck_assert_str_eq(SAFE("\x7f"), "\\x7f");
	ck_assert_str_eq(SAFE("say \"hi\""), "say \\x22hi\\x22");
	ck_assert_str_eq(SAFE("\\boot\\bcd"), "\\x5cboot\\x5cbcd");
	for (unsigned b = 0; b < 0x20; b++) {
		char byte = (char)b, want[8];
		snprintf(want, sizeof(want), "\\x%02x", b);
		ck_assert_str_eq(safe(&byte, 1), want);
	}
}
END_TEST

START_TEST(valid_utf8_is_kept)
{
	ck_assert_str_eq(SAFE("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
	ck_assert_str_eq(SAFE("\xe2\x82\xac"), "\xe2\x82\xac");
	ck_assert_str_eq(SAFE("\xf0\x9f\x90\xa7"), "\xf0\x9f\x90\xa7");
	ck_assert_str_eq(SAFE("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf");
}
END_TEST

START_TEST(invalid_utf8_is_escaped)
{
	ck_assert_str_eq(SAFE("\xff\xfe"), "\\xff\\xfe");
	ck_assert_str_eq(SAFE("\x80"), "\\x80");
	ck_assert_str_eq(SAFE("\xc3"), "\\xc3");
	ck_assert_str_eq(SAFE("\xc3z"), "\\xc3z");
	ck_assert_str_eq(SAFE("\xe2\x82"), "\\xe2\\x82");
	ck_assert_str_eq(SAFE("\xf0\x9f\x90"), "\\xf0\\x9f\\x90");
	/* longer than need be, a surrogate, beyond the last character */
	ck_assert_str_eq(SAFE("\xc0\x8a"), "\\xc0\\x8a");
	ck_assert_str_eq(SAFE("\xe0\x80\x8a"), "\\xe0\\x80\\x8a");
	ck_assert_str_eq(SAFE("\xf0\x80\x80\x8a"), "\\xf0\\x80\\x80\\x8a");
	ck_assert_str_eq(SAFE("\xed\xa0\x80"), "\\xed\\xa0\\x80");
	ck_assert_str_eq(SAFE("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
	ck_assert_str_eq(SAFE("\xf8\x88\x80\x80\x80"), "\\xf8\\x88\\x80\\x80\\x80");
}
END_TEST

/* U+009B is CSI on a terminal that takes 8-bit controls. */
START_TEST(eight_bit_controls_are_escaped)
{
	ck_assert_str_eq(SAFE("\xc2\x9b" "31m"), "\\xc2\\x9b31m");
	ck_assert_str_eq(SAFE("\xc2\x80"), "\\xc2\\x80");
	ck_assert_str_eq(SAFE("\xc2\xa0"), "\xc2\xa0");
}
END_TEST

START_TEST(every_capacity_holds_a_prefix)
{
	static const char bytes[] = "a\n\xc3\xbc\xff\"z\xf0\x9f\x90\xa7\xe2\x82\xac" "b";
	char whole[128];

	log_safe(whole, sizeof(whole), bytes, sizeof(bytes) - 1);
	for (size_t cap = 1; cap < strlen(whole) + 3; cap++) {
		char buf[128];

		memset(buf, 0x55, sizeof(buf));
		log_safe(buf, cap, bytes, sizeof(bytes) - 1);
		size_t len = strnlen(buf, cap);
		MUST(len < cap);
		MUST(strncmp(buf, whole, len) == 0);
		/* An escape or a character is there whole or not at all: what follows it begins a new one. */
		MUST(len == strlen(whole) || whole[len] == '\\' || ((unsigned char)whole[len] & 0xc0) != 0x80);
		MUST(cap <= strlen(whole) || len == strlen(whole));
		for (size_t i = cap; i < sizeof(buf); i++)
			MUST(buf[i] == 0x55);
		for (size_t i = 0; i < len; i++)
			if (buf[i] == '\\')
				MUST(i + 3 < len);
	}
}
END_TEST

START_TEST(lines_above_the_level_are_dropped)
{
	struct sink s;

	open_sink(&s, LOG_LEVEL_NOTICE);
	log_line(&s.log, LOG_LEVEL_INFO, "not this");
	log_line(&s.log, LOG_LEVEL_DEBUG, "nor this");
	ck_assert_ptr_null(next_line(&s));
	log_line(&s.log, LOG_LEVEL_NOTICE, "this");
	ck_assert_ptr_nonnull(strstr(next_line(&s), "this"));
	log_line(&s.log, LOG_LEVEL_ERROR, "and this: %d", 42);
	ck_assert_ptr_nonnull(strstr(next_line(&s), "and this: 42"));
	ck_assert_ptr_null(next_line(&s));
}
END_TEST

START_TEST(events_above_the_level_are_dropped)
{
	struct sink s;
	struct log_event e;

	open_sink(&s, LOG_LEVEL_NOTICE);
	log_begin(&e, &s.log, LOG_LEVEL_INFO, "read");
	ck_assert_ptr_null(e.log);
	log_text(&e, "file", "x");
	log_bytes(&e, "raw", "y", 1);
	log_u64(&e, "bytes", 1);
	log_fixed(&e, "seconds", 1, 3, "s");
	log_end(&e);
	ck_assert_ptr_null(next_line(&s));
}
END_TEST

START_TEST(no_descriptor_is_nowhere)
{
	struct log log;
	struct log_event e;

	log_init(&log, -1, LOG_LEVEL_DEBUG);
	log_line(&log, LOG_LEVEL_ERROR, "into the void");
	log_begin(&e, &log, LOG_LEVEL_ERROR, "void");
	log_text(&e, "key", "value");
	log_end(&e);
	ck_assert_ptr_null(e.log);
}
END_TEST

START_TEST(an_event_is_words_and_fields_in_one_write)
{
	struct sink s;
	struct log_event e;

	open_sink(&s, LOG_LEVEL_INFO);
	log_begin(&e, &s.log, LOG_LEVEL_INFO, "read done");
	log_text(&e, "peer", "192.0.2.1:2070");
	log_text(&e, "file", "pxelinux.0");
	log_u64(&e, "bytes", 18446744073709551615u);
	log_fixed(&e, "seconds", 1.23456, 3, "");
	log_fixed(&e, "rate", 98.76, 1, "MB/s");
	log_end(&e);
	const char *line = next_line(&s);
	ck_assert_ptr_nonnull(line);
	ck_assert_ptr_nonnull(strstr(line, "read done peer=192.0.2.1:2070 file=pxelinux.0 bytes=18446744073709551615 "
	    "seconds=1.235 rate=98.8MB/s"));
	ck_assert_ptr_null(next_line(&s));
}
END_TEST

/* Split as a log reader does: at spaces outside of quotes. */
START_TEST(values_are_quoted_where_they_must_be)
{
	static const struct {
		const char *value, *want;
	} rows[] = {
		{"plain", "k=plain"}, {"", "k=\"\""}, {"two words", "k=\"two words\""}, {"a=b", "k=\"a=b\""},
		{"q\"q", "k=\"q\\x22q\""}, {"b\\b", "k=\"b\\x5cb\""}, {"n\nn", "k=\"n\\x0an\""},
		{"x y=z\" file=forged", "k=\"x y=z\\x22 file=forged\""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sink s;
		struct log_event e;

		open_sink(&s, LOG_LEVEL_INFO);
		log_begin(&e, &s.log, LOG_LEVEL_INFO, "event");
		log_text(&e, "k", rows[i].value);
		log_u64(&e, "after", 1);
		log_end(&e);
		const char *line = next_line(&s), *field = strstr(line, "k=");
		ck_assert_ptr_nonnull(field);
		ck_assert_msg(strncmp(field, rows[i].want, strlen(rows[i].want)) == 0, "%s", line);
		ck_assert_str_eq(field + strlen(rows[i].want), " after=1");
	}
}
END_TEST

START_TEST(bytes_may_hold_nuls)
{
	struct sink s;
	struct log_event e;

	open_sink(&s, LOG_LEVEL_INFO);
	log_begin(&e, &s.log, LOG_LEVEL_INFO, "event");
	log_bytes(&e, "k", "a\0b", 3);
	log_end(&e);
	ck_assert_ptr_nonnull(strstr(next_line(&s), "a\\x00b"));
}
END_TEST

START_TEST(a_line_cannot_be_forged_through_a_sentence)
{
	struct sink s;

	open_sink(&s, LOG_LEVEL_INFO);
	log_line(&s.log, LOG_LEVEL_INFO, "cannot open %s: denied", "x\nforged line\x1b[2J\r");
	const char *line = next_line(&s); /* itself says that there is no newline inside */
	ck_assert_ptr_nonnull(line);
	for (; *line; line++)
		ck_assert_uint_ge((unsigned char)*line, 0x20);
	ck_assert_ptr_null(next_line(&s));
}
END_TEST

START_TEST(endless_values_leave_one_whole_line)
{
	char *big = malloc(100000);

	ck_assert_ptr_nonnull(big);
	for (int fill = 0; fill < 3; fill++)
		for (size_t len = 900; len < 100000; len += len < 2300 ? 1 : 48000) {
			struct sink s;
			struct log_event e;
			static const char fills[] = {'x', '\x1b', '\xff'};

			memset(big, fills[fill], len);
			big[len] = '\0';
			open_sink(&s, LOG_LEVEL_INFO);
			log_begin(&e, &s.log, LOG_LEVEL_INFO, "read");
			log_u64(&e, "bytes", 1);
			log_text(&e, "file", big);
			log_text(&e, "text", big);
			log_bytes(&e, "more", big, len);
			log_u64(&e, "end", UINT64_MAX);
			log_fixed(&e, "rate", 1e300, 3, "MB/s");
			log_end(&e);
			const char *line = next_line(&s);
			MUST(line != NULL);
			MUST(strlen(line) < 2048);
			MUST(strncmp(strstr(line, "read"), "read bytes=1 file=", 18) == 0);
			for (const char *c = line; *c; c++)
				MUST(*c >= 0x20 && *c < 0x7f);
			MUST(next_line(&s) == NULL);

			log_line(&s.log, LOG_LEVEL_INFO, "sentence %s", big);
			line = next_line(&s);
			MUST(line != NULL);
			MUST(strstr(line, "sentence ") != NULL);
			MUST(next_line(&s) == NULL);
			close(s.in);
			close(s.out);
		}
	free(big);
}
END_TEST

START_TEST(fields_can_be_logfmt)
{
	struct sink s;
	struct log_event e;

	open_sink(&s, LOG_LEVEL_INFO);
	s.log.format = LOG_FORMAT_KV;
	log_begin(&e, &s.log, LOG_LEVEL_INFO, "failed read");
	log_text(&e, "file", "a b");
	log_fixed(&e, "rate", 98.76, 1, "MB/s");
	log_end(&e);
	ck_assert_str_eq(next_line(&s), "level=info event=\"failed read\" file=\"a b\" rate_MBps=98.8");
	log_line(&s.log, LOG_LEVEL_WARNING, "no %s here", "\"way\"");
	ck_assert_str_eq(next_line(&s), "level=warning message=\"no \\x22way\\x22 here\"");
}
END_TEST

START_TEST(fields_can_be_json)
{
	struct sink s;
	struct log_event e;

	open_sink(&s, LOG_LEVEL_INFO);
	s.log.format = LOG_FORMAT_JSON;
	log_begin(&e, &s.log, LOG_LEVEL_INFO, "sent");
	log_bytes(&e, "file", "a\"b\\c\x1b\xff\xc3\xbc", 9);
	log_u64(&e, "bytes", 7);
	log_fixed(&e, "rtt", 0.5, 3, "ms");
	log_end(&e);
	ck_assert_str_eq(next_line(&s), "{\"level\":\"info\",\"event\":\"sent\",\"file\":\"a\\\"b\\\\c\\u001b\\\\xff\xc3\xbc\","
	    "\"bytes\":7,\"rtt_ms\":0.500}");
	log_line(&s.log, LOG_LEVEL_ERROR, "it \"ends\"");
	ck_assert_str_eq(next_line(&s), "{\"level\":\"error\",\"message\":\"it \\\"ends\\\"\"}");
}
END_TEST

/* Whatever does not fit is left out as a whole: the line is an object to its end. */
START_TEST(a_json_line_is_always_an_object)
{
	char big[1500];

	memset(big, '\x1b', sizeof(big));
	for (size_t len = 0; len < sizeof(big); len++) {
		struct sink s;
		struct log_event e;
		const char *line;
		size_t quotes = 0;

		open_sink(&s, LOG_LEVEL_INFO);
		s.log.format = LOG_FORMAT_JSON;
		log_begin(&e, &s.log, LOG_LEVEL_INFO, "sent");
		log_bytes(&e, "one", big, len);
		log_bytes(&e, "two", big, len);
		log_u64(&e, "end", UINT64_MAX);
		log_end(&e);
		line = next_line(&s);
		MUST(line != NULL);
		MUST(line[0] == '{' && line[strlen(line) - 1] == '}');
		for (const char *c = line; *c; c++)
			quotes += *c == '"';
		MUST(quotes % 2 == 0);
		close(s.in);
		close(s.out);
	}
}
END_TEST

START_TEST(the_journal_is_told_the_level)
{
	struct sink s;
	struct log_event e;

	open_sink(&s, LOG_LEVEL_DEBUG);
	s.log.journal = true;
	log_line(&s.log, LOG_LEVEL_WARNING, "careful");
	ck_assert_str_eq(next_line(&s), "<4>careful");
	log_begin(&e, &s.log, LOG_LEVEL_DEBUG, "probed");
	log_end(&e);
	ck_assert_str_eq(next_line(&s), "<7>probed");
}
END_TEST

/* The variable alone says nothing: whatever a service starts inherits it. */
START_TEST(the_journal_is_known_by_its_stream)
{
	struct log log;
	struct stat st;
	char stream[64];

	log_init(&log, STDERR_FILENO, LOG_LEVEL_INFO);
	unsetenv("JOURNAL_STREAM");
	log_journal(&log);
	ck_assert(!log.journal);
	MUST(fstat(STDERR_FILENO, &st) == 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_journal(&log);
	ck_assert(log.journal);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	log_journal(&log);
	ck_assert(!log.journal);
}
END_TEST

START_TEST(syslog_gets_facility_level_and_tag_without_a_newline)
{
	struct sink s;
	char want[64], got[256];
	ssize_t n;

	open_sink(&s, LOG_LEVEL_INFO);
	s.log.tag = "in.tftpd";
	log_line(&s.log, LOG_LEVEL_INFO, "hello");
	n = recv(s.out, got, sizeof(got) - 1, MSG_DONTWAIT);
	MUST(n > 0);
	got[n] = '\0';
	snprintf(want, sizeof(want), "<30>in.tftpd[%d]: hello", (int)getpid());
	ck_assert_str_eq(got, want);
}
END_TEST

static void read_text(int dir, const char *name, char *text, size_t cap)
{
	int fd = openat(dir, name, O_RDONLY);
	ssize_t n = read(fd, text, cap - 1);

	MUST(n >= 0);
	text[n] = '\0';
	close(fd);
}

/* What logrotate does: rename, then a signal. Each line says when. */
START_TEST(a_file_is_reopened_by_its_name)
{
	int dir = unit_dir_open();
	struct log log;
	char path[64], text[256];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/log", dir);
	log_init(&log, -1, LOG_LEVEL_INFO);
	ck_assert_int_eq(log_file(&log, "/tmp/"), -EISDIR);
	ck_assert_int_eq(log_file(&log, "/nowhere/log"), -ENOENT);
	ck_assert_int_eq(log.fd, -1);
	ck_assert_int_eq(log_file(&log, path), 0);
	log_line(&log, LOG_LEVEL_INFO, "first");
	MUST(renameat(dir, "log", dir, "log.1") == 0);
	log_line(&log, LOG_LEVEL_INFO, "second");
	ck_assert_int_eq(log_reopen(&log), 0);
	log_line(&log, LOG_LEVEL_INFO, "third");
	read_text(dir, "log", text, sizeof(text));
	ck_assert_uint_eq(strlen(text), strlen("2026-11-21T16:00:00.000Z third\n"));
	ck_assert_ptr_nonnull(strstr(text, "Z third\n"));
	read_text(dir, "log.1", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "Z first\n"));
	ck_assert_ptr_nonnull(strstr(text, "Z second\n"));
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_file_that_cannot_be_reopened_stays_in_use)
{
	int dir = unit_dir_open();
	struct log log;
	char path[64], text[256];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/log", dir);
	log_init(&log, -1, LOG_LEVEL_INFO);
	MUST(log_file(&log, path) == 0);
	strcpy(log.file, "no/such");
	ck_assert_int_eq(log_reopen(&log), -ENOENT);
	log_line(&log, LOG_LEVEL_INFO, "still here");
	read_text(dir, "log", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "still here"));
	unit_dir_close(dir);
}
END_TEST

/* The link's own directory says nothing of where it leads. */
START_TEST(a_file_behind_a_link_is_reopened_where_that_led)
{
	int dir = unit_dir_open(), away = unit_dir_open(), way = dup(away);
	struct log log;
	char path[64], where[64], text[256];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/log", dir);
	snprintf(where, sizeof(where), "/proc/self/fd/%d/real", way);
	MUST(symlinkat(where, dir, "log") == 0);
	log_init(&log, -1, LOG_LEVEL_INFO);
	ck_assert_int_eq(log_file(&log, path), 0);
	MUST(renameat(away, "real", away, "real.1") == 0);
	/* After chroot the way that it shows leads nowhere. */
	close(way);
	ck_assert_int_eq(log_reopen(&log), 0);
	log_line(&log, LOG_LEVEL_INFO, "again");
	read_text(away, "real", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "Z again\n"));
	/* Another link counts as what it is. */
	MUST(unlinkat(dir, "log", 0) == 0 && symlinkat("other", dir, "log") == 0);
	ck_assert_int_eq(log_reopen(&log), 0);
	log_line(&log, LOG_LEVEL_INFO, "elsewhere");
	read_text(dir, "other", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "Z elsewhere\n"));
	unit_dir_close(dir);
	unit_dir_close(away);
}
END_TEST

/* Root has made it, and may open it no more. */
START_TEST(a_file_that_was_not_renamed_is_left_open)
{
	int dir = unit_dir_open(), fd;
	struct log log;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/log", dir);
	log_init(&log, -1, LOG_LEVEL_INFO);
	MUST(log_file(&log, path) == 0);
	fd = log.fd;
	MUST(fchmod(fd, 0) == 0);
	ck_assert_int_eq(log_reopen(&log), 0);
	ck_assert_int_eq(log.fd, fd);
	ck_assert_int_eq(log_lasts(&log), 0);
	unit_dir_close(dir);
}
END_TEST

/* Lines of growing numbers, from `n` on. */
static void number(struct sink *s, unsigned *n, unsigned many)
{
	for (unsigned i = 0; i < many; i++)
		log_line(&s->log, LOG_LEVEL_INFO, "line %u", (*n)++);
}

/* The reader takes what there is; it must be in order. Returns the number that comes next. */
static unsigned read_numbers(struct sink *s, unsigned next)
{
	char want[64];
	const char *line;

	while ((line = next_line(s)) != NULL) {
		snprintf(want, sizeof(want), "line %u", next);
		ck_assert_str_eq(line, want);
		next++;
	}
	return next;
}

START_TEST(lines_wait_for_a_slow_reader)
{
	struct log_backlog backlog = {.missing = 0};
	unsigned n = 0, read = 0;
	struct sink s;

	open_sink(&s, LOG_LEVEL_INFO);
	s.log.backlog = &backlog;
	number(&s, &n, 10000);
	read = read_numbers(&s, read);
	ck_assert_uint_lt(read, n);
	while (!log_flush(&s.log))
		read = read_numbers(&s, read);
	number(&s, &n, 1);
	ck_assert_uint_eq(read_numbers(&s, read), n);
	ck_assert_uint_eq(backlog.missing, 0);
	ck_assert_ptr_null(backlog.buf);
}
END_TEST

START_TEST(lines_wait_for_a_slow_syslog)
{
	struct log_backlog backlog = {.missing = 0};
	unsigned n = 0, read = 0;
	char got[256], want[64];
	struct sink s;
	ssize_t len;

	open_sink(&s, LOG_LEVEL_INFO);
	MUST(fcntl(s.in, F_SETFL, O_NONBLOCK) == 0);
	s.log.backlog = &backlog;
	s.log.tag = "in.tftpd";
	number(&s, &n, 2000);
	while (read < n) {
		len = recv(s.out, got, sizeof(got) - 1, MSG_DONTWAIT);
		if (len < 0) {
			MUST(backlog.buf != NULL);
			log_flush(&s.log);
			continue;
		}
		got[len] = '\0';
		snprintf(want, sizeof(want), "<30>in.tftpd[%d]: line %u", (int)getpid(), read++);
		ck_assert_str_eq(got, want);
	}
	ck_assert_uint_eq(backlog.missing, 0);
}
END_TEST

/* One that takes a line now and then: waiting for each would take longer than this test may. */
START_TEST(a_slow_reader_holds_up_nobody)
{
	struct log_backlog backlog = {.missing = 0};
	struct sink s;
	unsigned n = 0;

	open_sink(&s, LOG_LEVEL_INFO);
	s.log.backlog = &backlog;
	number(&s, &n, 1000);
	for (int i = 0; i < 5000; i++) {
		MUST(next_line(&s) != NULL);
		number(&s, &n, 10);
	}
	log_forget(&s.log);
}
END_TEST

static unsigned told;

static void tell(struct log_backlog *b)
{
	(void)b;
	told++;
}

START_TEST(the_first_line_that_waits_is_told)
{
	struct log_backlog backlog = {.waits = tell};
	unsigned n = 0, read = 0;
	struct sink s;

	open_sink(&s, LOG_LEVEL_INFO);
	s.log.backlog = &backlog;
	number(&s, &n, 1);
	ck_assert_uint_eq(told, 0);
	number(&s, &n, 10000);
	ck_assert_uint_eq(told, 1);
	while (!log_flush(&s.log))
		read = read_numbers(&s, read);
	read = read_numbers(&s, read);
	number(&s, &n, 10000);
	ck_assert_uint_eq(told, 2);
	log_forget(&s.log);
	ck_assert_ptr_null(backlog.buf);
}
END_TEST

/* There is an end to it: then lines are left out, all in one place, and counted. */
START_TEST(what_nobody_reads_is_counted)
{
	struct log_backlog backlog = {.missing = 0};
	unsigned n = 0, read = 0;
	char want[64];
	struct sink s;

	open_sink(&s, LOG_LEVEL_INFO);
	s.log.backlog = &backlog;
	while (backlog.missing < 10)
		number(&s, &n, 1);
	while (read < n - 10) {
		const char *line = next_line(&s);

		if (line == NULL) {
			log_flush(&s.log);
			continue;
		}
		snprintf(want, sizeof(want), "line %u", read++);
		MUST(strcmp(line, want) == 0);
	}
	log_flush(&s.log);
	snprintf(want, sizeof(want), "%d lines are missing here: they could not be written", 10);
	ck_assert_str_eq(next_line(&s), want);
	number(&s, &n, 1);
	ck_assert_uint_eq(read_numbers(&s, n - 1), n);
	ck_assert_uint_eq(backlog.missing, 0);
}
END_TEST

/* A reader that goes on, but too slowly for what comes: long gaps rather than one at each line. */
START_TEST(gaps_are_few)
{
	struct log_backlog backlog = {.missing = 0};
	unsigned n = 0, gaps = 0;
	const char *line;
	struct sink s;

	open_sink(&s, LOG_LEVEL_INFO);
	s.log.backlog = &backlog;
	for (int i = 0; i < 30000; i++) {
		number(&s, &n, 5);
		line = next_line(&s);
		gaps += line != NULL && strstr(line, "missing") != NULL;
	}
	ck_assert_uint_le(gaps, 3);
	ck_assert_uint_gt(backlog.missing + gaps, 0);
	log_forget(&s.log);
}
END_TEST

START_TEST(a_reader_that_has_gone_is_not_waited_for)
{
	struct log_backlog backlog = {.missing = 0};
	struct sink s;
	unsigned n = 0;

	signal(SIGPIPE, SIG_IGN);
	open_sink(&s, LOG_LEVEL_INFO);
	s.log.backlog = &backlog;
	number(&s, &n, 1000);
	close(s.out);
	for (unsigned i = 0; i < n && !log_flush(&s.log); i++)
		;
	ck_assert(log_flush(&s.log));
	ck_assert_uint_gt(backlog.missing, 0);
	ck_assert_ptr_null(backlog.buf);
}
END_TEST

/* As on a full disk. */
START_TEST(a_line_that_was_cut_spoils_no_other)
{
	struct log_backlog backlog = {.missing = 0};
	struct rlimit all, few;
	int dir = unit_dir_open();
	struct log log;
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/log", dir);
	log_init(&log, -1, LOG_LEVEL_INFO);
	MUST(log_file(&log, path) == 0);
	log.backlog = &backlog;
	log.clock = false;
	signal(SIGXFSZ, SIG_IGN);
	MUST(getrlimit(RLIMIT_FSIZE, &all) == 0);
	few = all;
	few.rlim_cur = 16;
	MUST(setrlimit(RLIMIT_FSIZE, &few) == 0);
	log_line(&log, LOG_LEVEL_INFO, "a whole one");
	log_line(&log, LOG_LEVEL_INFO, "and a half");
	log_line(&log, LOG_LEVEL_INFO, "and none");
	MUST(setrlimit(RLIMIT_FSIZE, &all) == 0);
	log_line(&log, LOG_LEVEL_INFO, "again");
	read_text(dir, "log", text, sizeof(text));
	ck_assert_str_eq(text, "a whole one\nand \n2 lines are missing here: they could not be written\nagain\n");
	unit_dir_close(dir);
}
END_TEST

START_TEST(times_are_added_where_nobody_else_does)
{
	struct sink s;

	open_sink(&s, LOG_LEVEL_INFO);
	log_set_format(&s.log, LOG_FORMAT_JSON);
	log_line(&s.log, LOG_LEVEL_INFO, "x");
	ck_assert_ptr_nonnull(strstr(next_line(&s), "{\"time\":\"20"));
	s.log.journal = true;
	log_set_format(&s.log, LOG_FORMAT_JSON);
	log_line(&s.log, LOG_LEVEL_INFO, "x");
	ck_assert_ptr_null(strstr(next_line(&s), "time"));
	s.log.journal = false;
	log_set_format(&s.log, LOG_FORMAT_TEXT);
	log_line(&s.log, LOG_LEVEL_INFO, "x");
	ck_assert_str_eq(next_line(&s), "x");
}
END_TEST

UNIT_MAIN("log", plain_words_stay_as_they_are, controls_quotes_and_backslashes_are_escaped, valid_utf8_is_kept,
    invalid_utf8_is_escaped, eight_bit_controls_are_escaped, every_capacity_holds_a_prefix,
    lines_above_the_level_are_dropped, events_above_the_level_are_dropped, no_descriptor_is_nowhere,
    an_event_is_words_and_fields_in_one_write, values_are_quoted_where_they_must_be, bytes_may_hold_nuls,
    a_line_cannot_be_forged_through_a_sentence, endless_values_leave_one_whole_line, fields_can_be_logfmt,
    fields_can_be_json, a_json_line_is_always_an_object, the_journal_is_told_the_level,
    the_journal_is_known_by_its_stream, syslog_gets_facility_level_and_tag_without_a_newline,
    a_file_is_reopened_by_its_name, a_file_that_cannot_be_reopened_stays_in_use,
    a_file_behind_a_link_is_reopened_where_that_led, a_file_that_was_not_renamed_is_left_open,
    lines_wait_for_a_slow_reader, lines_wait_for_a_slow_syslog, a_slow_reader_holds_up_nobody, the_first_line_that_waits_is_told,
    what_nobody_reads_is_counted, gaps_are_few, a_reader_that_has_gone_is_not_waited_for,
    a_line_that_was_cut_spoils_no_other, times_are_added_where_nobody_else_does)
