/*
 * The rename rules. A rule is a set of letters, a regular expression and a replacement; the current name and the next
 * rule are all the state there is.
 */
#include "remap.h"

#include "regex_cost.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS 10 /* \0 to \9 */

enum {
	REPLACE = 1 << 0,  /* r */
	GLOBAL = 1 << 1,   /* g */
	ONWARD = 1 << 2,   /* gg: only what has not been matched yet */
	EXIT = 1 << 3,     /* e */
	IF_FILE = 1 << 4,  /* E */
	RESTART = 1 << 5,  /* s */
	ABORT = 1 << 6,    /* a */
	JUMP = 1 << 7,     /* j */
	GET_ONLY = 1 << 8, /* G */
	PUT_ONLY = 1 << 9, /* P */
	V4_ONLY = 1 << 10, /* 4 */
	V6_ONLY = 1 << 11, /* 6 */
	INVERSE = 1 << 12, /* ~ */
	LABEL = 1 << 13,   /* :name */
	NO_CASE = 1 << 14, /* i */
};

struct rule {
	unsigned line;
	unsigned flags;
	regex_t rx;        /* not in a label */
	char *arg;         /* replacement, message, or label */
};

struct remap {
	struct rule *rules;
	size_t n, cap;
};

/* Reading. */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * The next field of a line: up to white space or '#' that has no backslash before it. The backslashes stay, for regcomp
 * or the replacement to read. NULL: there is none.
 */
static char *next_field(char **at)
{
	char *p = *at, *field;
	bool escaped = false;

	while (is_space(*p))
		p++;
	field = p;
	while (*p != '\0' && (escaped || (!is_space(*p) && *p != '#'))) {
		escaped = !escaped && *p == '\\';
		p++;
	}
	if (p == field) {
		*p = '\0';
		*at = p;
		return NULL;
	}
	*at = *p == '\0' || *p == '#' ? p : p + 1;
	*p = '\0';
	return field;
}

static int read_letters(struct rule *r, const char *letters, char *why, size_t cap)
{
	static const struct { char letter; unsigned flag; } known[] = {
		{'r', REPLACE}, {'e', EXIT}, {'E', IF_FILE}, {'s', RESTART}, {'a', ABORT}, {'j', JUMP}, {'G', GET_ONLY},
		{'P', PUT_ONLY}, {'4', V4_ONLY}, {'6', V6_ONLY}, {'~', INVERSE}, {'i', NO_CASE},
	};
	static const char pairs[][3] = {"r~", "ra", "rj", "aj", "as", "ej", "ae", "es", "eE", "Ej", "aE", "Es"};

	for (const char *c = letters; *c != '\0'; c++) {
		size_t i = 0;

		if (*c == 'g') {
			r->flags |= r->flags & GLOBAL ? ONWARD : GLOBAL;
			continue;
		}
		while (i < sizeof(known) / sizeof(known[0]) && known[i].letter != *c)
			i++;
		if (i == sizeof(known) / sizeof(known[0])) {
			snprintf(why, cap, "\"%c\" in \"%.40s\" is no operation", *c >= ' ' && *c < 0x7f ? *c : '?', letters);
			return -1;
		}
		r->flags |= known[i].flag;
	}
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (strchr(letters, pairs[i][0]) != NULL && strchr(letters, pairs[i][1]) != NULL) {
			snprintf(why, cap, "operations \"%c\" and \"%c\" cannot be combined", pairs[i][0], pairs[i][1]);
			return -1;
		}
	}
	return 0;
}

static int read_regex(struct rule *r, const char *regex, char *why, size_t cap)
{
	const char *costs;
	char reason[128];
	int err;

	if (regex == NULL) {
		snprintf(why, cap, "the regular expression is missing");
		return -1;
	}
	costs = regex_cost_check(regex);
	if (costs != NULL) {
		snprintf(why, cap, "the regular expression \"%.60s\" %s", regex, costs);
		return -1;
	}
	err = regcomp(&r->rx, regex, REG_EXTENDED | (r->flags & NO_CASE ? REG_ICASE : 0));
	if (err == 0)
		return 0;
	regerror(err, &r->rx, reason, sizeof(reason));
	snprintf(why, cap, "bad regular expression \"%.60s\": %.90s", regex, reason);
	return -1;
}

