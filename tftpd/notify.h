/*
 * What the service manager is told: ready, reloading, stopping, how much there is to do, and that we are alive. The
 * protocol of sd_notify(3), which is a datagram with lines; no library. Without a manager nothing happens.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "loop.h"

#include <stdbool.h>
#include <stddef.h>

struct notify {
	struct loop *loop;
	int fd;                           /* connected to NOTIFY_SOCKET, -1: nobody wants to know */
	mono_t interval;                  /* between two signs of life, MONO_NEVER: none are asked for */
	struct loop_timer alive, status;
	size_t running;                   /* transfers */
	char what[256];                   /* what is served and where */
};

/*
 * Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Call it while the socket's path can still be reached. Returns 0 or
 * -errno: there is a manager, but it cannot be told; that is worth a warning, not more.
 */
int notify_init(struct notify *n, struct loop *loop);
void notify_free(struct notify *n);

/* Requests are answered from now on. `what` is for people: "serving /srv/tftp on [::]:69". */
void notify_ready(struct notify *n, const char *what, mono_t now);

/* Files are being read again; call notify_ready afterwards. */
void notify_reloading(struct notify *n, mono_t now);

void notify_stopping(struct notify *n);

/* So many transfers run. Told a second later at most once a second. */
void notify_running(struct notify *n, size_t running, mono_t now);

#endif
