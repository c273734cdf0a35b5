/*
 * The progress line: name, bar, percent, bytes, rate, time left. What does not fit is left out from the least important
 * on, so that the line is never wrapped; numbers keep their columns, so that it does not tremble.
 */
#include "progress.h"

#include "log.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_MIN 10
#define BAR_MAX 30
#define NAME_MIN 8

void progress_bytes(char buf[16], double bytes)
{
	static const char units[] = "kMGTPE";
	int unit = -1;

	while (bytes >= 999.5 && unit < 5) {
		bytes /= 1000;
		unit++;
	}
	if (unit < 0)
		snprintf(buf, 16, "%.0f B", bytes);
	else
		snprintf(buf, 16, "%.*f %cB", bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0, bytes, units[unit]);
}

void progress_time(char buf[16], double seconds)
{
	unsigned s = seconds < 359999 ? (unsigned)(seconds + 0.5) : 359999;

	if (s >= 3600)
		snprintf(buf, 16, "%u:%02u:%02u", s / 3600 % 100, s / 60 % 60, s % 60);
	else
		snprintf(buf, 16, "%u:%02u", s / 60, s % 60);
}

/* The line. */

/*
 * What takes two columns on a terminal: East Asian scripts, full forms, emoji. In whole blocks, and rather too many:
 * the C library knows better, but only in a locale.
 */
static bool is_wide(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} blocks[] = {{0x1100, 0x115f}, {0x2300, 0x2bff}, {0x2e80, 0xa4cf}, {0xa960, 0xa97f}, {0xac00, 0xd7a3},
	    {0xf900, 0xfaff}, {0xfe10, 0xfe6f}, {0xff01, 0xff60}, {0xffe0, 0xffe6}, {0x16fe0, 0x1b2ff}, {0x1d300, 0x1d37f},
	    {0x1f000, 0x3fffd}};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		if (c >= blocks[i].first && c <= blocks[i].last)
			return true;
	return false;
}

/* The character at s, of UTF-8 as log_safe lets it through: its bytes and its columns. */
static size_t character(const char *s, size_t *cols)
{
	size_t n = 1;
	uint32_t c = (unsigned char)*s;

	if (c >= 0xc0)
		c &= c >= 0xf0 ? 0x07 : c >= 0xe0 ? 0x0f : 0x1f;
	for (; ((unsigned char)s[n] & 0xc0) == 0x80; n++)
		c = c << 6 | ((unsigned char)s[n] & 0x3f);
	*cols = is_wide(c) ? 2 : 1;
	return n;
}

static size_t columns(const char *s)
{
	size_t n = 0, cols;

	for (; *s != '\0'; n += cols)
		s += character(s, &cols);
	return n;
}

/* Cut to `most` columns, at a character, with a mark that something is missing. */
static void cut(char *s, size_t most)
{
	size_t n = 0, cols, len;

	if (columns(s) <= most)
		return;
	for (len = character(s, &cols); n + cols + 1 <= most; len = character(s, &cols)) {
		n += cols;
		s += len;
	}
	strcpy(s, most > 0 ? "~" : "");
}

static void what(char *buf, size_t cap, const struct client_state *state)
{
	const char *slash;
	size_t n;

	if (state->jobs > 1 && state->running != 1)
		n = (size_t)snprintf(buf, cap, "%zu of %zu files", state->done, state->jobs);
	else if (state->jobs > 1)
		n = (size_t)snprintf(buf, cap, "%zu/%zu ", state->done + 1, state->jobs);
	else
		n = 0;
	if (state->job == NULL || (state->jobs > 1 && state->running != 1))
		return;
	slash = strrchr(state->job->remote, '/');
	slash = slash != NULL && slash[1] != '\0' ? slash + 1 : state->job->remote;
	log_safe(buf + n, cap - n, slash, strlen(slash));
}

static int percent(const struct client_state *state)
{
	if (state->expected == UINT64_MAX || state->running == 0)
		return -1;
	if (state->expected == 0 || state->bytes >= state->expected)
		return 100;
	return (int)((double)state->bytes * 100 / (double)state->expected);
}