static char *copy(const char *text)
{
	size_t len = strlen(text) + 1;
	char *p = malloc(len);

	return p == NULL ? NULL : memcpy(p, text, len);
}

/* One line into *r. 1: a rule, 0: nothing on this line, -1: wrong. */
static int read_line(struct rule *r, char *line, char *why, size_t cap)
{
	char *field = next_field(&line);
	const char *arg = NULL;

	if (field == NULL)
		return 0;
	if (field[0] == ':') {
		if (field[1] == '\0') {
			snprintf(why, cap, "a label needs a name");
			return -1;
		}
		r->flags = LABEL;
		arg = field + 1;
	} else {
		if (read_letters(r, field, why, cap) != 0 || read_regex(r, next_field(&line), why, cap) != 0)
			return -1;
		arg = next_field(&line);
	}
	/* As tftp-hpa has it, further words are no error: rule files hold remarks there. */
	if (r->flags & JUMP && arg == NULL) {
		snprintf(why, cap, "a jump needs a label");
	} else if ((r->arg = copy(arg != NULL ? arg : "")) == NULL) {
		snprintf(why, cap, "out of memory");
	} else {
		return 1;
	}
	if (!(r->flags & LABEL))
		regfree(&r->rx);
	return -1;
}

static const struct rule *find_label(const struct remap *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->rules[i].flags & LABEL && strcmp(r->rules[i].arg, name) == 0)
			return &r->rules[i];
	return NULL;
}

/* A jump whose label is spelled out must find it now; one that is computed can only be looked up when it is known. */
static int check_labels(const struct remap *r, char error[REMAP_ERROR_MAX])
{
	for (size_t i = 0; i < r->n; i++) {
		const struct rule *rule = &r->rules[i];

		if (rule->flags & JUMP && strchr(rule->arg, '\\') == NULL && find_label(r, rule->arg) == NULL) {
			snprintf(error, REMAP_ERROR_MAX, "line %u: there is no label \"%.80s\"", rule->line, rule->arg);
			return -1;
		}
	}
	return 0;
}

static int add_line(struct remap *r, unsigned number, char *line, char error[REMAP_ERROR_MAX])
{
	char why[REMAP_ERROR_MAX - 32];
	int got;

	if (r->n == r->cap) {
		size_t cap = r->cap == 0 ? 16 : 2 * r->cap;
		struct rule *grown = calloc(cap, sizeof(*grown));

		if (grown == NULL) {
			snprintf(error, REMAP_ERROR_MAX, "line %u: out of memory", number);
			return -1;
		}
		if (r->n > 0)
			memcpy(grown, r->rules, r->n * sizeof(*grown));
		free(r->rules);
		r->rules = grown;
		r->cap = cap;
	}
	memset(&r->rules[r->n], 0, sizeof(r->rules[r->n]));
	r->rules[r->n].line = number;
	got = read_line(&r->rules[r->n], line, why, sizeof(why));
	if (got < 0)
		snprintf(error, REMAP_ERROR_MAX, "line %u: %s", number, why);
	else
		r->n += (size_t)got;
	return got < 0 ? -1 : 0;
}

/* Copies one line without its CRs and NULs; returns where the next one begins. */
static const char *take_line(const char *text, const char *end, char *line)
{
	while (text < end && *text != '\n') {
		if (*text != '\r' && *text != '\0')
			*line++ = *text;
		text++;
	}
	*line = '\0';
	return text < end ? text + 1 : end;
}

