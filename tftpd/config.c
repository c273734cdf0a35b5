/* The command line. One table says what each option is called, what it takes, what it does, and how that is done. */
#include "config.h"

#include "addr.h"
#include "names.h"
#include "options.h"
#include "udp.h"

#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

struct option_entry {
	const char *name;
	int letter;                /* short form, or 0 */
	const char *arg;           /* what it takes, or NULL */
	const char *help;
	/* NULL, or what is wrong with the value. */
	const char *(*apply)(struct config *c, const char *value);
	size_t flag;               /* without `apply`: offsetof() the bool it sets */
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

static const char *set_duplicate(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 0, 16, &n))
		return "takes 0 to 16 copies";
	c->duplicate = (unsigned)n;
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

/* "@FILE" is only noted here: it is opened with the directories, see lists.c. */
static const char *add_access(struct config *c, enum access_list list, const char *value)
{
	int err;

	if (value[0] == '@') {
		if (value[1] == '\0')
			return "names no file";
		if (c->nlist_files == CONFIG_LIST_FILES)
			return "is one file too many";
		c->list_files[c->nlist_files].list = list;
		c->list_files[c->nlist_files++].path = value + 1;
		return NULL;
	}
	err = access_add(&c->access, list, value, c->access_error);
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
		{"gso", UDP_NO_GSO}, {"gro", UDP_NO_GRO}, {"sendmmsg", UDP_NO_MMSG}, {"openat2", CONFIG_NO_OPENAT2},
		{"epoll", CONFIG_NO_EPOLL}, {"seccomp", CONFIG_NO_SECCOMP}, {"landlock", CONFIG_NO_LANDLOCK},
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (strcmp(value, paths[i].name) == 0) {
			c->without |= paths[i].bit;
			return NULL;
		}
	}
	return "takes gso, gro, sendmmsg, openat2, epoll, seccomp or landlock";
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
	c->verbosity++;
	return NULL;
}

static const char *set_verbosity(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 0, 1000, &n))
		return "takes a number";
	c->verbosity = (unsigned)n;
	return NULL;
}

static const char *set_ipv4(struct config *c, const char *value)
{
	(void)value;
	c->family = AF_INET;
	return NULL;
}

static const char *set_ipv6(struct config *c, const char *value)
{
	(void)value;
	c->family = AF_INET6;
	return NULL;
}

static const char *set_user(struct config *c, const char *value)
{
	c->user = value;
	return *value != '\0' ? NULL : "a user is needed";
}

static const char *set_umask(struct config *c, const char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 8);

	if (*value < '0' || *value > '7' || *end != '\0' || n > 0777)
		return "takes an octal number up to 777";
	c->umask = (int)n;
	return NULL;
}

static const char *set_pidfile(struct config *c, const char *value)
{
	c->pidfile = value;
	return *value != '\0' ? NULL : "a path is needed";
}

static const char *set_idle(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 0, 1u << 30, &n))
		return "takes a number of seconds";
	c->idle = (mono_t)n * MONO_SEC;
	return NULL;
}

static const char *set_retransmit(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 10000, 255000000, &n))
		return "takes 10000 to 255000000 microseconds";
	c->first = (mono_t)n * MONO_US;
	return NULL;
}

static const char *set_map_file(struct config *c, const char *value)
{
	c->map_file = value;
	return *value != '\0' ? NULL : "a file is needed";
}

static const char *set_map_steps(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 1, 1u << 30, &n))
		return "takes a number of steps";
	c->map_steps = (unsigned)n;
	return NULL;
}

static const char *set_map_test(struct config *c, const char *value)
{
	c->map_test = value;
	c->action = CONFIG_MAP_TEST;
	return NULL;
}

static const char *set_refuse(struct config *c, const char *value)
{
	int id = options_find(value);

	if (id < 0)
		return "is no option of TFTP that this server knows";
	c->refuse |= OPTION_BIT(id);
	return NULL;
}

static const char *set_prefix(struct config *c, const char *value)
{
	c->prefix = value;
	return NULL;
}

static const char *set_jail(struct config *c, const char *value)
{
	(void)value;
	c->jail = c->rooted = true;
	return NULL;
}

