/* The command line. One table says what each option is called, what it takes, what it does, and how that is done. */
#include "config.h"

#include "addr.h"
#include "options.h"
#include "udp.h"

#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct option_entry {
	const char *name;
	int letter;                /* short form, or 0 */
	const char *arg;           /* what it takes, or NULL */
	const char *help;
	/* NULL, or what is wrong with the value. */
	const char *(*apply)(struct config *c, const char *value);
};

/* A whole number in a range; nothing before or after it. */
static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out >= min && *out <= max;
}

static const char *set_address(struct config *c, const char *value)
{
	char copy[256], *host, *port;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", value) >= sizeof(copy) || addr_split(copy, &host, &port) != 0)
		return "is not [ADDR][:PORT], with IPv6 addresses in brackets";
	if (c->naddresses == CONFIG_ADDRESSES)
		return "too many addresses";
	c->addresses[c->naddresses++] = value;
	return NULL;
}

static const char *set_interface(struct config *c, const char *value)
{
	c->interface = value;
	return *value != '\0' && strlen(value) < IF_NAMESIZE ? NULL : "is not the name of an interface";
}

static const char *set_port(struct config *c, const char *value)
{
	c->port = value;
	return *value != '\0' ? NULL : "a port number or service name is needed";
}

static const char *set_create(struct config *c, const char *value)
{
	(void)value;
	c->create = true;
	return NULL;
}

static const char *set_blocksize(struct config *c, const char *value)
{
	uint64_t n;

	if (strcmp(value, "mtu") == 0)
		c->blksize_max = 0;
	else if (strcmp(value, "max") == 0)
		c->blksize_max = BLKSIZE_MAX;
	else if (parse_number(value, 512, BLKSIZE_MAX, &n))
		c->blksize_max = (uint32_t)n;
	else
		return "takes 512 to 65464, mtu or max";
	return NULL;
}

static const char *set_windowsize(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 1, WINDOWSIZE_MAX, &n))
		return "takes 1 to 32767 blocks";
	c->windowsize_max = (uint32_t)n;
	return NULL;
}

static const char *set_window_bytes(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 512, 1u << 30, &n))
		return "takes 512 to 1073741824 bytes";
	c->window_bytes = (uint32_t)n;
	return NULL;
}

static const char *set_give_up(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 1, 86400, &n))
		return "takes 1 to 86400 seconds";
	c->give_up = (mono_t)n * MONO_SEC;
	return NULL;
}

static const char *set_max_transfers(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 1, 1000000, &n))
		return "takes 1 to 1000000 transfers";
	c->max_transfers = (unsigned)n;
	return NULL;
}

static const char *set_max_per_client(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 1, 1000000, &n))
		return "takes 1 to 1000000 transfers";
	c->max_per_client = (unsigned)n;
	return NULL;
}

/* Bytes per second, with K, M or G for powers of 1000, as links are measured. */
static const char *parse_rate(const char *value, uint64_t *out)
{
	static const struct { char unit; uint64_t times; } units[] = {{'K', 1000}, {'M', 1000000}, {'G', 1000000000}};
	size_t len = strspn(value, "0123456789");
	uint64_t times = 0;
	char digits[16] = "";

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if ((value[len] & ~0x20) == units[i].unit && value[len + 1] == '\0')
			times = units[i].times;
	if (value[len] == '\0')
		times = 1;
	if (len < sizeof(digits))
		memcpy(digits, value, len);
	if (times == 0 || !parse_number(digits, 1, 1000000000000 / times, out) || *out * times < 1000)
		return "takes bytes per second, at least 1000, or a number with K, M or G";
	*out *= times;
	return NULL;
}

static const char *set_rate(struct config *c, const char *value)
{
	return parse_rate(value, &c->rate);
}

static const char *set_rate_per_client(struct config *c, const char *value)
{
	return parse_rate(value, &c->rate_per_client);
}

static const char *add_access(struct config *c, enum access_list list, const char *value)
{
	int err = access_add(&c->access, list, value, c->access_error);

	return err == 0 ? NULL : err == -ENOMEM ? strerror(ENOMEM) : c->access_error;
}

static const char *add_allow(struct config *c, const char *value)
{
	return add_access(c, ACCESS_ALLOW, value);
}

static const char *add_deny(struct config *c, const char *value)
{
	return add_access(c, ACCESS_DENY, value);
}

