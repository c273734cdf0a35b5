/* Lists of networks, sorted so that the first one that holds an address decides. */
#include "access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64

/* The first of its network: a word with bits beyond its own prefix is more likely a slip than a wish. */
static bool is_whole(const struct addr *net, unsigned bits)
{
	struct addr first = *net;
	uint8_t *byte = net->sa.sa_family == AF_INET6 ? first.v6.sin6_addr.s6_addr : (uint8_t *)&first.v4.sin_addr;
	unsigned all = net->sa.sa_family == AF_INET6 ? 128 : 32;

	for (unsigned i = bits; i < all; i++)
		byte[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	return addr_same_host(&first, net);
}

/* The most specific first, a denial before its equals, then as they were given: qsort. */
static int order(const void *left, const void *right)
{
	const struct access_rule *a = left, *b = right;

	if (a->bits != b->bits)
		return a->bits > b->bits ? -1 : 1;
	if ((a->list == ACCESS_DENY) != (b->list == ACCESS_DENY))
		return a->list == ACCESS_DENY ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static void settle(struct access *a)
{
	if (a->n > 1)
		qsort(a->rules, a->n, sizeof(*a->rules), order);
}

static int append(struct access *a, const struct access_rule *rule)
{
	/* By powers of two, when they are full. */
	if ((a->n & (a->n - 1)) == 0) {
		struct access_rule *rules = realloc(a->rules, (a->n == 0 ? 1 : 2 * a->n) * sizeof(*rules));

		if (rules == NULL)
			return -ENOMEM;
		a->rules = rules;
	}
	a->rules[a->n++] = *rule;
	return 0;
}

static void name_list(struct access *a, enum access_list list)
{
	a->only_allowed |= list == ACCESS_ALLOW;
	a->only_allowed_write |= list == ACCESS_ALLOW_WRITE;
}

/* "::ffff:192.0.2.0/120" is what some programs print for 192.0.2.0/24, and peers are compared as IPv4. */
static void unmap(struct access_rule *rule)
{
	bool v6 = rule->net.sa.sa_family == AF_INET6;

	if (v6 && rule->bits >= 96)
		addr_unmap(&rule->net);
	if (v6 && rule->net.sa.sa_family == AF_INET)
		rule->bits -= 96;
}

static int add_word(struct access *a, struct access_rule rule, const char *word, char error[ACCESS_ERROR_MAX])
{
	if (word[0] == '@' && rule.file == NULL) {
		snprintf(error, ACCESS_ERROR_MAX, "\"%s\": a file is a value of its own", word);
		return -EINVAL;
	}
	if (addr_parse_network(word, &rule.net, &rule.bits) != 0) {
		snprintf(error, ACCESS_ERROR_MAX, "\"%s\" is not an address or network like 192.0.2.0/24 or 2001:db8::/32", word);
		return -EINVAL;
	}
	if (!is_whole(&rule.net, rule.bits)) {
		snprintf(error, ACCESS_ERROR_MAX, "\"%s\" has bits set beyond its prefix: a shorter address or a longer prefix?",
		    word);
		return -EINVAL;
	}
	if (a->n == ACCESS_NETWORKS) {
		snprintf(error, ACCESS_ERROR_MAX, "\"%s\" is one too many, after %d networks", word, ACCESS_NETWORKS);
		return -EINVAL;
	}
	unmap(&rule);
	return append(a, &rule);
}

/* `len` bytes as a word; one that is too long is none, and shown as far as it goes. */
static int add_bytes(struct access *a, const struct access_rule *rule, const char *bytes, size_t len,
    char error[ACCESS_ERROR_MAX])
{
	char word[WORD_MAX];

	snprintf(word, sizeof(word), "%.*s", (int)(len < WORD_MAX ? len : WORD_MAX - 1), bytes);
	return add_word(a, *rule, word, error);
}

int access_add(struct access *a, enum access_list list, const char *text, char error[ACCESS_ERROR_MAX])
{
	struct access_rule rule = {.list = list};

	error[0] = '\0';
	name_list(a, list);
	for (;;) {
		size_t len = strcspn(text, ",");
		int err = add_bytes(a, &rule, text, len, error);

		if (err != 0)
			return err;
		if (text[len] == '\0')
			break;
		text += len + 1;
	}
	settle(a);
	return 0;
}

/* The networks on a line that ends at the next '\n' or NUL. */
static int add_line(struct access *a, const struct access_rule *rule, const char *text, char error[ACCESS_ERROR_MAX])
{
	static const char between[] = " \t\r\v\f,", over[] = " \t\r\v\f,#\n";
	int err = 0;

	for (text += strspn(text, between); err == 0 && strchr("#\n", *text) == NULL; text += strspn(text, between)) {
		size_t len = strcspn(text, over);

		err = add_bytes(a, rule, text, len, error);
		text += len;
	}
	return err;
}

int access_add_text(struct access *a, enum access_list list, const char *file, const char *text, size_t len,
    char error[ACCESS_ERROR_MAX])
{
	struct access_rule rule = {.list = list, .file = file, .line = 1};
	char why[ACCESS_ERROR_MAX] = "";
	int err = 0;

	error[0] = '\0';
	name_list(a, list);
	for (const char *end = text + len; err == 0; rule.line++) {
		const char *next = strchr(text, '\n');

		if (next == NULL && strlen(text) < (size_t)(end - text)) {
			snprintf(why, sizeof(why), "a NUL byte, which is in no text");
			err = -EINVAL;
		} else {
			err = add_line(a, &rule, text, why);
		}
		if (err != 0 || next == NULL)
			break;
		text = next + 1;
	}
	if (why[0] != '\0')
		snprintf(error, ACCESS_ERROR_MAX, "line %u: %.170s", rule.line, why);
	settle(a);
	return err;
}

int access_copy(struct access *a, const struct access *from)
{
	*a = (struct access){.only_allowed = from->only_allowed, .only_allowed_write = from->only_allowed_write};
	for (size_t i = 0; i < from->n; i++) {
		int err = append(a, &from->rules[i]);

		if (err != 0) {
			access_free(a);
			return err;
		}
	}
	return 0;
}

void access_free(struct access *a)
{
	free(a->rules);
	*a = (struct access){0};
}

/* For a write, where such a list exists, --allow-write stands for --allow. */
static enum access_list welcoming(const struct access *a, bool write)
{
	return write && a->only_allowed_write ? ACCESS_ALLOW_WRITE : ACCESS_ALLOW;
}

/* The first network in one of the two lists decides. NULL: it is in none. */
static const struct access_rule *decides(const struct access *a, const struct addr *peer, bool write)
{
	enum access_list allow = welcoming(a, write);

	for (size_t i = 0; i < a->n; i++) {
		const struct access_rule *r = &a->rules[i];

		if ((r->list == ACCESS_DENY || r->list == allow) && addr_in_network(peer, &r->net, r->bits))
			return r;
	}
	return NULL;
}

static bool may(const struct access *a, const struct addr *peer, bool write)
{
	const struct access_rule *r = decides(a, peer, write);

	if (r != NULL)
		return r->list != ACCESS_DENY;
	return welcoming(a, write) == ACCESS_ALLOW && !a->only_allowed;
}

bool access_may_read(const struct access *a, const struct addr *peer)
{
	return may(a, peer, false);
}

bool access_may_write(const struct access *a, const struct addr *peer)
{
	return may(a, peer, true);
}

const char *access_why(const struct access *a, const struct addr *peer, bool write, char text[ACCESS_WHY_MAX])
{
	static const char *const names[] = {
		[ACCESS_ALLOW] = "--allow", [ACCESS_DENY] = "--deny", [ACCESS_ALLOW_WRITE] = "--allow-write",
	};
	const struct access_rule *r = decides(a, peer, write);
	char host[ADDR_TEXT];
	int len;

	if (r == NULL) {
		snprintf(text, ACCESS_WHY_MAX, "%s%s", may(a, peer, write) ? "in no list" : "not in ",
		    may(a, peer, write) ? "" : names[welcoming(a, write)]);
		return text;
	}
	len = snprintf(text, ACCESS_WHY_MAX, "%s %s/%u", names[r->list], addr_host(&r->net, host), r->bits);
	if (r->file != NULL)
		snprintf(text + len, ACCESS_WHY_MAX - (size_t)len, ", line %u of %.120s", r->line, r->file);
	return text;
}