static const char *set_names(struct config *c, const char *value)
{
	c->tolerant = strcmp(value, "tolerant") == 0;
	c->strict_given = strcmp(value, "strict") == 0;
	return c->tolerant || c->strict_given ? NULL : "takes strict or tolerant";
}

static const char *set_roots(struct config *c, const char *value)
{
	c->roots = value;
	return *value != '\0' ? NULL : "takes directories with colons between them";
}

/* The place of a word in a list that ends with NULL, or -1. */
static int word_in(const char *const *words, const char *value)
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	return -1;
}

static const char *set_symlinks(struct config *c, const char *value)
{
	static const char *const words[] = {
		[CONFIG_SYMLINKS_INSIDE] = "inside", [CONFIG_SYMLINKS_ANY] = "any", [CONFIG_SYMLINKS_NONE] = "none", [3] = NULL,
	};
	int i = word_in(words, value);

	if (i < 0)
		return "takes inside, any or none";
	c->symlinks = (enum config_symlinks)i;
	c->symlinks_given = true;
	return NULL;
}

static const char *set_on_exists(struct config *c, const char *value)
{
	static const char *const words[] = {
		[CONFIG_EXISTS_OVERWRITE] = "overwrite", [CONFIG_EXISTS_REFUSE] = "refuse",
		[CONFIG_EXISTS_VERSION] = "version", [CONFIG_EXISTS_SAME] = "same", [4] = NULL,
	};
	int i = word_in(words, value);

	if (i < 0)
		return "takes refuse, overwrite, version or same";
	c->on_exists = (enum config_exists)i;
	return NULL;
}

static const char *set_keep(struct config *c, const char *value)
{
	uint64_t n;

	if (!parse_number(value, 1, 1000000, &n))
		return "takes 1 to 1000000 versions";
	c->keep = (unsigned)n;
	return NULL;
}

/* Bytes, with K, M, G or T for powers of 1024. */
static bool parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	char digits[32];
	size_t len = strspn(text, "0123456789");
	const char *unit;
	unsigned shift = 0;

	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (text[len] != '\0') {
		unit = strchr(units, text[len] & ~0x20);
		if (unit == NULL || *unit == '\0' || text[len + 1] != '\0')
			return false;
		shift = (unsigned)(10 * (unit - units + 1));
	}
	if (!parse_number(digits, 0, UINT64_MAX >> (shift + 1), out))
		return false;
	*out <<= shift;
	return true;
}

static const char *set_max_upload(struct config *c, const char *value)
{
	return parse_size(value, &c->max_upload) ? NULL : "takes bytes, or a number with K, M, G or T";
}

static const char *set_min_free(struct config *c, const char *value)
{
	return parse_size(value, &c->min_free) ? NULL : "takes bytes, or a number with K, M, G or T";
}

static const char *set_upload_name(struct config *c, const char *value)
{
	const char *wrong = names_template_check(value, "name\0ip\0date\0time\0");

	c->upload_name = value;
	return wrong;
}

static const char *set_check(struct config *c, const char *value)
{
	(void)value;
	c->action = CONFIG_CHECK;
	return NULL;
}