static const char *add_allow_write(struct config *c, const char *value)
{
	return add_access(c, ACCESS_ALLOW_WRITE, value);
}

static const char *set_single_port(struct config *c, const char *value)
{
	(void)value;
	c->single_port = true;
	return NULL;
}

static const char *set_relaxed_peer(struct config *c, const char *value)
{
	(void)value;
	c->relaxed_peer = true;
	return NULL;
}

static const char *set_answer_broadcast(struct config *c, const char *value)
{
	(void)value;
	c->answer_broadcast = true;
	return NULL;
}

static const char *set_port_range(struct config *c, const char *value)
{
	const char *colon = strchr(value, ':');
	char lo_text[8] = "";
	uint64_t lo, hi;

	if (colon != NULL && (size_t)(colon - value) < sizeof(lo_text))
		memcpy(lo_text, value, (size_t)(colon - value));
	if (colon == NULL || !parse_number(lo_text, 1, 65535, &lo) || !parse_number(colon + 1, lo, 65535, &hi))
		return "takes LO:HI, two ports from 1 to 65535, the lower one first";
	c->port_lo = (uint16_t)lo;
	c->port_hi = (uint16_t)hi;
	return NULL;
}

static const char *set_without(struct config *c, const char *value)
{
	static const struct { const char *name; unsigned bit; } paths[] = {
		{"gso", UDP_NO_GSO}, {"gro", UDP_NO_GRO}, {"sendmmsg", UDP_NO_MMSG},
		{"seccomp", CONFIG_NO_SECCOMP}, {"landlock", CONFIG_NO_LANDLOCK},
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (strcmp(value, paths[i].name) == 0) {
			c->without |= paths[i].bit;
			return NULL;
		}
	}
	return "takes gso, gro, sendmmsg, seccomp or landlock";
}

static const char *set_log(struct config *c, const char *value)
{
	c->log = value;
	return *value != '\0' ? NULL : "takes stderr, syslog or a file";
}

static const char *set_log_format(struct config *c, const char *value)
{
	static const char *const names[] = {[LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_KV] = "kv", [LOG_FORMAT_JSON] = "json"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			c->log_format = (enum log_format)i;
			return NULL;
		}
	}
	return "takes text, kv or json";
}

static const char *set_verbose(struct config *c, const char *value)
{
	(void)value;
	c->level = LOG_LEVEL_DEBUG;
	return NULL;
}

static const char *set_version(struct config *c, const char *value)
{
	(void)value;
	c->action = CONFIG_VERSION;
	return NULL;
}

static const char *set_help(struct config *c, const char *value)
{
	(void)value;
	c->action = CONFIG_HELP;
	return NULL;
}

static const struct option_entry table[] = {
	{"address", 'a', "[ADDR][:PORT]", "listen there; an address, host or interface; may be repeated", set_address},
	{"interface", 0, "IF", "listen on this interface only", set_interface},
	{"port", 'S', "PORT", "port for addresses that name none (default: 69)", set_port},
	{"create", 'c', NULL, "allow uploads, of new files too (default: read-only)", set_create},
	{"blocksize", 'B', "N|mtu|max", "largest block granted (default: mtu, so that nothing is fragmented)", set_blocksize},
	{"windowsize", 'W', "N", "most blocks in a window (default: 64)", set_windowsize},
	{"window-bytes", 0, "N", "most bytes in a window (default: 65536, or one block)", set_window_bytes},
	{"give-up", 0, "SECONDS", "end a transfer after so long without progress (default: 30)", set_give_up},
	{"allow", 0, "NET[,...]", "serve these networks only; the most specific of all lists decides", add_allow},
	{"deny", 0, "NET[,...]", "do not answer these networks", add_deny},
	{"allow-write", 0, "NET[,...]", "take uploads from these networks only", add_allow_write},
	{"max-transfers", 0, "N", "transfers at once; more requests wait a little (default: 4096)", set_max_transfers},
	{"max-per-client", 0, "N", "transfers at once for one address (default: no limit)", set_max_per_client},
	{"rate", 0, "BYTES/S", "for all transfers together, shared fairly; K, M, G (default: no limit)", set_rate},
	{"rate-per-client", 0, "BYTES/S", "for the transfers of one address (default: no limit)", set_rate_per_client},
	{"port-range", 'R', "LO:HI", "local ports of transfers (default: any)", set_port_range},
	{"single-port", 0, NULL, "keep transfers on the listening port, for NAT and containers", set_single_port},
	{"relaxed-peer", 0, NULL, "go along when a client's port changes during a transfer", set_relaxed_peer},
	{"answer-broadcast", 0, NULL, "serve requests that were sent to a broadcast address", set_answer_broadcast},
	{"without", 0, "FEATURE", "do not use gso, gro, sendmmsg, seccomp, landlock; may be repeated", set_without},
	{"log", 0, "stderr|syslog|FILE", "where to log (default: stderr)", set_log},
	{"log-format", 0, "text|kv|json", "lines for people, key=value, or JSON objects (default: text)", set_log_format},
	{"verbose", 'v', NULL, "log more, for finding faults", set_verbose},
	{"version", 'V', NULL, "print the version", set_version},
	{"help", 'h', NULL, "print this", set_help},
};