int remap_parse(struct remap **out, const char *text, size_t len, char error[REMAP_ERROR_MAX])
{
	const char *at = text, *end = text + len;
	struct remap *r = calloc(1, sizeof(*r));
	char *line = malloc(len + 1);
	int err = 0;

	*out = NULL;
	error[0] = '\0';
	if (r == NULL || line == NULL) {
		snprintf(error, REMAP_ERROR_MAX, "out of memory");
		err = -1;
	}
	for (unsigned number = 1; err == 0 && at < end; number++) {
		at = take_line(at, end, line);
		err = add_line(r, number, line, error);
	}
	free(line);
	if (err == 0)
		err = check_labels(r, error);
	if (err == 0)
		*out = r;
	else
		remap_free(r);
	return err;
}

void remap_free(struct remap *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++) {
		if (!(r->rules[i].flags & LABEL))
			regfree(&r->rules[i].rx);
		free(r->rules[i].arg);
	}
	free(r->rules);
	free(r);
}

size_t remap_count(const struct remap *r)
{
	return r->n;
}

/* The replacement. */

enum fold { AS_IT_IS, UPPER, LOWER };

/* A name that is being put together. */
struct text {
	char *buf;
	size_t len;
	enum fold fold;
	bool full;
};

static void put(struct text *t, const char *bytes, size_t len)
{
	if (len >= REMAP_NAME_MAX - t->len) {
		t->full = true;
		return;
	}
	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];

		if (t->fold == UPPER && c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		else if (t->fold == LOWER && c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		t->buf[t->len++] = c;
	}
	t->buf[t->len] = '\0';
}

static void put_string(struct text *t, const char *s)
{
	if (s != NULL)
		put(t, s, strlen(s));
}

/* What stands behind a backslash. */
static void put_escape(struct text *t, char c, const struct remap_request *q, const char *from, const regmatch_t *m)
{
	switch (c) {
	case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
		if (m[c - '0'].rm_so >= 0)
			put(t, from + m[c - '0'].rm_so, (size_t)(m[c - '0'].rm_eo - m[c - '0'].rm_so));
		return;
	case 'U':
		t->fold = UPPER;
		return;
	case 'L':
		t->fold = LOWER;
		return;
	case 'E':
		t->fold = AS_IT_IS;
		return;
	case 'i':
		put_string(t, q->ip);
		return;
	case 'x':
		put_string(t, q->hex);
		return;
	case 'm':
		put_string(t, q->mac);
		return;
	}
	put(t, &c, 1);
}

/* The replacement with everything filled in, behind what is in `t`. `m` are offsets into `from`. */
static void expand(struct text *t, const char *replacement, const struct remap_request *q, const char *from,
    const regmatch_t *m)
{
	for (const char *p = replacement; *p != '\0'; p++) {
		if (*p != '\\') {
			put(t, p, 1);
		} else if (p[1] == '\0') {
			put(t, "\\", 1);
		} else {
			put_escape(t, *++p, q, from, m);
		}
	}
	t->fold = AS_IT_IS;
}

/* Running. */

struct run {
	const struct remap *remap;
	const struct remap_request *q;
	struct remap_result *out;
	unsigned steps;            /* left */
	regmatch_t match[GROUPS];
	char name[REMAP_NAME_MAX];
};

static bool try_regex(struct run *x, const struct rule *r, const char *name, int flags)
{
	bool inverse = (r->flags & INVERSE) != 0;

	for (int i = 0; i < GROUPS; i++)
		x->match[i].rm_so = x->match[i].rm_eo = -1;
	if ((regexec(&r->rx, name, GROUPS, x->match, flags) == 0) == inverse)
		return false;
	return true;
}

/*
 * Replace one match in `from`, where the search began at `start`, into out->text. Returns where a search for what has
 * not been matched yet would go on.
 */
static size_t substitute(struct run *x, const struct rule *r, const char *from, size_t start, bool *full)
{
	struct text t = {.buf = x->out->text};
	const regmatch_t *m = x->match;
	size_t next;

	put(&t, from, start + (size_t)m[0].rm_so);
	expand(&t, r->arg, x->q, from + start, m);
	next = t.len;
	put_string(&t, from + start + m[0].rm_eo);
	*full = t.full;
	/* An empty match would be found again in the same place. */
	return m[0].rm_so == m[0].rm_eo ? next + 1 : next;
}

