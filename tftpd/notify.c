/* sd_notify by hand. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A lost message is lost: a manager that does not read must not hold up the service. */
static void tell(const struct notify *n, const char *text, int len)
{
	ssize_t sent;

	if (n->fd < 0)
		return;
	sent = send(n->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)sent;
}

static int status_text(const struct notify *n, char *text, size_t cap, const char *first)
{
	int len = snprintf(text, cap, "%sSTATUS=%s, %zu transfer%s\n", first, n->what, n->running, n->running == 1 ? "" : "s");

	return (size_t)len < cap ? len : (int)cap - 1;
}

static void status_due(struct loop_timer *t, mono_t now)
{
	struct notify *n = (struct notify *)((char *)t - offsetof(struct notify, status));
	char text[512];

	(void)now;
	tell(n, text, status_text(n, text, sizeof(text), ""));
}

static void alive_due(struct loop_timer *t, mono_t now)
{
	struct notify *n = (struct notify *)((char *)t - offsetof(struct notify, alive));

	tell(n, "WATCHDOG=1\n", 11);
	loop_timer_set(n->loop, t, now + n->interval);
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd, err;

	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(addr.sun_path))
		return -EAFNOSUPPORT;
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Signs of life are wanted from the process that WATCHDOG_PID names; two in each interval. */
static mono_t watchdog_interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	unsigned long long n = usec != NULL ? strtoull(usec, NULL, 10) : 0;

	if (n == 0 || n > (unsigned long long)(MONO_NEVER / 1000))
		return MONO_NEVER;
	if (pid != NULL && strtoul(pid, NULL, 10) != (unsigned long)getpid())
		return MONO_NEVER;
	return (mono_t)n * 1000 / 2;
}

int notify_init(struct notify *n, struct loop *loop)
{
	const char *path = getenv("NOTIFY_SOCKET");
	int fd;

	memset(n, 0, sizeof(*n));
	n->loop = loop;
	n->fd = -1;
	n->interval = MONO_NEVER;
	loop_timer_init(&n->alive, alive_due);
	loop_timer_init(&n->status, status_due);
	if (path == NULL)
		return 0;
	fd = connect_to(path);
	if (fd < 0)
		return fd;
	n->fd = fd;
	n->interval = watchdog_interval();
	return 0;
}

void notify_free(struct notify *n)
{
	if (n->fd < 0)
		return;
	loop_timer_clear(n->loop, &n->alive);
	loop_timer_clear(n->loop, &n->status);
	close(n->fd);
	n->fd = -1;
}

void notify_ready(struct notify *n, const char *what, mono_t now)
{
	char text[512];

	if (n->fd < 0)
		return;
	if (what != n->what)
		snprintf(n->what, sizeof(n->what), "%s", what);
	tell(n, text, status_text(n, text, sizeof(text), "READY=1\n"));
	if (n->interval != MONO_NEVER)
		loop_timer_set(n->loop, &n->alive, now + n->interval);
}

void notify_reloading(struct notify *n, mono_t now)
{
	char text[64];

	tell(n, text, snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld\n", (long long)(now / 1000)));
}

void notify_stopping(struct notify *n)
{
	char text[96];

	tell(n, text, snprintf(text, sizeof(text), "STOPPING=1\nSTATUS=stopping, %zu transfer%s still running\n", n->running,
	    n->running == 1 ? "" : "s"));
}

void notify_running(struct notify *n, size_t running, mono_t now)
{
	n->running = running;
	if (n->fd >= 0 && n->status.index == LOOP_UNSET)
		loop_timer_set(n->loop, &n->status, now + MONO_SEC);
}