#define OPTIONS (sizeof(table) / sizeof(table[0]))

void config_usage(FILE *out)
{
	fprintf(out, "usage: tftpd [options] [DIRECTORY]\n\nServe DIRECTORY (default /srv/tftp) by TFTP, in the foreground.\n\n");
	for (size_t i = 0; i < OPTIONS; i++) {
		char left[48];

		snprintf(left, sizeof(left), "--%s%s%s", table[i].name, table[i].arg ? " " : "", table[i].arg ? table[i].arg : "");
		if (table[i].letter != 0)
			fprintf(out, "  -%c, %-28s %s\n", table[i].letter, left, table[i].help);
		else
			fprintf(out, "      %-28s %s\n", left, table[i].help);
	}
}

static void defaults(struct config *c)
{
	*c = (struct config){
		.directory = "/srv/tftp",
		.windowsize_max = 64,
		.window_bytes = 65536,
		.give_up = 30 * MONO_SEC,
		.tries = 3,
		.max_transfers = 4096,
		.sync = true,
		.level = LOG_LEVEL_INFO,
	};
}

void config_free(struct config *c)
{
	access_free(&c->access);
}

/* getopt_long's two forms of the table. */
static void make_getopt(struct option longs[OPTIONS + 1], char shorts[2 * OPTIONS + 2])
{
	size_t n = 0;

	shorts[n++] = ':';
	for (size_t i = 0; i < OPTIONS; i++) {
		longs[i] = (struct option){table[i].name, table[i].arg ? required_argument : no_argument, NULL, (int)(256 + i)};
		if (table[i].letter == 0)
			continue;
		shorts[n++] = (char)table[i].letter;
		if (table[i].arg != NULL)
			shorts[n++] = ':';
	}
	shorts[n] = '\0';
	longs[OPTIONS] = (struct option){NULL, 0, NULL, 0};
}

static const struct option_entry *find(int code)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (code == (int)(256 + i) || (table[i].letter != 0 && code == table[i].letter))
			return &table[i];
	return NULL;
}

int config_parse(struct config *c, int argc, char **argv, char error[CONFIG_ERROR_MAX])
{
	struct option longs[OPTIONS + 1];
	char shorts[2 * OPTIONS + 2];
	int code;

	defaults(c);
	make_getopt(longs, shorts);
	error[0] = '\0';
	opterr = 0;
	while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_entry *e = find(code);
		const char *wrong;

		if (code == ':') {
			snprintf(error, CONFIG_ERROR_MAX, "option %s needs a value", argv[optind - 1]);
			return EX_USAGE;
		}
		if (e == NULL) {
			if (optopt != 0 && optopt < 256)
				snprintf(error, CONFIG_ERROR_MAX, "unknown option -%c", optopt);
			else
				snprintf(error, CONFIG_ERROR_MAX, "unknown, ambiguous or wrongly used option %s", argv[optind - 1]);
			return EX_USAGE;
		}
		wrong = e->apply(c, optarg);
		if (wrong != NULL) {
			snprintf(error, CONFIG_ERROR_MAX, "--%s \"%.128s\": %s", e->name, optarg ? optarg : "", wrong);
			return EX_USAGE;
		}
	}
	if (optind < argc)
		c->directory = argv[optind++];
	if (optind < argc) {
		snprintf(error, CONFIG_ERROR_MAX, "one directory is served, \"%s\" is one too many", argv[optind]);
		return EX_USAGE;
	}
	return 0;
}