static const char *set_explain(struct config *c, const char *value)
{
	c->action = CONFIG_EXPLAIN;
	c->explain[0] = value;
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

#define FLAG(field) NULL, offsetof(struct config, field)

static const struct option_entry table[] = {
	{"ipv4", '4', NULL, "IPv4 only", set_ipv4, 0},
	{"ipv6", '6', NULL, "IPv6 only", set_ipv6, 0},
	{"address", 'a', "[ADDR][:PORT]", "listen there; an address, host or interface; may be repeated", set_address, 0},
	{"interface", 0, "IF", "listen on this interface only", set_interface, 0},
	{"port", 'S', "PORT", "port for addresses that name none (default: 69)", set_port, 0},
	{"service", 0, "PORT", "the same", set_port, 0},
	{"listen", 'l', NULL, "as tftp-hpa: standalone, in the background", FLAG(listen)},
	{"foreground", 'L', NULL, "as tftp-hpa: standalone, in the foreground", FLAG(foreground)},
	{"secure", 's', NULL, "as tftp-hpa: the directory is the root of all names (chroot)", FLAG(secure)},
	{"chroot", 0, NULL, "the same", FLAG(secure)},
	{"jail", 0, NULL, "the same for names alone, needs no root", set_jail, 0},
	{"rooted", '/', NULL, "a name without a leading slash gets one", FLAG(rooted)},
	{"path-prefix", 0, "PATH", "put PATH before every name", set_prefix, 0},
	{"user", 'u', "NAME", "run as that user (default, as root: tftp, or else nobody, as with tftp-hpa's flags)",
	    set_user, 0},
	{"pidfile", 'P', "FILE", "write the process id there, remove it at the end", set_pidfile, 0},
	{"timeout", 't', "SECONDS", "with an inherited socket: exit after so long without work (default: 900; 0: never)",
	    set_idle, 0},
	{"systemd", 0, NULL, "started by systemd: stay in the foreground", FLAG(systemd)},
	{"create", 'c', NULL, "allow uploads, of new files too (default: read-only)", FLAG(create)},
	{"read-only", 0, NULL, "refuse every upload", FLAG(read_only)},
	{"reject-all", 0, NULL, "refuse every request", FLAG(reject_all)},
	{"permissive", 'p', NULL, "as tftp-hpa: do not ask for o+r and o+w", FLAG(permissive)},
	{"umask", 'U', "OCTAL", "for new files (default: as inherited; 0 where tftp-hpa's flags are used without -p)",
	    set_umask, 0},
	{"on-exists", 0, "WHAT", "uploads to a name that is taken: refuse, overwrite, version or same (default: overwrite)",
	    set_on_exists, 0},
	{"keep", 0, "N", "with --on-exists version: keep so many old versions (default: all)", set_keep, 0},
	{"mkdir", 0, NULL, "uploads make the directories they need", FLAG(mkdir)},
	{"max-upload", 0, "SIZE", "refuse larger uploads (default: no limit)", set_max_upload, 0},
	{"min-free", 0, "SIZE", "refuse uploads that leave less room on the disk (default: 0)", set_min_free, 0},
	{"upload-name", 0, "TEMPLATE", "store uploads as this, of {name} {ip} {date} {time}", set_upload_name, 0},
	{"keep-partial", 0, NULL, "keep what arrived of a broken upload as NAME.partial", FLAG(keep_partial)},
	{"no-sync", 0, NULL, "acknowledge an upload before it is on disk", FLAG(no_sync)},
	{"names", 0, "HOW", "strict, or tolerant: \\ as /, no drive letter, no junk at the end, any case (default)",
	    set_names, 0},
	{"root", 0, "A:B:C", "look in these in turn; {ip} {ip-hex} {mac} {mac-dash} are the client's", set_roots, 0},
	{"symlinks", 0, "WHICH", "follow links that lead inside, any, or none (default: inside)", set_symlinks, 0},
	{"map-file", 'm', "FILE", "rename requested files by these rules", set_map_file, 0},
	{"map-steps", 0, "N", "try at most so many rules for a name (default: 4096)", set_map_steps, 0},
	{"map-test", 0, "FILE", "print what the rules make of the names in FILE, then exit", set_map_test, 0},
	{"explain", 0, "IP", "read|write NAME: print what would become of this request and why, then exit", set_explain, 0},
	{"check", 0, NULL, "check everything, print what would be served, then exit", set_check, 0},
	{"blocksize", 'B', "N|mtu|max", "largest block granted (default: mtu, so that nothing is fragmented)",
	    set_blocksize, 0},
	{"windowsize", 'W', "N", "most blocks in a window (default: 64)", set_windowsize, 0},
	{"window-bytes", 0, "N", "most bytes in a window (default: 65536, or one block)", set_window_bytes, 0},
	{"refuse", 'r', "OPTION", "never grant this option of TFTP; may be repeated", set_refuse, 0},
	{"retransmit", 'T', "MICROSECONDS", "first wait before a packet is repeated (default: 1000000)", set_retransmit, 0},
	{"give-up", 0, "SECONDS", "end a transfer after so long without progress (default: 30)", set_give_up, 0},
	{"allow", 0, "NETS|@FILE", "serve these networks only: NET,NET..., or those in FILE; the most specific decides",
	    add_allow, 0},
	{"deny", 0, "NETS|@FILE", "do not answer these networks", add_deny, 0},
	{"allow-write", 0, "NETS|@FILE", "take uploads from these networks only", add_allow_write, 0},
	{"max-transfers", 0, "N", "transfers at once; more requests wait a little (default: 4096)", set_max_transfers, 0},
	{"max-per-client", 0, "N", "transfers at once for one address (default: no limit)", set_max_per_client, 0},
	{"rate", 0, "BYTES/S", "for all transfers together, shared fairly; K, M, G (default: no limit)", set_rate, 0},
	{"rate-per-client", 0, "BYTES/S", "for the transfers of one address (default: no limit)", set_rate_per_client, 0},
	{"port-range", 'R', "LO:HI", "local ports of transfers (default: any)", set_port_range, 0},
	{"ports", 0, "LO:HI", "the same", set_port_range, 0},
	{"single-port", 0, NULL, "keep transfers on the listening port, for NAT and containers", FLAG(single_port)},
	{"relaxed-peer", 0, NULL, "go along when a client's port changes during a transfer", FLAG(relaxed_peer)},
	{"duplicate", 0, "N", "send N more copies of each packet, for links that lose many (default: 0)", set_duplicate, 0},
	{"answer-broadcast", 0, NULL, "serve requests that were sent to a broadcast address", FLAG(answer_broadcast)},
	{"without", 0, "FEATURE", "do not use gso, gro, sendmmsg, openat2, seccomp or landlock; may be repeated",
	    set_without, 0},
	{"log", 0, "stderr|syslog|FILE", "where to log (default: stderr; in the background syslog)", set_log, 0},
	{"log-format", 0, "text|kv|json", "lines for people, key=value, or JSON objects (default: text)", set_log_format, 0},
	{"verbose", 'v', NULL, "say more; again: still more; three times: every rename rule that matches", set_verbose, 0},
	{"verbosity", 0, "N", "as so many -v", set_verbosity, 0},
	{"stderr", 0, NULL, "log to standard error, in the background too (there the default is syslog)", FLAG(to_stderr)},
	{"version", 'V', NULL, "print the version", set_version, 0},
	{"help", 'h', NULL, "print this", set_help, 0},
};

#define OPTIONS (sizeof(table) / sizeof(table[0]))

void config_usage(FILE *out)
{
	fprintf(out, "usage: tftpd [options] [DIRECTORY]...\n\n"
	    "Serve DIRECTORY (default /srv/tftp) by TFTP, in the foreground. Called as in.tftpd, or with -l, -L\n"
	    "or -s, it is what tftp-hpa's server is: see tftpd(8).\n\n");
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
		.family = AF_UNSPEC,
		.umask = -1,
		.idle = 900 * MONO_SEC,
		.max_upload = UINT64_MAX,
		.windowsize_max = 64,
		.window_bytes = 65536,
		.give_up = 30 * MONO_SEC,
		.tries = 3,
		.max_transfers = 4096,
	};
}

