/* The sockets on which requests arrive. */
#ifndef LISTEN_H
#define LISTEN_H

#include "server.h"

/*
 * Take over the sockets that inetd or systemd passed; or open every address of the configuration, or all addresses of
 * both families where it names none. What this machine does not have (a family), or does not have yet (an address, an
 * interface), is left out with a warning, and tried again (opener_start). Returns 0, or -1 with a sentence in `error`
 * where nothing at all can be served and time is not likely to change that.
 */
int listen_open(struct server *s, char error[CONFIG_ERROR_MAX]);
void listen_close(struct server *s);

/*
 * For the opener. In its process: open what is missing of address i, and pass it on; 0 if nothing is any more. In the
 * server: serve a socket that it has opened; the descriptor is taken over. And what the user calls address i.
 */
int listen_again(struct server *s, int i);
void listen_take(struct server *s, int fd, const char *device);
const char *listen_name(const struct server *s, int i);

/*
 * An interface that was removed and made anew, as ifdown and ifup do with a VLAN, has the name but not the socket: open
 * another where we still may. One that cannot be had now is tried again with the next call, unless that could never
 * help. To be called now and then, if listen_watches. False: there is nothing left that could be heard.
 */
bool listen_watches(const struct server *s);
bool listen_watch(struct server *s);

/* In a child that serves nobody: close the sockets, and nothing else. */
void listen_forget(const struct server *s);

/*
 * Whether every address of the configuration can be understood. Returns 0 or a status and a sentence in `error`. `note`
 * is one about a port that whoever asks may not have, or "": somebody else may be who starts the server.
 */
int listen_check(const struct config *c, char note[CONFIG_ERROR_MAX], char error[CONFIG_ERROR_MAX]);

/* "0.0.0.0:69 and [::]:69", for people. Returns buf. */
const char *listen_describe(const struct server *s, char *buf, size_t cap);

#endif
