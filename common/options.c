/* Option grammar and negotiation. Every number's range stands in one table. */
#include "options.h"

#include <string.h>
#include <strings.h>

struct option_rule {
	const char *name;
	uint64_t min, max; /* values outside are as if the option were not there */
};

/*
 * blksize above 65464 is clamped rather than ignored, as every server does: the client gets the largest block it could
 * have asked for. tsize stays below what a signed file offset holds.
 */
static const struct option_rule rules[OPTION_COUNT] = {
	[OPTION_BLKSIZE] = {"blksize", BLKSIZE_MIN, UINT32_MAX},
	[OPTION_BLKSIZE2] = {"blksize2", BLKSIZE_MIN, UINT32_MAX},
	[OPTION_TIMEOUT] = {"timeout", 1, 255},
	[OPTION_UTIMEOUT] = {"utimeout", 10000, 255000000},
	[OPTION_TSIZE] = {"tsize", 0, INT64_MAX},
	[OPTION_WINDOWSIZE] = {"windowsize", 1, 65535},
	[OPTION_ROLLOVER] = {"rollover", 0, 1},
};

const char *options_name(enum option_id id)
{
	return rules[id].name;
}

int options_find(const char *name)
{
	for (int id = 0; id < OPTION_COUNT; id++)
		if (strcasecmp(name, rules[id].name) == 0)
			return id;
	return -1;
}

void options_default_terms(struct option_terms *terms)
{
	*terms = (struct option_terms){
		.blksize = PACKET_BLKSIZE,
		.windowsize = 1,
		.tsize = TSIZE_UNKNOWN,
	};
}

void options_add(struct option_set *set, enum option_id id, uint64_t value)
{
	if (!(set->present & OPTION_BIT(id)))
		set->order[set->n++] = (uint8_t)id;
	set->present |= OPTION_BIT(id);
	set->value[id] = value;
}

static bool has(const struct option_set *set, enum option_id id)
{
	return set->present & OPTION_BIT(id);
}

/* All digits, no overflow, in range: nothing else is a value. */
static bool parse_value(enum option_id id, const char *text, uint64_t *value)
{
	uint64_t v = 0;

	*value = 0;
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (v < rules[id].min || v > rules[id].max)
		return false;
	*value = v;
	return true;
}

void options_parse(struct option_set *set, const struct packet *request)
{
	const char *name, *text;
	unsigned seen = 0;
	size_t at = 0;

	memset(set, 0, sizeof(*set));
	while (packet_option(request, &at, &name, &text)) {
		uint64_t value;
		int id = options_find(name);

		if (id < 0 || (seen & OPTION_BIT(id)))
			continue;
		seen |= OPTION_BIT(id);
		if (parse_value(id, text, &value))
			options_add(set, id, value);
	}
}

static uint32_t clamp(uint64_t value, uint32_t max)
{
	return value < max ? (uint32_t)value : max;
}

static uint32_t power_of_two_below(uint32_t n)
{
	uint32_t p = 1;

	while (p <= n / 2)
		p *= 2;
	return p;
}

/* Grant one option. False leaves it out of the OACK. */
static bool accept_one(enum option_id id, uint64_t asked, bool write, const struct option_limits *limits,
    uint64_t tsize, const struct option_set *granted, struct option_terms *terms, uint64_t *value)
{
	switch (id) {
	case OPTION_BLKSIZE:
		if (has(granted, OPTION_BLKSIZE2))
			return false;
		*value = terms->blksize = clamp(asked, limits->blksize);
		return true;
	case OPTION_BLKSIZE2:
		if (has(granted, OPTION_BLKSIZE))
			return false;
		*value = terms->blksize = power_of_two_below(clamp(asked, limits->blksize));
		return true;
	case OPTION_TIMEOUT:
		if (has(granted, OPTION_UTIMEOUT))
			return false;
		*value = asked;
		terms->timeout_us = (uint32_t)(asked * 1000000);
		return true;
	case OPTION_UTIMEOUT:
		if (has(granted, OPTION_TIMEOUT))
			return false;
		*value = asked;
		terms->timeout_us = (uint32_t)asked;
		return true;
	case OPTION_TSIZE:
		*value = terms->tsize = write ? asked : tsize;
		return *value != TSIZE_UNKNOWN;
	case OPTION_WINDOWSIZE:
		/* Its limit in bytes needs the block size, which may stand behind it: see options_accept. */
		*value = terms->windowsize = clamp(asked, limits->windowsize);
		return true;
	case OPTION_ROLLOVER:
		*value = asked;
		terms->rollover = asked == 1;
		terms->rollover_known = true;
		return true;
	case OPTION_COUNT:
		break;
	}
	return false;
}