/* tftp-hpa lets files that exist be replaced without -c; else it takes --create to allow anything. */
bool config_uploads(const struct config *c)
{
	return !c->read_only && (c->create || c->hpa);
}

bool config_low_ports(const struct config *c)
{
	return c->port_lo != 0 && c->port_lo < 1024 && !c->single_port;
}

bool config_background(const struct config *c)
{
	return c->listen && !c->foreground && !c->systemd;
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

/*
 * tftp-hpa 5.2 takes any unambiguous beginning of its long options. There are more here, and what was unambiguous there
 * must stay so: such a word is what 5.2 took it for. Returns the full name's index or -1.
 */
static int hpa_abbreviation(const char *word, size_t len)
{
	static const char *const old[] = {
		"ipv4", "ipv6", "listen", "foreground", "address", "create", "secure", "user", "umask", "permissive", "pidfile",
		"timeout", "retransmit", "map-file", "verbose", "verbosity", "refuse", "blocksize", "port-range", "version",
	};
	const char *found = NULL;

	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		if (strncmp(old[i], word, len) != 0)
			continue;
		if (found != NULL)
			return -1;
		found = old[i];
	}
	for (size_t i = 0; found != NULL && i < OPTIONS; i++)
		if (strcmp(table[i].name, found) == 0)
			return (int)i;
	return -1;
}

