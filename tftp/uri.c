/* RFC 3617 URIs, and their short form. */
#include "uri.h"

#include "addr.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %xx in place. False for a broken one, and for %00, which no file name can hold. */
static bool decode(char *s)
{
	char *out = s;

	for (; *s != '\0'; s++) {
		int high, low;

		if (*s != '%') {
			*out++ = *s;
			continue;
		}
		high = hex(s[1]);
		low = high < 0 ? -1 : hex(s[2]);
		if (low < 0 || (high == 0 && low == 0))
			return false;
		*out++ = (char)(high << 4 | low);
		s += 2;
	}
	*out = '\0';
	return true;
}

/* Before an IPv6 address's zone stands %25 as it should be, or a plain %; nothing else in one is escaped. */
static bool decode_host(char *host)
{
	char *zone;

	if (strchr(host, ':') == NULL)
		return decode(host);
	for (zone = host; (zone = strstr(zone, "%25")) != NULL; zone++)
		memmove(zone + 1, zone + 3, strlen(zone + 3) + 1);
	return true;
}

static bool take_mode(struct uri *u)
{
	char *mode = strstr(u->path, ";mode=");

	if (mode == NULL)
		return true;
	*mode = '\0';
	mode += strlen(";mode=");
	u->mode_given = true;
	u->text = strcasecmp(mode, "netascii") == 0;
	return u->text || strcasecmp(mode, "octet") == 0;
}

/* Each host of a list must be one; only a single one is taken apart here. */
static bool take_hosts(struct uri *u, char *list)
{
	char *copy, *rest, *host, *port;
	bool good = true;

	if (strchr(list, ',') == NULL)
		return addr_split(list, &u->host, &u->port) == 0 && u->host != NULL;
	u->host = list;
	copy = rest = strdup(list);
	if (copy == NULL)
		return false;
	while (good && rest != NULL) {
		char *one = strsep(&rest, ",");

		good = addr_split(one, &host, &port) == 0 && host != NULL;
	}
	free(copy);
	return good;
}

static const char *take_apart(struct uri *u, char *authority, bool dir)
{
	if (!take_hosts(u, authority))
		return "it names no host";
	if (!take_mode(u))
		return "its mode is neither octet nor netascii";
	if (!decode(u->path) || !decode_host(u->host))
		return "it has a bad % escape";
	if (*u->path == '\0' && !dir)
		return "it names no file";
	return NULL;
}

int uri_parse(struct uri *u, const char *text, bool dir, const char **why)
{
	static const char scheme[] = "tftp://";
	char *slash;

	memset(u, 0, sizeof(*u));
	*why = NULL;
	if (strncasecmp(text, scheme, strlen(scheme)) != 0) {
		*why = "it does not begin with tftp://";
		return -1;
	}
	u->buf = strdup(text + strlen(scheme));
	if (u->buf == NULL) {
		*why = "out of memory";
		return -1;
	}
	slash = strchr(u->buf, '/');
	if (slash == NULL) {
		*why = "it names no file";
		return -1;
	}
	*slash = '\0';
	u->path = slash + 1;
	*why = take_apart(u, u->buf, dir);
	return *why == NULL ? 0 : -1;
}

bool uri_is_url(const char *text)
{
	const char *scheme = strstr(text, "://");

	if (scheme == NULL || scheme == text)
		return false;
	for (const char *p = text; p < scheme; p++)
		if (!((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') && !(p > text && strchr("0123456789+-.", *p) != NULL))
			return false;
	return true;
}

/* The colon between host and path, or NULL. */
static const char *separator(const char *text)
{
	const char *colon;
	struct in6_addr v6;

	if (*text == '[') {
		const char *end = strchr(text, ']');

		return end != NULL && end[1] == ':' ? end + 1 : NULL;
	}
	colon = strchr(text, ':');
	if (colon == NULL || colon == text || memchr(text, '/', (size_t)(colon - text)) != NULL)
		return NULL;
	return inet_pton(AF_INET6, text, &v6) == 1 ? NULL : colon;
}

bool uri_is_short(const char *text)
{
	return !uri_is_url(text) && separator(text) != NULL;
}

int uri_parse_short(struct uri *u, const char *text, bool dir, const char **why)
{
	const char *colon = separator(text);

	memset(u, 0, sizeof(*u));
	*why = NULL;
	if (colon == NULL) {
		*why = "it is not host:path";
		return -1;
	}
	u->buf = strdup(text);
	if (u->buf == NULL) {
		*why = "out of memory";
		return -1;
	}
	u->buf[colon - text] = '\0';
	u->path = u->buf + (colon - text) + 1;
	if (!take_hosts(u, u->buf))
		*why = "it names no host";
	else if (*u->path == '\0' && !dir)
		*why = "it names no file";
	return *why == NULL ? 0 : -1;
}

void uri_free(struct uri *u)
{
	free(u->buf);
	memset(u, 0, sizeof(*u));
}
