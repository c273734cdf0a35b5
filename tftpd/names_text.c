/* A client's addresses as text, and templates that such words are put into. */
#include "names_int.h"

#include "neighbour.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* An IPv4 address in IPv6's clothes counts as IPv4. Returns its bytes and sets *len. */
static const uint8_t *address_bytes(const struct addr *a, size_t *len)
{
	*len = 4;
	if (a->sa.sa_family == AF_INET)
		return (const uint8_t *)&a->v4.sin_addr;
	if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return (const uint8_t *)&a->v6.sin6_addr + 12;
	*len = 16;
	return (const uint8_t *)&a->v6.sin6_addr;
}

void names_mac(const struct addr *peer, char out[18])
{
	size_t len;
	const uint8_t *ip = address_bytes(peer, &len);

	neighbour_mac(ip, len, out);
}

void names_peer(const struct names *n, const struct addr *peer, struct peer_text *t)
{
	size_t len;
	const uint8_t *bytes = address_bytes(peer, &len);

	memset(t, 0, sizeof(*t));
	t->v6 = len == 16;
	/* Text is made only for those who read it: a boot storm asks often. */
	if (n->rules == NULL && n->config->roots == NULL && n->config->upload_name == NULL)
		return;
	inet_ntop(t->v6 ? AF_INET6 : AF_INET, bytes, t->ip, sizeof(t->ip));
	for (size_t i = 0; i < len; i++)
		snprintf(t->hex + 2 * i, 3, "%02X", bytes[i]);
	if (n->wants_mac)
		names_mac(peer, t->mac);
	for (size_t i = 0; i < sizeof(t->mac); i++)
		t->mac_colon[i] = t->mac[i] == '-' ? ':' : t->mac[i];
}

/* Templates. */

const char *names_template_check(const char *text, const char *words)
{
	for (; *text != '\0'; text++) {
		size_t len = strcspn(text, "}");
		const char *w = words;

		if (*text == '}')
			return "has a } without a {";
		if (*text != '{')
			continue;
		if (text[len] == '\0')
			return "has a { without a }";
		while (*w != '\0' && (strlen(w) != len - 1 || memcmp(w, text + 1, len - 1) != 0))
			w += strlen(w) + 1;
		if (*w == '\0')
			return "has a word in braces that is not known";
		text += len;
	}
	return NULL;
}

int names_fill(const char *text, const struct names_word *words, size_t n, char *out, size_t cap)
{
	size_t at = 0;

	while (*text != '\0') {
		size_t len = *text == '{' ? strcspn(text, "}") + 1 : strcspn(text, "{"), add = len;
		const char *value = text;

		if (*text == '{') {
			for (size_t i = 0; i < n; i++)
				if (strlen(words[i].name) == len - 2 && memcmp(words[i].name, text + 1, len - 2) == 0)
					value = words[i].value;
			if (*value == '\0')
				return -ENOENT;
			add = strlen(value);
		}
		if (at + add >= cap)
			return -ENAMETOOLONG;
		memcpy(out + at, value, add);
		at += add;
		text += len;
	}
	out[at] = '\0';
	return 0;
}