/* The option in argv[at] where getopt_long finds it ambiguous: its entry, or NULL. */
static const struct option_entry *disambiguate(char **argv, int at, int argc, int *next)
{
	const char *word = argv[at];
	size_t len;
	int i;

	if (strncmp(word, "--", 2) != 0)
		return NULL;
	word += 2;
	len = strcspn(word, "=");
	i = len > 0 ? hpa_abbreviation(word, len) : -1;
	if (i < 0 || (table[i].arg == NULL && word[len] != '\0'))
		return NULL;
	optarg = NULL;
	if (table[i].arg != NULL && word[len] == '=') {
		optarg = argv[at] + 2 + len + 1;
	} else if (table[i].arg != NULL) {
		if (*next >= argc)
			return NULL;
		optarg = argv[(*next)++];
	}
	return &table[i];
}

/* What other servers call it, for those who come from there: atftpd's options, then dnsmasq's. */
static const struct { const char *theirs, *ours; } elsewhere[] = {
	{"daemon", "it stays in the foreground; --listen"},
	{"no-fork", "that is so anyway"},
	{"logfile", "--log FILE"},
	{"bind-address", "--address"},
	{"group", "the user's own; --user"},
	{"maxthread", "--max-transfers"},
	{"tftpd-timeout", "--timeout"},
	{"retry-timeout", "--retransmit, in microseconds"},
	{"no-timeout", "--refuse timeout"},
	{"no-tsize", "--refuse tsize"},
	{"no-blksize", "--refuse blksize"},
	{"no-windowsize", "--refuse windowsize"},
	{"no-multicast", "there is no multicast anyway"},
	{"prevent-sas", "that is so anyway"},
	{"trace", "--verbose"},
	{"pcre", "other rules, --map-file"},
	{"enable-tftp", "that is so anyway"},
	{"tftp-root", "the directory alone, without an option"},
	{"tftp-unique-root", "--root '/srv/tftp/{ip}:/srv/tftp' or {mac-dash}"},
	{"tftp-secure", "--user, whose files these are"},
	{"tftp-lowercase", "--names tolerant, which is so anyway"},
	{"tftp-max", "--max-transfers"},
	{"tftp-mtu", "--blocksize"},
	{"tftp-no-blocksize", "--refuse blksize"},
	{"tftp-port-range", "--port-range LO:HI"},
	{"tftp-single-port", "--single-port"},
	{"blksize", "--blocksize"},
};

/* A long option that getopt_long does not take, and why. */
static void name_mistake(const char *word, char error[CONFIG_ERROR_MAX])
{
	const char *name = word + (strncmp(word, "--", 2) == 0 ? 2 : 0);
	size_t len = strcspn(name, "="), said;
	int fits = 0;

	said = (size_t)snprintf(error, CONFIG_ERROR_MAX, "option %.128s could be", word);
	for (size_t i = 0; i < OPTIONS && len > 0; i++) {
		if (strncmp(table[i].name, name, len) != 0)
			continue;
		if (name[len] == '=' && table[i].arg == NULL) {
			snprintf(error, CONFIG_ERROR_MAX, "option --%s takes no value", table[i].name);
			return;
		}
		fits++;
		if (said < CONFIG_ERROR_MAX)
			said += (size_t)snprintf(error + said, CONFIG_ERROR_MAX - said, "%s --%s", fits > 1 ? "," : "", table[i].name);
	}
	if (fits > 0)
		return;
	said = (size_t)snprintf(error, CONFIG_ERROR_MAX, "unknown option %.128s", word);
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		if (strlen(elsewhere[i].theirs) == len && strncmp(elsewhere[i].theirs, name, len) == 0)
			snprintf(error + said, CONFIG_ERROR_MAX - said, " (here: %s)", elsewhere[i].ours);
}

static int apply(struct config *c, const struct option_entry *e, char error[CONFIG_ERROR_MAX])
{
	const char *wrong = NULL;

	if (e->apply == NULL)
		*(bool *)((char *)c + e->flag) = true;
	else
		wrong = e->apply(c, optarg);
	if (wrong == NULL)
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "--%s \"%.128s\": %s", e->name, optarg ? optarg : "", wrong);
	return EX_USAGE;
}

