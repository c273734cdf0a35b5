/*
 * The packet codec: bytes from the wire to a view, values to bytes (RFC 1350 section 5, RFC 2347).
 *
 * Decoding allocates nothing and copies nothing: a struct packet points into the caller's datagram and lives as long as
 * it does. What a packet means is not decided here.
 */
#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packet_op {
	PACKET_RRQ = 1,
	PACKET_WRQ = 2,
	PACKET_DATA = 3,
	PACKET_ACK = 4,
	PACKET_ERROR = 5,
	PACKET_OACK = 6,
};

/* Error codes on the wire: RFC 1350 appendix, RFC 2347 for 8. */
enum packet_error {
	ERROR_UNDEFINED = 0,
	ERROR_NOT_FOUND = 1,
	ERROR_ACCESS = 2,
	ERROR_DISK_FULL = 3,
	ERROR_ILLEGAL = 4,
	ERROR_UNKNOWN_TID = 5,
	ERROR_EXISTS = 6,
	ERROR_NO_USER = 7,
	ERROR_OPTION = 8,
};

/* Why a datagram is not a packet. */
enum packet_fault {
	PACKET_OK = 0,
	PACKET_SHORT = -1,        /* ends before the fields its opcode needs */
	PACKET_BAD_OP = -2,       /* no such opcode */
	PACKET_UNTERMINATED = -3, /* a string without its NUL */
	PACKET_ODD_OPTION = -4,   /* an option name without a value */
};

#define PACKET_HEADER 4       /* opcode and block number of DATA and ACK */
#define PACKET_BLKSIZE 512u   /* the block size without an option, RFC 1350 */
#define PACKET_TEXT_MAX 128   /* our own ERROR texts are cut to this, NUL included */
#define PACKET_MAX 65507      /* the largest UDP payload over IPv4 */

struct packet {
	enum packet_op op;
	uint16_t block;       /* DATA, ACK */
	uint16_t code;        /* ERROR */
	const uint8_t *data;  /* DATA: the payload, not NULL */
	size_t len;           /* DATA: its bytes; ERROR: the text's bytes */
	const char *text;     /* ERROR: `len` bytes, not NUL-terminated, not to be trusted */
	const char *name;     /* RRQ, WRQ: NUL-terminated, may be empty, any bytes */
	const char *mode;     /* RRQ, WRQ: NUL-terminated */
	const char *options;  /* RRQ, WRQ, OACK: name NUL value NUL ..., read with packet_option() */
	size_t options_len;
};

/*
 * Decode one datagram. Returns PACKET_OK, or a packet_fault; on a fault *p holds the opcode if there was one (0 if not)
 * and nothing else. Bytes after the last field of an ACK are ignored, and so are NULs after the last option: real
 * clients pad. An ERROR needs no NUL after its text, old servers leave it out.
 */
int packet_decode(struct packet *p, const void *buf, size_t len);

/* Words for a packet_fault, for a log line or an ERROR text. */
const char *packet_fault_text(int fault);

/*
 * Step through the options of a decoded packet. Set *at to 0 first; true and both strings (NUL-terminated, inside the
 * datagram) for each, false at the end. RFC 2347.
 */
bool packet_option(const struct packet *p, size_t *at, const char **name, const char **value);

/*
 * A cursor that writes a packet. Once something does not fit, `full` stays set and nothing more is written, so callers
 * check once, at the end. `len` is what was written so far.
 */
struct packet_writer {
	uint8_t *buf;
	size_t cap;
	size_t len;
	bool full;
};

void packet_write(struct packet_writer *w, uint8_t *buf, size_t cap);
void packet_write_u16(struct packet_writer *w, uint16_t value);
void packet_write_string(struct packet_writer *w, const char *s); /* the string and its NUL */
void packet_write_option(struct packet_writer *w, const char *name, uint64_t value);

/* Whole packets. Each returns the length written, or 0 if it does not fit in `cap`. */
size_t packet_ack(uint8_t *buf, size_t cap, uint16_t block);
size_t packet_error(uint8_t *buf, size_t cap, uint16_t code, const char *text);

/* The first four bytes of a DATA packet, in place before its payload. */
static inline void packet_data_header(uint8_t *buf, uint16_t block)
{
	buf[0] = 0;
	buf[1] = PACKET_DATA;
	buf[2] = (uint8_t)(block >> 8);
	buf[3] = (uint8_t)(block & 0xff);
}

/* The standard words for an error code (RFC 1350 appendix), never NULL. */
const char *packet_error_text(uint16_t code);

#endif
