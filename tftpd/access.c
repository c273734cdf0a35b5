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

static bool before(const struct access_rule *a, const struct access_rule *b)
{
	return a->bits > b->bits || (a->bits == b->bits && a->list == ACCESS_DENY && b->list != ACCESS_DENY);
}

static int insert(struct access *a, const struct access_rule *rule)
{
	struct access_rule *rules = realloc(a->rules, (a->n + 1) * sizeof(*rules));
	size_t at = a->n;

	if (rules == NULL)
		return -ENOMEM;
	a->rules = rules;
	for (; at > 0 && before(rule, &rules[at - 1]); at--)
		rules[at] = rules[at - 1];
	rules[at] = *rule;
	a->n++;
	a->only_allowed |= rule->list == ACCESS_ALLOW;
	a->only_allowed_write |= rule->list == ACCESS_ALLOW_WRITE;
	return 0;
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

static int add_word(struct access *a, enum access_list list, const char *word, char error[ACCESS_ERROR_MAX])
{
	struct access_rule rule = {.list = list};

	if (addr_parse_network(word, &rule.net, &rule.bits) != 0) {
		snprintf(error, ACCESS_ERROR_MAX, "\"%s\" is not an address or network like 192.0.2.0/24 or 2001:db8::/32", word);
		return -EINVAL;
	}
	if (!is_whole(&rule.net, rule.bits)) {
		snprintf(error, ACCESS_ERROR_MAX, "\"%s\" has bits set beyond its prefix: a shorter address or a longer prefix?", word);
		return -EINVAL;
	}
	unmap(&rule);
	return insert(a, &rule);
}

int access_add(struct access *a, enum access_list list, const char *text, char error[ACCESS_ERROR_MAX])
{
	error[0] = '\0';
	for (;;) {
		size_t len = strcspn(text, ",");
		char word[WORD_MAX];
		int err;

		snprintf(word, sizeof(word), "%.*s", (int)(len < WORD_MAX ? len : WORD_MAX - 1), text);
		err = add_word(a, list, word, error);
		if (err != 0)
			return err;
		if (text[len] == '\0')
			return 0;
		text += len + 1;
	}
}

void access_free(struct access *a)
{
	free(a->rules);
	*a = (struct access){0};
}

/* The first network in one of the two lists decides. */
static bool may(const struct access *a, const struct addr *peer, enum access_list allow, bool otherwise)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct access_rule *r = &a->rules[i];

		if ((r->list == ACCESS_DENY || r->list == allow) && addr_in_network(peer, &r->net, r->bits))
			return r->list != ACCESS_DENY;
	}
	return otherwise;
}

bool access_may_read(const struct access *a, const struct addr *peer)
{
	return a->n == 0 || may(a, peer, ACCESS_ALLOW, !a->only_allowed);
}

bool access_may_write(const struct access *a, const struct addr *peer)
{
	if (a->only_allowed_write)
		return may(a, peer, ACCESS_ALLOW_WRITE, false);
	return access_may_read(a, peer);
}
