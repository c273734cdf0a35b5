/*
 * One RRQ or WRQ: is it a repetition, may it be served, by whom. Then get.c or put.c takes it.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "server.h"

/* A request on its way, so that the rooms it passes need not be told everything again. */
struct request {
	struct server *server;
	struct endpoint *listener;
	const struct udp_datagram *datagram;
	const struct packet *packet;
	bool write, text;
	mono_t now;
};

/* What a listening endpoint does with a packet from outside any session. */
endpoint_stranger request_arrived;

/* What a transfer's own port does with one: ERROR 5, but nothing to those who are told nothing at all (--deny). */
endpoint_stranger request_stranger;

/* A request that had to wait for a place: there is room now, or it has waited for as long as one may. */
void request_waited(struct server *s, struct endpoint *e, const struct udp_datagram *d, bool room, mono_t now);

/* One for which there was not even a place to wait. */
void request_log_dropped(struct server *s, const struct udp_datagram *d);

/* Refuse: the peer is told `text`, the log also `detail` (NULL: nothing more to say). */
void request_refuse(const struct request *r, uint16_t code, const char *text, const char *detail);

/* The same for a file that cannot be opened: -errno or PATH_*. And for a transfer that job_start could not start. */
void request_refuse_open(const struct request *r, int err);
void request_refuse_start(const struct request *r, int err);

/*
 * The same where names_find refused. `f` is what it said; a name that was not found is logged with one that comes near.
 */
void request_refuse_name(const struct request *r, int err, const struct names_found *f);

/* Log that a name was found by more than the rules, and each step that led there where the log is that verbose. */
void request_log_name(const struct request *r, const struct names_found *f);
void request_note(void *request, const char *what, const char *text);

/* The handlers: open the file, agree on options, start the transfer, or refuse. */
void get_begin(const struct request *r);
void put_begin(const struct request *r);

/*
 * Uploads wait for the disk in threads of their own, which also remove what an earlier server left unfinished. To be
 * called after the last fork and setuid; 0 or -errno. put_stop waits for uploads that are being brought to disk.
 */
int put_start(struct server *s);
void put_stop(struct server *s);

#endif
