/*
 * What init scripts expect of a server: that it goes into the background once it is ready, and that a file holds its
 * process id for as long as it runs. Not what systemd expects: that is notify.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "server.h"

#include <stdbool.h>

/* What is needed after privileges and the old root directory are gone. */
struct daemon {
	bool detach;
	int ready;       /* pipe to the parent, which waits until all is well; -1: none */
	int pidfile;     /* open, to be written once the pid is known, and read before we remove it; -1: none */
	int keeper;      /* pipe to who removes it, see keep_pidfile; -1: we can */
	int piddir;      /* then: the directory it is in; else -1 */
};

/* No pid file, and in the foreground unless `detach`. */
#define DAEMON_INIT(d) ((struct daemon){.detach = (d), .ready = -1, .pidfile = -1, .keeper = -1, .piddir = -1})

/*
 * Open the pid file of the configuration, if it has one, before there is another root directory or another user. With
 * `keeper` we will not be able to remove it ourselves. Returns 0 or a sysexits.h status and a sentence.
 */
int daemon_open_pidfile(struct daemon *d, const struct server *s, bool keeper, char error[CONFIG_ERROR_MAX]);
void daemon_write_pid(struct daemon *d);
void daemon_remove_pidfile(const struct daemon *d, const struct config *c);

/*
 * Go on in a child, without a terminal and in "/". The parent stays until the child says that all is well, so that
 * whoever started us learns of a failure, then ends. Returns 0 or -errno.
 */
int daemon_detach(struct daemon *d);

/* All is well: the parent may end. */
void daemon_ready(struct daemon *d, const struct config *c);

#endif
