/* Values of options: read, checked, and complained about by name. */
#include "args_int.h"

#include "log.h"
#include "udp.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int args_complain(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, ARGS_WHY, fmt, ap);
	va_end(ap);
	return -1;
}

/* "--blksize "x": takes ..." */
int args_wrong(char *why, const char *name, const char *value, const char *takes)
{
	char safe[96];

	return args_complain(why, "%s \"%s\": %s", name, log_safe(safe, sizeof(safe), value, strlen(value)), takes);
}

bool args_parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out >= min && *out <= max;
}

/* "auto" is 0. */
bool args_parse_auto(const char *text, unsigned long min, unsigned long max, unsigned long *out)
{
	*out = 0;
	return strcmp(text, "auto") == 0 || args_parse_number(text, min, max, out);
}

int args_set_mode(struct client_options *o, const char *name, const char *value, char *why)
{
	o->text = strcasecmp(value, "netascii") == 0 || strcasecmp(value, "ascii") == 0;
	if (!o->text && strcasecmp(value, "octet") != 0 && strcasecmp(value, "binary") != 0)
		return args_wrong(why, name, value, "takes octet or netascii");
	return 0;
}

int args_set_ports(struct client_options *o, const char *name, const char *value, char *why)
{
	unsigned long lo, hi;
	char text[16];
	char *colon;

	snprintf(text, sizeof(text), "%s", value);
	colon = strchr(text, ':');
	if (colon == NULL || strlen(value) >= sizeof(text))
		return args_wrong(why, name, value, "takes two ports, as 40000:40100");
	*colon = '\0';
	if (!args_parse_number(text, 1, 65535, &lo) || !args_parse_number(colon + 1, 1, 65535, &hi) || lo > hi)
		return args_wrong(why, name, value, "takes two ports from 1 to 65535, the lower one first");
	o->port_lo = (uint16_t)lo;
	o->port_hi = (uint16_t)hi;
	return 0;
}

int args_set_bind(struct client_options *o, const char *name, const char *value, char *why)
{
	struct addr found;
	int n = addr_resolve(value, NULL, 0, AF_UNSPEC, &found, 1);

	if (n < 0)
		return args_wrong(why, name, value, gai_strerror(n));
	o->bind = found;
	return 0;
}

int args_set_without(struct client_options *o, const char *name, const char *value, char *why)
{
	if (strcmp(value, "gso") == 0)
		o->without |= UDP_NO_GSO;
	else if (strcmp(value, "gro") == 0)
		o->without |= UDP_NO_GRO;
	else if (strcmp(value, "sendmmsg") == 0)
		o->without |= UDP_NO_MMSG;
	else
		return args_wrong(why, name, value, "takes gso, gro or sendmmsg");
	return 0;
}