static int parse_options(struct config *c, int argc, char **argv, char error[CONFIG_ERROR_MAX])
{
	struct option longs[OPTIONS + 1];
	char shorts[2 * OPTIONS + 2];
	int code, status;

	make_getopt(longs, shorts);
	opterr = 0;
	while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_entry *e = find(code);

		if (code == '?' && optopt == 0)
			e = disambiguate(argv, optind - 1, argc, &optind);
		if (code == ':') {
			snprintf(error, CONFIG_ERROR_MAX, "option %.128s needs a value", argv[optind - 1]);
			return EX_USAGE;
		}
		if (e == NULL) {
			if (optopt != 0 && optopt < 256)
				snprintf(error, CONFIG_ERROR_MAX, "unknown option -%c", optopt);
			else
				name_mistake(argv[optind - 1], error);
			return EX_USAGE;
		}
		status = apply(c, e, error);
		if (status != 0)
			return status;
	}
	return 0;
}

/* "--explain IP" is followed by two words that are no directories. */
static int take_explain(struct config *c, int argc, char **argv, char error[CONFIG_ERROR_MAX])
{
	if (c->action != CONFIG_EXPLAIN)
		return 0;
	if (argc - optind < 2 || (strcmp(argv[optind], "read") != 0 && strcmp(argv[optind], "write") != 0)) {
		snprintf(error, CONFIG_ERROR_MAX, "--explain takes an address, read or write, and a name, then the directory");
		return EX_USAGE;
	}
	c->explain[1] = argv[optind++];
	c->explain[2] = argv[optind++];
	return 0;
}

static int take_directories(struct config *c, int argc, char **argv, char error[CONFIG_ERROR_MAX])
{
	for (; optind < argc; optind++) {
		/* tftpd.service passes its directory always, and empty where the settings say --root instead. */
		if (c->roots != NULL && argv[optind][0] == '\0')
			continue;
		if (c->ndirectories == CONFIG_DIRECTORIES) {
			snprintf(error, CONFIG_ERROR_MAX, "more than %d directories", CONFIG_DIRECTORIES);
			return EX_USAGE;
		}
		c->directories[c->ndirectories++] = argv[optind];
	}
	if (c->roots != NULL && c->ndirectories > 0) {
		snprintf(error, CONFIG_ERROR_MAX, "--root and a directory (\"%.128s\"): one of them", c->directories[0]);
		return EX_USAGE;
	}
	if ((!c->hpa || c->secure || c->jail) && c->ndirectories > 1) {
		snprintf(error, CONFIG_ERROR_MAX, "one directory is served, \"%.128s\" is one too many (or use --root A:B)",
		    c->directories[1]);
		return EX_USAGE;
	}
	if (c->hpa && c->secure && c->ndirectories == 0 && c->roots == NULL) {
		snprintf(error, CONFIG_ERROR_MAX, "--secure needs a directory");
		return EX_USAGE;
	}
	/* tftp-hpa without a list serves any absolute name. */
	if (c->ndirectories == 0)
		c->directories[c->ndirectories++] = c->hpa && !c->jail ? "/" : "/srv/tftp";
	c->directory = c->directories[0];
	return 0;
}

/* What follows from everything together. */
static void settle(struct config *c)
{
	if (!c->hpa) {
		c->permissive = true;
		c->tolerant = !c->strict_given;
		c->level = c->verbosity > 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
		return;
	}
	if (c->umask < 0 && !c->permissive)
		c->umask = 0;
	/* Behind a chroot links can only lead inside; with a list of directories tftp-hpa follows them anywhere. */
	if (!c->symlinks_given && !c->secure && !c->jail)
		c->symlinks = CONFIG_SYMLINKS_ANY;
	c->level = c->verbosity > 1 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

int config_parse(struct config *c, int argc, char **argv, char error[CONFIG_ERROR_MAX])
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	int status;

	defaults(c);
	c->program = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "tftpd";
	error[0] = '\0';
	status = parse_options(c, argc, argv, error);
	if (status != 0)
		return status;
	c->hpa = strcmp(c->program, "in.tftpd") == 0 || c->listen || c->foreground || c->secure;
	status = take_explain(c, argc, argv, error);
	if (status == 0)
		status = take_directories(c, argc, argv, error);
	settle(c);
	return status;
}
