/* Remote files as people write them: tftp://host[:port]/path[;mode=octet|netascii] (RFC 3617), and host:path. */
#ifndef URI_H
#define URI_H

#include <stdbool.h>

struct uri {
	char *host;      /* without brackets; several with commas between are left as they stand */
	char *port;      /* NULL: the default, or said in the list of hosts */
	char *path;      /* decoded, one leading slash dropped; may be empty, or end in a slash: a directory */
	bool text;       /* ;mode=netascii */
	bool mode_given;
	char *buf;       /* owns all of the above */
};

/*
 * Read a URL. Returns 0, or -1 and in *why what is wrong (a static string). uri_free() afterwards either way. A file
 * must be named unless `dir`: then the path may be empty.
 */
int uri_parse(struct uri *u, const char *text, bool dir, const char **why);

/* The same for "host:path" and "[v6]:path". */
int uri_parse_short(struct uri *u, const char *text, bool dir, const char **why);
void uri_free(struct uri *u);

/* What a word looks like. A path with a slash before its first colon is local, and so is a bare IPv6 address. */
bool uri_is_url(const char *text);      /* has a scheme, any scheme */
bool uri_is_short(const char *text);    /* host:path */

#endif
