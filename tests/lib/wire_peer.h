/*
 * The other end of a conversation, by hand: a UDP socket of the test's own, packets as raw bytes, and what must come
 * back. Packets are put together here without common/packet.c, so that the codec is tested and not trusted.
 */
#ifndef WIRE_PEER_H
#define WIRE_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * ms: how long an answer that must come may take, on a busy machine and under a sanitizer. CK_TIMEOUT_MULTIPLIER makes it
 * longer, as it does Check's own bounds.
 */
#define WIRE_WAIT wire_wait(30000)
int wire_wait(int ms);
#define WIRE_QUIET 150  /* ms: how long to listen for what must not come */

#define OP_RRQ 1
#define OP_WRQ 2
#define OP_DATA 3
#define OP_ACK 4
#define OP_ERROR 5
#define OP_OACK 6

/*
 * The loopback address of this worker's servers and sockets. Each worker has one of its own: what a server still sends
 * to a client that is gone must not reach a socket of another test that was given the same port.
 */
extern char wire_local[32];

struct wire {
	int fd;
	struct sockaddr_storage peer; /* where packets go */
	struct sockaddr_storage from; /* who sent the last datagram received */
	size_t len;                   /* and its bytes */
	bool again;                   /* it repeats what this socket has had, as the other end's timer does */
	struct {
		bool oack;            /* and neither DATA nor ACK since */
		int data, ack;        /* the newest block, -1: none */
		uint16_t port;        /* of the last request */
		uint64_t request;     /* its hash */
	} had;
	uint8_t buf[65536];
};

/* Open a socket on a free port of `host` (wire_local, "::1"). The second form says where packets go. */
void wire_open(struct wire *w, const char *host);
void wire_dial(struct wire *w, const char *host, uint16_t port);
/* The same on this port; false: somebody has it. */
bool wire_try(struct wire *w, const char *host, uint16_t port);
void wire_close(struct wire *w);
uint16_t wire_port(const struct wire *w);                /* our own */
uint16_t wire_from_port(const struct wire *w);           /* of the last datagram received */
bool wire_from_host(const struct wire *w, const char *host);

/* Packets go from now on to whoever sent the last datagram: its TID. */
void wire_follow(struct wire *w);

/* Whether IPv6 works here at all. */
bool wire_has_v6(void);

/*
 * "name NUL mode NUL option NUL value NUL ..." behind an opcode; the strings end with NULL. Returns the length. Option
 * names and values are passed in turn.
 */
size_t wire_make_request(uint8_t *buf, size_t cap, int op, const char *name, const char *mode, ...)
    __attribute__((sentinel));

void wire_send(struct wire *w, const void *buf, size_t len);
void wire_request(struct wire *w, int op, const char *name, const char *mode, ...) __attribute__((sentinel));
void wire_ack(struct wire *w, unsigned block);
void wire_data(struct wire *w, unsigned block, const void *payload, size_t len);
void wire_error(struct wire *w, unsigned code, const char *text);
void wire_oack(struct wire *w, const char *first, ...) __attribute__((sentinel));

/* One datagram within `ms`, or false. */
bool wire_recv(struct wire *w, int ms);
/* Throw away what has arrived and arrives within `ms` of silence. */
void wire_drain(struct wire *w, int ms);
/* The same with what has arrived, before something new begins that may look the same: none of it counts as a repeat. */
void wire_forget(struct wire *w);
/* The port stays taken and hears nobody: whoever sends there is told "port unreachable", and nobody else can have it. */
void wire_deafen(struct wire *w);

int wire_op(const struct wire *w);         /* of the last datagram received; 0: too short */
unsigned wire_block(const struct wire *w); /* block number or error code */

/*
 * What must come next; otherwise the test fails and says which line wanted it. What is not wanted and a repeat (again),
 * which a slow test provokes, is skipped. The answer's sender becomes the peer where `w` follows it (wire_follow).
 */
#define wire_expect_data(w, block, payload, len) wire_expect_data_at(__FILE__, __LINE__, w, block, payload, len)
#define wire_expect_ack(w, block) wire_expect_ack_at(__FILE__, __LINE__, w, block)
#define wire_expect_error(w, code) wire_expect_error_at(__FILE__, __LINE__, w, code)
#define wire_expect_silence(w) wire_expect_silence_at(__FILE__, __LINE__, w, WIRE_QUIET)
/* The same where it would have come by now. */
#define wire_expect_nothing(w) wire_expect_silence_at(__FILE__, __LINE__, w, 0)
/* The options, byte for byte, as one string literal with its NULs ("blksize\0" "512\0" without the last one). */
#define wire_expect_oack(w, options) wire_expect_oack_at(__FILE__, __LINE__, w, options, sizeof(options))
/* A request; the strings are left in w->buf. Returns the name. The second form: not the last one once more. */
#define wire_expect_request(w, op) wire_expect_request_at(__FILE__, __LINE__, w, op, false)
#define wire_expect_new_request(w, op) wire_expect_request_at(__FILE__, __LINE__, w, op, true)
/* No request has come beyond those that were taken, and repeats of the last one. */
#define wire_expect_no_new_request(w) wire_expect_no_new_request_at(__FILE__, __LINE__, w)

void wire_expect_data_at(const char *file, int line, struct wire *w, unsigned block, const void *payload, size_t len);
void wire_expect_ack_at(const char *file, int line, struct wire *w, unsigned block);
void wire_expect_error_at(const char *file, int line, struct wire *w, int code);
void wire_expect_silence_at(const char *file, int line, struct wire *w, int ms);
void wire_expect_oack_at(const char *file, int line, struct wire *w, const char *options, size_t len);
const char *wire_expect_request_at(const char *file, int line, struct wire *w, int op, bool fresh);
void wire_expect_no_new_request_at(const char *file, int line, struct wire *w);

/* The value of an option in the request or OACK received last, or NULL. */
const char *wire_option(const struct wire *w, const char *name);

/*
 * A whole lockstep read or write over an open `w` whose request has been sent: `data` must come, or is sent, in blocks
 * of `blksize`, from block `first`. Follows the TID.
 */
#define wire_read_rest(w, blksize, data, len) wire_read_rest_at(__FILE__, __LINE__, w, blksize, data, len)
void wire_read_rest_at(const char *file, int line, struct wire *w, size_t blksize, const uint8_t *data, size_t len);
#define wire_write_rest(w, blksize, data, len) wire_write_rest_at(__FILE__, __LINE__, w, blksize, data, len)
void wire_write_rest_at(const char *file, int line, struct wire *w, size_t blksize, const uint8_t *data, size_t len);

/* Bytes that look random and are the same for the same seed; a generator to go with them. */
void wire_fill(uint8_t *buf, size_t len, uint64_t seed);
uint64_t wire_random(uint64_t *state);

#endif
