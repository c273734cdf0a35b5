/* What transfer.c, transfer_send.c and transfer_recv.c share; nobody else includes it. */
#ifndef TRANSFER_INT_H
#define TRANSFER_INT_H

#include "transfer.h"

/* The control packet to send next. A later one replaces an earlier one: an ACK covers those before it. */
enum transfer_want { WANT_NOTHING, WANT_REQUEST, WANT_OACK, WANT_ACK, WANT_ERROR };

/*
 * Whether its answer can be timed: not where the packet repeats an earlier one (Karn), and not where what it asks for
 * may be on its way already (an ACK about a hole).
 */
enum transfer_how { HOW_FRESH, HOW_AGAIN, HOW_UNTIMED };

/* transfer.c */
uint16_t transfer_wire(const struct transfer *t, uint64_t block);
uint32_t transfer_distance(const struct transfer *t, uint64_t from, uint16_t wire);
void transfer_want(struct transfer *t, enum transfer_want want, enum transfer_how how);
void transfer_moved(struct transfer *t, mono_t now);
void transfer_timed(struct transfer *t, mono_t now);
void transfer_start_timing(struct transfer *t, uint64_t block, mono_t now);
void transfer_end(struct transfer *t, enum transfer_outcome outcome, uint16_t code, const char *text, mono_t now);
void transfer_fail(struct transfer *t, uint16_t code, const char *text, mono_t now);
void transfer_fail_store(struct transfer *t, int err, mono_t now);

/* transfer_send.c */
void send_start(struct transfer *t, mono_t now);
void send_packet(struct transfer *t, const struct packet *p, mono_t now);
uint64_t send_limit(const struct transfer *t);
void send_timeout(struct transfer *t, mono_t now);
bool send_pull(struct transfer *t, uint8_t *scratch, size_t cap, struct run *run, mono_t now);
void send_sent(struct transfer *t, size_t n, mono_t now);

/* transfer_recv.c */
void recv_start(struct transfer *t);
void recv_packet(struct transfer *t, const struct packet *p, mono_t now);
bool recv_nudge(struct transfer *t); /* the deadline that passed was an early one: an ACK, which says nothing of the peer */
void recv_timeout(struct transfer *t, mono_t now);
void recv_flush(struct transfer *t, mono_t now);
void recv_finish(struct transfer *t, mono_t now);
void dally_packet(struct transfer *t, const struct packet *p, mono_t now);

#endif