static void bar(char *buf, size_t n, int done)
{
	size_t full = n * (size_t)done / 100;

	buf[0] = '[';
	for (size_t i = 0; i < n; i++)
		buf[1 + i] = i < full ? '=' : i == full ? '>' : ' ';
	memcpy(buf + 1 + n, "]", 2);
}

size_t progress_line(char *buf, size_t cap, size_t width, const struct client_state *state, double rate)
{
	char name[128] = "", size[16], speed[16], left[16] = "", numbers[96] = "", graph[BAR_MAX + 3] = "";
	int done = percent(state);
	size_t room;

	if (width > cap - 1)
		width = cap - 1;
	what(name, sizeof(name), state);
	progress_bytes(size, (double)(state->bytes + (state->jobs > 1 ? state->finished : 0)));
	progress_bytes(speed, rate);
	if (rate > 0 && done >= 0 && state->expected > state->bytes)
		progress_time(left, (double)(state->expected - state->bytes) / rate);
	/* From all of it down to the percentage alone. */
	for (int detail = 4; detail >= 0; detail--) {
		size_t n = 0;

		numbers[0] = '\0';
		if (done >= 0)
			n += (size_t)snprintf(numbers + n, sizeof(numbers) - n, " %3d%%", done);
		if (detail >= 2 || done < 0)
			n += (size_t)snprintf(numbers + n, sizeof(numbers) - n, " %8s", size);
		if (detail >= 3)
			n += (size_t)snprintf(numbers + n, sizeof(numbers) - n, " %8s/s", speed);
		if (detail >= 4 && done >= 0)
			snprintf(numbers + n, sizeof(numbers) - n, " %7s", left);
		if (strlen(numbers) + (detail > 0 ? NAME_MIN : 0) <= width)
			break;
	}
	if (strlen(numbers) > width)
		numbers[0] = '\0';
	room = width - strlen(numbers);
	if (done >= 0 && room >= columns(name) + BAR_MIN + 3) {
		size_t n = room - columns(name) - 3;

		bar(graph, n < BAR_MAX ? n : BAR_MAX, done);
		room -= strlen(graph) + 1;
	}
	cut(name, room);
	snprintf(buf, cap, "%s%s%s%s", name, *graph != '\0' ? " " : "", graph, numbers);
	return columns(buf);
}

/* Drawing. */

void progress_init(struct progress *p, int fd)
{
	*p = (struct progress){.fd = fd};
}

/* A terminal that does not know its width is 80 wide; the last column stays free, or some terminals wrap. */
static size_t terminal_width(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return 79;
	return size.ws_col - 1u;
}

static void put(int fd, const char *s, size_t len)
{
	ssize_t n = write(fd, s, len);

	(void)n; /* who cannot see it does not miss it */
}

/* The last few seconds count most. */
static void measure(struct progress *p, const struct client_state *state)
{
	uint64_t bytes = state->bytes + state->finished;
	double seconds = (double)(state->elapsed - p->last) / MONO_SEC, now;

	if (state->elapsed < p->last || bytes < p->last_bytes) {
		p->last = state->elapsed;
		p->last_bytes = bytes;
		p->rate = 0;
		return;
	}
	if (seconds <= 0)
		return;
	now = (double)(bytes - p->last_bytes) / seconds;
	p->rate = p->rate > 0 ? p->rate * 0.8 + now * 0.2 : now;
	p->last = state->elapsed;
	p->last_bytes = bytes;
}

void progress_draw(struct progress *p, const struct client_state *state)
{
	char line[512], out[540];
	int n;

	measure(p, state);
	if (state->running == 0)
		return;
	progress_line(line, sizeof(line), terminal_width(p->fd), state, p->rate);
	/* To the left edge, the line, and clear what was longer. */
	n = snprintf(out, sizeof(out), "\r%s\x1b[K", line);
	put(p->fd, out, (size_t)n);
	p->shown = true;
}

void progress_clear(struct progress *p)
{
	if (p->shown)
		put(p->fd, "\r\x1b[K", 4);
	p->shown = false;
}
