/* RFC 3617 URIs. */
#include "uri.h"

#include "addr.h"

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

int uri_parse(struct uri *u, const char *text, const char **why)
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
	if (slash == NULL || slash[1] == '\0') {
		*why = "it names no file";
		return -1;
	}
	*slash = '\0';
	u->path = slash + 1;
	if (addr_split(u->buf, &u->host, &u->port) != 0 || u->host == NULL)
		*why = "it names no host";
	else if (!take_mode(u))
		*why = "its mode is neither octet nor netascii";
	else if (!decode(u->path) || !decode(u->host))
		*why = "it has a bad % escape";
	else if (*u->path == '\0')
		*why = "it names no file";
	return *why == NULL ? 0 : -1;
}

void uri_free(struct uri *u)
{
	free(u->buf);
	memset(u, 0, sizeof(*u));
}
