/* tftp://host[:port]/path[;mode=octet|netascii] (RFC 3617). */
#ifndef URI_H
#define URI_H

#include <stdbool.h>

struct uri {
	char *host;      /* without brackets */
	char *port;      /* NULL: the default */
	char *path;      /* decoded, one leading slash dropped; never empty */
	bool text;       /* ;mode=netascii */
	bool mode_given;
	char *buf;       /* owns all of the above */
};

/* Returns 0, or -1 and in *why what is wrong (a static string). uri_free() afterwards either way. */
int uri_parse(struct uri *u, const char *text, const char **why);
void uri_free(struct uri *u);

#endif
