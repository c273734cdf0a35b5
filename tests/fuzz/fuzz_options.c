/*
 * Option negotiation. Six bytes set the server's limits, the rest are options as a request carries them: what the
 * server grants is never more than was asked, stays within its limits, and is confirmed by our own client. Then the
 * same bytes as the OACK of a server that cannot be trusted.
 */
#include "fuzz.h"
#include "options.h"

static struct packet options_of(const uint8_t *bytes, size_t len, uint8_t **datagram)
{
	struct packet p;
	uint8_t *buf = malloc(len + 3);

	if (buf == NULL)
		abort();
	buf[0] = 0;
	buf[1] = PACKET_OACK;
	if (len > 0)
		memcpy(buf + 2, bytes, len);
	*datagram = buf;
	if (packet_decode(&p, buf, len + 2) != PACKET_OK)
		memset(&p, 0, sizeof(p));
	return p;
}

static void check_grant(const struct option_set *asked, const struct option_set *granted,
    const struct option_limits *limits, const struct option_terms *terms, bool write)
{
	unsigned place = 0;

	FUZZ_MUST((granted->present & ~asked->present) == 0 && (granted->present & limits->refuse) == 0);
	for (unsigned i = 0; i < granted->n; i++) {
		enum option_id id = granted->order[i];
		uint64_t value = granted->value[id];

		/* In the order in which they were asked. */
		while (place < asked->n && asked->order[place] != id)
			place++;
		FUZZ_MUST(place < asked->n);
		if (id != OPTION_TSIZE || write)
			FUZZ_MUST(value <= asked->value[id]);
		if (id == OPTION_TIMEOUT || id == OPTION_UTIMEOUT || id == OPTION_ROLLOVER)
			FUZZ_MUST(value == asked->value[id]);
	}
	FUZZ_MUST(terms->blksize >= BLKSIZE_MIN && terms->blksize <= (limits->blksize < 512 ? 512 : limits->blksize));
	FUZZ_MUST(terms->windowsize >= 1 && terms->windowsize <= limits->windowsize);
	FUZZ_MUST(terms->windowsize == 1 || (uint64_t)terms->windowsize * terms->blksize <= limits->window_bytes);
}

/* What leaves as an OACK is understood by our client, and means the same to both. */
static void check_oack(const struct option_set *asked, const struct option_set *granted,
    const struct option_terms *terms)
{
	struct option_terms seen;
	struct packet_writer w;
	struct packet oack;
	uint8_t buf[512];
	const char *why;

	packet_write(&w, buf, sizeof(buf));
	packet_write_u16(&w, PACKET_OACK);
	options_write(granted, &w);
	FUZZ_MUST(!w.full);
	FUZZ_MUST(packet_decode(&oack, buf, w.len) == PACKET_OK);
	FUZZ_MUST(options_confirm(asked, &oack, &seen, &why) == 0);
	FUZZ_MUST(seen.blksize == terms->blksize && seen.windowsize == terms->windowsize);
	FUZZ_MUST(seen.timeout_us == terms->timeout_us && seen.rollover == terms->rollover && seen.tsize == terms->tsize);
}

/* A client with everything on offer, and an OACK of any kind. */
static void check_confirm(const struct packet *oack, uint16_t most)
{
	struct option_set offered = {0};
	struct option_terms terms;
	const char *why;

	for (int id = 0; id < OPTION_COUNT; id++)
		options_add(&offered, id, id == OPTION_ROLLOVER ? most & 1 : id == OPTION_TSIZE ? 0 : 8u + most % 60000);
	if (options_confirm(&offered, oack, &terms, &why) != 0) {
		FUZZ_MUST(why != NULL);
		return;
	}
	FUZZ_MUST(terms.blksize >= BLKSIZE_MIN && terms.blksize <= 60008);
	FUZZ_MUST(terms.windowsize >= 1 && terms.windowsize <= 60008);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	bool write = fuzz_u8(&in) & 1;
	uint16_t seed = fuzz_u16(&in);
	struct option_limits limits = {
		.blksize = BLKSIZE_MIN + seed % (BLKSIZE_MAX - BLKSIZE_MIN + 1),
		.windowsize = 1u + fuzz_u8(&in) * 128u,
		.window_bytes = 8u + fuzz_u8(&in) * 512u,
		.refuse = fuzz_u8(&in),
	};
	struct option_set asked, granted;
	struct option_terms terms;
	uint8_t *datagram;
	struct packet p = options_of(in.p, in.left, &datagram);

	options_parse(&asked, &p);
	FUZZ_MUST(asked.n <= OPTION_COUNT);
	options_accept(&asked, write, &limits, seed & 1 ? seed : TSIZE_UNKNOWN, &granted, &terms);
	check_grant(&asked, &granted, &limits, &terms, write);
	check_oack(&asked, &granted, &terms);
	check_confirm(&p, seed);
	free(datagram);
	return 0;
}
