/* Opening the log, waiting for who reads it, and summing up what network boots do by the dozen. */
#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

bool logs_to_stderr(const struct config *c)
{
	if (c->log != NULL)
		return strcmp(c->log, "stderr") == 0;
	return c->to_stderr || !config_background(c);
}

bool logs_to_file(const struct config *c)
{
	return c->log != NULL && strcmp(c->log, "stderr") != 0 && strcmp(c->log, "syslog") != 0;
}

/*
 * A terminal that takes the beginning of a line would have us wait for room for the rest, as long as nobody reads what
 * is behind it (ssh, screen). Opened anew it says so instead; who shares ours with us, the shell, notices nothing.
 */
static int standard_error(void)
{
	int fd = isatty(STDERR_FILENO) ? open("/proc/self/fd/2", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;

	return fd >= 0 ? fd : STDERR_FILENO;
}

int logs_open(struct log *l, const struct config *c, char error[CONFIG_ERROR_MAX])
{
	int err = 0;

	log_init(l, logs_to_stderr(c) ? standard_error() : STDERR_FILENO, c->level);
	/* In the background there is nobody to read standard error; syslog's socket must be had before chroot. */
	if (logs_to_stderr(c))
		log_journal(l);
	else if (c->log == NULL || strcmp(c->log, "syslog") == 0)
		err = log_syslog(l, c->program);
	else if (c->log != NULL)
		err = log_file(l, c->log);
	/* As with tftp-hpa that is no reason not to serve; but whoever starts us is still there to be told. */
	if (err != 0 && c->log == NULL) {
		log_line(l, LOG_LEVEL_WARNING, "%s: nothing will be logged, there is no syslog: %s (see --log)", c->program,
		    strerror(-err));
		l->fd = -1;
		err = 0;
	}
	log_set_format(l, c->log_format);
	if (err == 0)
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "cannot log to \"%.160s\": %s", c->log, strerror(-err));
	return EX_CANTCREAT;
}

const char *logs_trouble(const struct log *l, const struct config *c, char text[LOGS_TROUBLE_MAX])
{
	int err = log_lasts(l);

	if (err == 0)
		return NULL;
	snprintf(text, LOGS_TROUBLE_MAX,
	    "uid %u cannot open the log file \"%.200s\" anew once it is renamed: %s (chown its directory, or rotate it by "
	    "copytruncate)", (unsigned)geteuid(), c->log, strerror(-err));
	return text;
}

void logs_sum_up(struct logs *g)
{
	struct log_event e;

	if (g->misses == 0 && g->probes == 0)
		return;
	log_begin(&e, g->log, LOG_LEVEL_INFO, "not logged");
	log_u64(&e, "misses", g->misses);
	log_u64(&e, "probes", g->probes);
	log_text(&e, "reason", "clients asked for more files that do not exist, or only for a size; --verbose shows each");
	log_end(&e);
	g->misses = g->probes = 0;
}

static void period_over(struct loop_timer *t, mono_t now)
{
	struct logs *g = (struct logs *)((char *)t - offsetof(struct logs, period));

	(void)now;
	logs_sum_up(g);
	memset(g->clients, 0, sizeof(g->clients));
}

static void reader_ready(struct loop_fd *io, short revents, mono_t now)
{
	struct logs *g = (struct logs *)((char *)io - offsetof(struct logs, reader));

	(void)revents;
	(void)now;
	if (log_flush(g->log))
		loop_fd_del(g->loop, io);
}

/* Without memory for that, the next line tries it. */
static void line_waits(struct log_backlog *b)
{
	struct logs *g = (struct logs *)((char *)b - offsetof(struct logs, backlog));

	loop_fd_del(g->loop, &g->reader);
	loop_fd_add(g->loop, &g->reader, g->log->fd, POLLOUT, reader_ready);
}

void logs_init(struct logs *g, struct loop *loop, struct log *log)
{
	memset(g, 0, sizeof(*g));
	g->loop = loop;
	g->log = log;
	g->backlog.waits = line_waits;
	g->reader.index = LOOP_UNSET;
	log->backlog = &g->backlog;
	loop_timer_init(&g->period, period_over);
}

/* How long the end may wait for who reads the log. */
#define PATIENCE MONO_SEC

void logs_free(struct logs *g)
{
	mono_t until = mono_now() + PATIENCE, now;
	struct pollfd p = {.events = POLLOUT};

	if (g->log == NULL)
		return;
	p.fd = g->log->fd;
	loop_fd_del(g->loop, &g->reader);
	g->backlog.waits = NULL;
	while (!log_flush(g->log) && (now = mono_now()) < until)
		poll(&p, 1, 1 + (int)((until - now) / MONO_MS));
	log_forget(g->log);
}

/* With -v everything has a line, and nothing needs summing up. */
static enum log_level left_out(struct logs *g, uint64_t *count)
{
	if (g->log->level < LOG_LEVEL_DEBUG)
		++*count;
	return LOG_LEVEL_DEBUG;
}

static void begin_period(struct logs *g, mono_t now)
{
	if (g->period.index == LOOP_UNSET)
		loop_timer_set(g->loop, &g->period, now + LOGS_PERIOD);
}

static size_t place(const struct addr *peer, struct addr *host)
{
	*host = *peer;
	addr_set_port(host, 0);
	return addr_hash(host, 0) % LOGS_CLIENTS;
}

void logs_served(struct logs *g, const struct addr *peer)
{
	struct addr host;
	size_t at = place(peer, &host);

	if (g->clients[at].misses == LOGS_MISSES && addr_same_host(&g->clients[at].host, &host))
		g->clients[at].misses--;
}

enum log_level logs_missed(struct logs *g, const struct addr *peer, mono_t now)
{
	struct addr host;
	size_t at = place(peer, &host);

	begin_period(g, now);
	if (!addr_same_host(&g->clients[at].host, &host)) {
		g->clients[at].host = host;
		g->clients[at].misses = 0;
	}
	if (g->clients[at].misses < LOGS_MISSES) {
		g->clients[at].misses++;
		return LOG_LEVEL_INFO;
	}
	return left_out(g, &g->misses);
}

enum log_level logs_probed(struct logs *g, mono_t now)
{
	begin_period(g, now);
	return left_out(g, &g->probes);
}
