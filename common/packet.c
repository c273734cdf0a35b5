/* RFC 1350 and 2347 packets. No state, no allocation; what a packet means is decided elsewhere. */
#include "packet.h"

#include <stdio.h>
#include <string.h>

/*
 * Take one NUL-terminated string from buf[*at..len). NULL if it has no end.
 */
static const char *take_string(const uint8_t *buf, size_t len, size_t *at)
{
	const uint8_t *start = buf + *at;
	const uint8_t *end = memchr(start, 0, len - *at);

	if (end == NULL)
		return NULL;
	*at += (size_t)(end - start) + 1;
	return (const char *)start;
}

/* Where the NULs begin that nothing but NULs follow. Asked once for a datagram: it goes through all of it. */
static size_t padding(const uint8_t *buf, size_t len)
{
	while (len > 0 && buf[len - 1] == 0)
		len--;
	return len;
}

/* Check that buf holds name NUL value NUL pairs, so that packet_option() needs no bounds of its own. */
static int take_options(struct packet *p, const uint8_t *buf, size_t len)
{
	size_t at = 0, end = padding(buf, len);

	/* Some firmware sends its whole, zeroed buffer. */
	while (at < end) {
		if (take_string(buf, len, &at) == NULL)
			return PACKET_UNTERMINATED;
		if (at == len)
			return PACKET_ODD_OPTION;
		if (take_string(buf, len, &at) == NULL)
			return PACKET_UNTERMINATED;
	}
	p->options = (const char *)buf;
	p->options_len = at;
	return PACKET_OK;
}

static int decode_request(struct packet *p, const uint8_t *buf, size_t len)
{
	size_t at = 2;
	const char *name = take_string(buf, len, &at);
	const char *mode = name == NULL ? NULL : take_string(buf, len, &at);
	int fault;

	if (mode == NULL)
		return PACKET_UNTERMINATED;
	fault = take_options(p, buf + at, len - at);
	if (fault != PACKET_OK)
		return fault;
	p->name = name;
	p->mode = mode;
	return PACKET_OK;
}

int packet_decode(struct packet *p, const void *datagram, size_t len)
{
	const uint8_t *buf = datagram;

	memset(p, 0, sizeof(*p));
	if (len < 2)
		return PACKET_SHORT;
	if (buf[0] != 0 || buf[1] < PACKET_RRQ || buf[1] > PACKET_OACK)
		return PACKET_BAD_OP;
	p->op = buf[1];
	switch (p->op) {
	case PACKET_RRQ:
	case PACKET_WRQ:
		return decode_request(p, buf, len);
	case PACKET_OACK:
		return take_options(p, buf + 2, len - 2);
	default:
		break;
	}
	if (len < PACKET_HEADER)
		return PACKET_SHORT;
	if (p->op == PACKET_ERROR) {
		p->code = (uint16_t)(buf[2] << 8 | buf[3]);
		p->text = (const char *)buf + PACKET_HEADER;
		p->len = strnlen(p->text, len - PACKET_HEADER);
		return PACKET_OK;
	}
	p->block = (uint16_t)(buf[2] << 8 | buf[3]);
	if (p->op == PACKET_DATA) {
		p->data = buf + PACKET_HEADER;
		p->len = len - PACKET_HEADER;
	}
	return PACKET_OK;
}

const char *packet_fault_text(int fault)
{
	switch (fault) {
	case PACKET_OK:
		return "no fault";
	case PACKET_SHORT:
		return "packet too short";
	case PACKET_BAD_OP:
		return "unknown opcode";
	case PACKET_UNTERMINATED:
		return "a string in the request has no end";
	case PACKET_ODD_OPTION:
		return "an option has no value";
	}
	return "malformed packet";
}

bool packet_option(const struct packet *p, size_t *at, const char **name, const char **value)
{
	*name = *value = NULL;
	if (*at >= p->options_len)
		return false;
	*name = p->options + *at;
	*value = *name + strlen(*name) + 1;
	*at = (size_t)(*value - p->options) + strlen(*value) + 1;
	return true;
}

void packet_write(struct packet_writer *w, uint8_t *buf, size_t cap)
{
	*w = (struct packet_writer){.buf = buf, .cap = cap};
}

static void write_bytes(struct packet_writer *w, const void *bytes, size_t n)
{
	if (w->full || n > w->cap - w->len) {
		w->full = true;
		return;
	}
	memcpy(w->buf + w->len, bytes, n);
	w->len += n;
}

void packet_write_u16(struct packet_writer *w, uint16_t value)
{
	uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)(value & 0xff)};

	write_bytes(w, bytes, sizeof(bytes));
}

void packet_write_string(struct packet_writer *w, const char *s)
{
	write_bytes(w, s, strlen(s) + 1);
}

void packet_write_option(struct packet_writer *w, const char *name, uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	packet_write_string(w, name);
	packet_write_string(w, digits);
}

size_t packet_ack(uint8_t *buf, size_t cap, uint16_t block)
{
	struct packet_writer w;

	packet_write(&w, buf, cap);
	packet_write_u16(&w, PACKET_ACK);
	packet_write_u16(&w, block);
	return w.full ? 0 : w.len;
}

size_t packet_error(uint8_t *buf, size_t cap, uint16_t code, const char *text)
{
	char cut[PACKET_TEXT_MAX];
	struct packet_writer w;

	packet_write(&w, buf, cap);
	packet_write_u16(&w, PACKET_ERROR);
	packet_write_u16(&w, code);
	snprintf(cut, sizeof(cut), "%s", text);
	packet_write_string(&w, cut);
	return w.full ? 0 : w.len;
}

const char *packet_error_text(uint16_t code)
{
	static const char *const texts[] = {
		[ERROR_UNDEFINED] = "Error",
		[ERROR_NOT_FOUND] = "File not found",
		[ERROR_ACCESS] = "Access violation",
		[ERROR_DISK_FULL] = "Disk full or allocation exceeded",
		[ERROR_ILLEGAL] = "Illegal TFTP operation",
		[ERROR_UNKNOWN_TID] = "Unknown transfer ID",
		[ERROR_EXISTS] = "File already exists",
		[ERROR_NO_USER] = "No such user",
		[ERROR_OPTION] = "Option negotiation failed",
	};

	return code < sizeof(texts) / sizeof(texts[0]) ? texts[code] : "Unknown error";
}