void options_accept(const struct option_set *asked, bool write, const struct option_limits *limits, uint64_t tsize,
    struct option_set *granted, struct option_terms *terms)
{
	memset(granted, 0, sizeof(*granted));
	options_default_terms(terms);
	for (unsigned i = 0; i < asked->n; i++) {
		enum option_id id = asked->order[i];
		uint64_t value;

		if (limits->refuse & OPTION_BIT(id))
			continue;
		if (accept_one(id, asked->value[id], write, limits, tsize, granted, terms, &value))
			options_add(granted, id, value);
	}
	if (has(granted, OPTION_WINDOWSIZE)) {
		uint32_t most = limits->window_bytes / terms->blksize;

		terms->windowsize = clamp(terms->windowsize, most > 0 ? most : 1);
		options_add(granted, OPTION_WINDOWSIZE, terms->windowsize);
	}
}

/* Take over one option of an OACK. NULL, or what is wrong with it. */
static const char *confirm_one(enum option_id id, uint64_t value, uint64_t offered, struct option_terms *terms)
{
	switch (id) {
	case OPTION_BLKSIZE:
	case OPTION_BLKSIZE2:
		if (value > offered)
			return "the server answered with a larger blksize than was asked for";
		terms->blksize = (uint32_t)value;
		return NULL;
	case OPTION_TIMEOUT:
		if (value != offered)
			return "the server answered with another timeout than was asked for";
		terms->timeout_us = (uint32_t)(value * 1000000);
		return NULL;
	case OPTION_UTIMEOUT:
		if (value != offered)
			return "the server answered with another utimeout than was asked for";
		terms->timeout_us = (uint32_t)value;
		return NULL;
	case OPTION_TSIZE:
		terms->tsize = value;
		return NULL;
	case OPTION_WINDOWSIZE:
		if (value > offered)
			return "the server answered with a larger windowsize than was asked for";
		terms->windowsize = (uint32_t)value;
		return NULL;
	case OPTION_ROLLOVER:
		if (value != offered)
			return "the server answered with another rollover than was asked for";
		terms->rollover = value == 1;
		terms->rollover_known = true;
		return NULL;
	case OPTION_COUNT:
		break;
	}
	return "the server answered with an unknown option";
}

int options_confirm(const struct option_set *offered, const struct packet *oack, struct option_terms *terms,
    const char **why)
{
	const char *name, *text;
	size_t at = 0;

	*why = NULL;
	options_default_terms(terms);
	while (packet_option(oack, &at, &name, &text)) {
		uint64_t value;
		int id = options_find(name);

		if (id < 0 || !has(offered, id)) {
			*why = "the server answered with an option that was not asked for";
			return -1;
		}
		if (!parse_value(id, text, &value)) {
			*why = "the server answered with an option value that makes no sense";
			return -1;
		}
		*why = confirm_one(id, value, offered->value[id], terms);
		if (*why != NULL)
			return -1;
	}
	return 0;
}

void options_write(const struct option_set *set, struct packet_writer *w)
{
	for (unsigned i = 0; i < set->n; i++)
		packet_write_option(w, rules[set->order[i]].name, set->value[set->order[i]]);
}
