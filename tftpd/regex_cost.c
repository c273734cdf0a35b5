/* One pass over the text, with a stack of the groups that are open. */
#include "regex_cost.h"

#include <stddef.h>
#include <string.h>

struct cost {
	unsigned long length;   /* written out */
	unsigned long repeats;  /* the largest product of repetitions within it */
};

struct group {
	struct cost sum;        /* of what is complete */
	struct cost last;       /* what a repetition that comes next would repeat */
};

/* Neither grows far beyond what is refused, so nothing overflows. */
static void limit(struct cost *c)
{
	if (c->length > REGEX_COST_LENGTH)
		c->length = REGEX_COST_LENGTH + 1;
	if (c->repeats > REGEX_COST_REPEATS)
		c->repeats = REGEX_COST_REPEATS + 1;
}

static void complete(struct group *g)
{
	g->sum.length += g->last.length;
	if (g->last.repeats > g->sum.repeats)
		g->sum.repeats = g->last.repeats;
	limit(&g->sum);
	g->last = (struct cost){.length = 0, .repeats = 1};
}

static void repeat(struct group *g, unsigned long times)
{
	g->last.length *= times;
	g->last.repeats *= times;
	limit(&g->last);
}

static const char *number(const char *p, unsigned long *out)
{
	*out = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (*out <= REGEX_COST_LENGTH)
			*out = *out * 10 + (unsigned long)(*p - '0');
	return p;
}

/* "{2,5}" at p: the most copies that are made of what is before it, and where it ends. NULL: it is none. */
static const char *interval(const char *p, unsigned long *times)
{
	unsigned long least, most;

	p = number(p + 1, &least);
	*times = least;
	if (*p == ',') {
		const char *from = p + 1;

		p = number(from, &most);
		/* What may come without end takes one copy more, for that. */
		*times = p == from ? least + 1 : most;
	}
	return *p == '}' ? p : NULL;
}

/* The end of "[...]" at p; a ']' that comes first, or in "[:alpha:]" and the like, does not end it. */
static const char *bracket(const char *p)
{
	p += p[1] == '^' ? 2 : 1;
	if (*p == ']')
		p++;
	for (; *p != '\0' && *p != ']'; p++) {
		const char *end = NULL;

		if (*p == '[' && p[1] != '\0' && strchr(":.=", p[1]) != NULL)
			for (end = p + 2; *end != '\0' && !(*end == p[1] && end[1] == ']');)
				end++;
		if (end != NULL && *end != '\0')
			p = end + 1;
	}
	return *p == ']' ? p : p - 1;
}

/* What stands at *p and is neither a parenthesis nor the end; *p is left on its last byte. */
static void take(struct group *g, const char **p)
{
	unsigned long times = 1;
	const char *end;

	switch (**p) {
	/* Measured with glibc, which makes aa* of a+: so much longer does each of them take than what it repeats. */
	case '*': case '?':
		repeat(g, 2);
		return;
	case '+':
		repeat(g, 3);
		return;
	case '{':
		end = interval(*p, &times);
		if (end == NULL)
			break;
		repeat(g, times);
		*p = end;
		return;
	}
	complete(g);
	g->last.length = 1;
	if (**p == '\\' && (*p)[1] != '\0')
		++*p;
	else if (**p == '[')
		*p = bracket(*p);
}

static const char *verdict(const struct cost *c)
{
	if (c->repeats > REGEX_COST_REPEATS)
		return "repeats what is repeated already: more than 1000 times in all";
	if (c->length > REGEX_COST_LENGTH)
		return "is too long: more than 20000 characters, repetitions written out";
	return NULL;
}

const char *regex_cost_check(const char *regex)
{
	struct group open[REGEX_COST_DEPTH + 1];
	size_t depth = 0;

	open[0] = (struct group){{0, 1}, {0, 1}};
	for (const char *p = regex; *p != '\0'; p++) {
		struct group *g = &open[depth];

		if (*p == '(') {
			complete(g);
			if (depth == REGEX_COST_DEPTH)
				return "has more than 100 groups within each other";
			open[++depth] = (struct group){{0, 1}, {0, 1}};
		} else if (*p == ')' && depth > 0) {
			complete(g);
			open[--depth].last = (struct cost){g->sum.length + 1, g->sum.repeats};
		} else {
			take(g, &p);
		}
	}
	/* Groups that were left open are no expression, but what is in them was read. */
	for (;; depth--) {
		complete(&open[depth]);
		if (depth == 0 || verdict(&open[depth].sum) != NULL)
			return verdict(&open[depth].sum);
	}
}
