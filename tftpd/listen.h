/* The sockets on which requests arrive. */
#ifndef LISTEN_H
#define LISTEN_H

#include "server.h"

/*
 * Take over the sockets that inetd or systemd passed; or open every address of the configuration, or all addresses of
 * both families where it names none. What this machine does not have (a family), or does not have yet (an address, an
 * interface), is left out with a warning, and tried again. Returns 0, or -1 with a sentence in `error` where nothing at
 * all can be served.
 */
int listen_open(struct server *s, char error[CONFIG_ERROR_MAX]);
void listen_close(struct server *s);

/* In a child that serves nobody: close the sockets, and nothing else. */
void listen_forget(const struct server *s);

/* Whether every address of the configuration can be understood. Returns 0 or a status and a sentence in `error`. */
int listen_check(const struct config *c, char error[CONFIG_ERROR_MAX]);

/* "0.0.0.0:69 and [::]:69", for people. Returns buf. */
const char *listen_describe(const struct server *s, char *buf, size_t cap);

#endif
