/* The packet codec: whatever decodes points into the datagram, and is the same when it is encoded and read again. */
#include "fuzz.h"
#include "packet.h"

static const uint8_t *first, *last;

static void inside(const void *p, size_t len)
{
	const uint8_t *at = p;

	FUZZ_MUST(at >= first && at <= last && len <= (size_t)(last - at));
}

static void write_options(struct packet_writer *w, const struct packet *p)
{
	const char *name, *value;
	size_t at = 0;

	while (packet_option(p, &at, &name, &value)) {
		inside(name, strlen(name) + 1);
		inside(value, strlen(value) + 1);
		packet_write_string(w, name);
		packet_write_string(w, value);
	}
}

static void encode(struct packet_writer *w, const struct packet *p)
{
	packet_write_u16(w, (uint16_t)p->op);
	switch (p->op) {
	case PACKET_RRQ:
	case PACKET_WRQ:
		inside(p->name, strlen(p->name) + 1);
		inside(p->mode, strlen(p->mode) + 1);
		packet_write_string(w, p->name);
		packet_write_string(w, p->mode);
		write_options(w, p);
		break;
	case PACKET_OACK:
		write_options(w, p);
		break;
	case PACKET_DATA:
		inside(p->data, p->len);
		packet_write_u16(w, p->block);
		FUZZ_MUST(w->cap - w->len >= p->len);
		memcpy(w->buf + w->len, p->data, p->len);
		w->len += p->len;
		break;
	case PACKET_ACK:
		packet_write_u16(w, p->block);
		break;
	case PACKET_ERROR:
		inside(p->text, p->len);
		packet_write_u16(w, p->code);
		FUZZ_MUST(w->cap - w->len > p->len);
		memcpy(w->buf + w->len, p->text, p->len);
		w->len += p->len;
		packet_write_u16(w, 0);
		w->len--;
		break;
	}
}

static void equal(const struct packet *a, const struct packet *b)
{
	const char *name[2], *value[2];
	size_t at[2] = {0, 0};

	FUZZ_MUST(a->op == b->op && a->block == b->block && a->code == b->code && a->len == b->len);
	if (a->op == PACKET_RRQ || a->op == PACKET_WRQ)
		FUZZ_MUST(strcmp(a->name, b->name) == 0 && strcmp(a->mode, b->mode) == 0);
	if (a->op == PACKET_DATA)
		FUZZ_MUST(memcmp(a->data, b->data, a->len) == 0);
	if (a->op == PACKET_ERROR)
		FUZZ_MUST(memcmp(a->text, b->text, a->len) == 0);
	while (packet_option(a, &at[0], &name[0], &value[0])) {
		FUZZ_MUST(packet_option(b, &at[1], &name[1], &value[1]));
		FUZZ_MUST(strcmp(name[0], name[1]) == 0 && strcmp(value[0], value[1]) == 0);
	}
	FUZZ_MUST(!packet_option(b, &at[1], &name[1], &value[1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct packet p, again;
	struct packet_writer w;
	uint8_t *buf, *copy;
	int fault;

	first = data;
	last = data + len;
	fault = packet_decode(&p, data, len);
	FUZZ_MUST(packet_fault_text(fault) != NULL);
	if (fault != PACKET_OK) {
		FUZZ_MUST(p.data == NULL && p.name == NULL && p.text == NULL && p.options == NULL && p.len == 0);
		return 0;
	}
	/* An ERROR without its NUL gets one, so there is one byte more. */
	buf = malloc(len + 4);
	if (buf == NULL)
		abort();
	packet_write(&w, buf, len + 4);
	encode(&w, &p);
	FUZZ_MUST(!w.full);
	copy = fuzz_copy(buf, w.len);
	FUZZ_MUST(packet_decode(&again, copy, w.len) == PACKET_OK);
	equal(&p, &again);
	free(copy);
	/* A writer with less room says so, and stays inside what it has. */
	if (p.op != PACKET_DATA && p.op != PACKET_ERROR && w.len > 2) {
		size_t cap = w.len - 1;

		copy = fuzz_copy(buf, cap);
		packet_write(&w, copy, cap);
		encode(&w, &p);
		FUZZ_MUST(w.full && w.len <= cap);
		free(copy);
	}
	free(buf);
	return 0;
}