/* r, rg, rgg: the first match is in x->match; the result is left in x->name. 0 or a code. */
static int replace(struct run *x, const struct rule *r)
{
	size_t start = 0, next;
	bool full;

	for (;;) {
		next = substitute(x, r, x->name, start, &full);
		if (full)
			return REMAP_LONG;
		strcpy(x->name, x->out->text);
		if (!(r->flags & GLOBAL))
			return 0;
		start = r->flags & ONWARD ? next : 0;
		if (start >= strlen(x->name) + (start == 0))
			return 0;
		if (!try_regex(x, r, x->name + start, start > 0 ? REG_NOTBOL : 0))
			return 0;
		if (x->steps-- == 0)
			return REMAP_LOOP;
	}
}

static void tell(const struct run *x, const struct rule *r, const char *what, const char *name)
{
	if (x->q->step != NULL)
		x->q->step(x->q->arg, r->line, what, name);
}

static bool applies(const struct rule *r, const struct remap_request *q)
{
	unsigned not_now = LABEL | (q->write ? GET_ONLY : PUT_ONLY) | (q->v6 ? V4_ONLY : V6_ONLY);

	return !(r->flags & not_now);
}

/*
 * A rule has matched: do what it says. *next is the rule to go on with, NULL to end. `before` and the match are of the
 * name as it was.
 */
static int execute(struct run *x, const struct rule *r, const char *before, const struct rule **next)
{
	const char *what = r->flags & REPLACE ? "replaced" : "matched";
	struct text t = {.buf = x->out->text};
	regmatch_t match[GROUPS];
	int err = 0;

	x->out->text[0] = '\0';
	memcpy(match, x->match, sizeof(match));
	if (r->flags & REPLACE)
		err = replace(x, r);
	if (err != 0)
		return err;
	if (r->flags & IF_FILE && x->q->servable != NULL && !x->q->servable(x->q->arg, x->name)) {
		tell(x, r, "undone, this cannot be transferred", x->name);
		strcpy(x->name, before);
		return 0;
	}
	tell(x, r, what, x->name);
	x->out->text[0] = '\0';
	if (r->flags & (ABORT | JUMP))
		expand(&t, r->arg, x->q, before, match);
	if (t.full)
		return REMAP_LONG;
	if (r->flags & ABORT)
		return REMAP_REFUSED;
	if (r->flags & (EXIT | IF_FILE)) {
		*next = NULL;
	} else if (r->flags & RESTART) {
		*next = x->remap->rules;
	} else if (r->flags & JUMP) {
		*next = find_label(x->remap, x->out->text);
		if (*next == NULL)
			return REMAP_LABEL;
	}
	return 0;
}

int remap_run(const struct remap *r, const struct remap_request *q, const char *name, struct remap_result *out)
{
	struct run x = {.remap = r, .q = q, .out = out, .steps = q->max_steps > 0 ? q->max_steps : REMAP_STEPS};
	const struct rule *end = r->n > 0 ? r->rules + r->n : NULL, *rule = r->rules, *next;
	char before[REMAP_NAME_MAX];
	int err = strlen(name) < REMAP_NAME_MAX ? 0 : REMAP_LONG;

	out->line = 0;
	out->text[0] = '\0';
	if (err == 0)
		strcpy(x.name, name);
	for (; err == 0 && rule != NULL && rule < end; rule = next) {
		next = rule + 1;
		if (!applies(rule, q))
			continue;
		out->line = rule->line;
		if (x.steps-- == 0) {
			err = REMAP_LOOP;
		} else if (try_regex(&x, rule, x.name, 0)) {
			strcpy(before, x.name);
			err = execute(&x, rule, before, &next);
		}
	}
	if (err == REMAP_REFUSED || err == REMAP_LABEL)
		return err;
	if (err == 0 && rule != NULL)
		out->line = 0;
	strcpy(out->text, x.name);
	return err;
}
