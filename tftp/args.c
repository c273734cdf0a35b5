/* Options: GNU style, with the letters of tftp-hpa, busybox, atftp, curl and Windows. */
#include "args_int.h"

#include "log.h"

#include <string.h>
#include <strings.h>

enum id {
	ID_IPV4, ID_IPV6, ID_BIND, ID_BLKSIZE, ID_COMMAND, ID_FILE_OR_LITERAL, ID_GET, ID_HELP, ID_IGNORED, ID_JSON,
	ID_LITERAL, ID_LOCAL, ID_MAX_TIME, ID_MODE, ID_NO_OPTIONS, ID_NO_PROGRESS, ID_OPTION, ID_OUTPUT, ID_OWN_NAME,
	ID_PARALLEL, ID_PORT_RANGE, ID_PROGRESS, ID_PUT, ID_QUIET, ID_RELAXED_PEER, ID_REMOTE, ID_RETRIES, ID_SIZE,
	ID_TIMEOUT, ID_TRACE, ID_UPLOAD, ID_VERBOSE, ID_VERSION, ID_WINDOWSIZE, ID_WITHOUT,
};

/* A second name for an option has no help of its own and is not shown. */
struct opt {
	char letter;
	const char *name;   /* may be NULL */
	const char *value;  /* what it takes, NULL: nothing */
	enum id id;
	const char *help;
};

static const struct opt table[] = {
	{'4', "ipv4", NULL, ID_IPV4, "IPv4 only"},
	{'6', "ipv6", NULL, ID_IPV6, "IPv6 only"},
	{0, "bind", "ADDR", ID_BIND, "send from this local address"},
	{'B', "blksize", "N|auto", ID_BLKSIZE, "bytes per block, 8 to 65464 (default: what the route carries)"},
	{0, "blocksize", "N|auto", ID_BLKSIZE, NULL},
	{'b', NULL, "N", ID_SIZE, NULL},
	{'c', NULL, NULL, ID_COMMAND, "the rest of the line is a command, as in interactive use"},
	{'g', "get", NULL, ID_GET, "fetch (busybox, atftp)"},
	{'p', "put", NULL, ID_PUT, "upload (busybox, atftp)"},
	{'h', "help", NULL, ID_HELP, "print this"},
	{'i', NULL, NULL, ID_IGNORED, "nothing: transfers are binary anyway (Windows)"},
	{0, "json", NULL, ID_JSON, "one JSON object for each file"},
	{'l', NULL, NULL, ID_FILE_OR_LITERAL,
	    "without -g or -p: a colon in a name means nothing; with them: as --local-file"},
	{0, "literal", NULL, ID_LITERAL, NULL},
	{0, "local-file", "FILE", ID_LOCAL, "the local file, with -g or -p"},
	{'r', "remote-file", "FILE", ID_REMOTE, "the remote file, with -g or -p"},
	{0, "max-time", "SECONDS", ID_MAX_TIME, "give up on a file after this time in all"},
	{'m', "mode", "MODE", ID_MODE, "octet (default) or netascii"},
	{0, "no-options", NULL, ID_NO_OPTIONS, "RFC 1350 as it was: no options, blocks of 512"},
	{0, "option", "\"NAME VALUE\"", ID_OPTION, "blksize, windowsize, timeout or tsize (atftp)"},
	{'o', "output", "FILE", ID_OUTPUT, "write to FILE, - is standard output (curl)"},
	{'O', "remote-name", NULL, ID_OWN_NAME, "write to a file of the remote file's name (curl)"},
	{'T', "upload-file", "FILE", ID_UPLOAD, "upload FILE, - is standard input (curl)"},
	{0, "parallel", "N", ID_PARALLEL, "files at a time, 1 to 256 (default: 1)"},
	{'R', "port-range", "LO:HI", ID_PORT_RANGE, "local ports"},
	{0, "ports", "LO:HI", ID_PORT_RANGE, NULL},
	{0, "progress", NULL, ID_PROGRESS, "show progress even where it is no terminal"},
	{0, "no-progress", NULL, ID_NO_PROGRESS, "never show progress"},
	{'q', "quiet", NULL, ID_QUIET, "no progress, no remarks; errors only"},
	{0, "relaxed-peer", NULL, ID_RELAXED_PEER, "the answer may come from another address"},
	{0, "retries", "N", ID_RETRIES, "repeat an unanswered request so often, 0 to 100 (default: 4)"},
	{0, "timeout", "SECONDS", ID_TIMEOUT, "retransmit at this fixed interval, 1 to 255 (default: adapt)"},
	{0, "tftp-timeout", "SECONDS", ID_TIMEOUT, NULL},
	{0, "trace", NULL, ID_TRACE, "show every packet"},
	{'v', "verbose", NULL, ID_VERBOSE, "a summary of each file"},
	{'V', "version", NULL, ID_VERSION, "print the version"},
	{'W', "windowsize", "N|auto", ID_WINDOWSIZE, "blocks in flight, 1 to 65535 (default: up to 64 KiB)"},
	{0, "without", "FEATURE", ID_WITHOUT, "do not use gso, gro or sendmmsg; may be repeated"},
};
#define NTABLE (sizeof(table) / sizeof(table[0]))

static int apply(struct args *a, const struct opt *opt, const char *name, const char *value, char *why);

static const struct opt *by_id(enum id id)
{
	for (size_t i = 0; i < NTABLE; i++)
		if (table[i].id == id)
			return &table[i];
	return NULL;
}

/* atftp's --option "blksize 1024". */
static int set_option(struct args *a, const char *name, const char *value, char *why)
{
	static const struct {
		const char *name;
		enum id id;
	} known[] = {{"blksize", ID_BLKSIZE}, {"windowsize", ID_WINDOWSIZE}, {"timeout", ID_TIMEOUT}};
	size_t len = strcspn(value, " =");
	const char *rest = value + len + strspn(value + len, " =");

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == len && strncasecmp(value, known[i].name, len) == 0)
			return apply(a, by_id(known[i].id), name, rest, why);
	if (len == 5 && strncasecmp(value, "tsize", len) == 0) {
		a->options.no_tsize = false;
		return 0;
	}
	if (strcasecmp(value, "disable tsize") == 0) {
		a->options.no_tsize = true;
		return 0;
	}
	return args_wrong(why, name, value, "takes blksize, windowsize or timeout and a value, or tsize");
}

static int apply_number(struct client_options *o, enum id id, const char *name, const char *value, char *why)
{
	unsigned long n;

	switch (id) {
	case ID_BLKSIZE:
	case ID_SIZE:
		if (!args_parse_auto(value, BLKSIZE_MIN, BLKSIZE_MAX, &n))
			return args_wrong(why, name, value, "takes 8 to 65464, or auto");
		o->blksize = (uint32_t)n;
		return 0;
	case ID_WINDOWSIZE:
		if (!args_parse_auto(value, 1, 65535, &n))
			return args_wrong(why, name, value, "takes 1 to 65535, or auto");
		/* Beyond half of the block numbers an old block cannot be told from a new one. */
		o->windowsize = n > WINDOWSIZE_MAX ? WINDOWSIZE_MAX : (uint32_t)n;
		return 0;
	case ID_TIMEOUT:
		if (!args_parse_number(value, 1, 255, &n))
			return args_wrong(why, name, value, "takes 1 to 255 seconds");
		o->timeout = (unsigned)n;
		return 0;
	case ID_RETRIES:
		if (!args_parse_number(value, 0, 100, &n))
			return args_wrong(why, name, value, "takes 0 to 100");
		o->retries = (unsigned)n;
		return 0;
	case ID_MAX_TIME:
		if (!args_parse_number(value, 1, 1000000, &n))
			return args_wrong(why, name, value, "takes 1 to 1000000 seconds");
		o->max_time = (unsigned)n;
		return 0;
	case ID_PARALLEL:
		if (!args_parse_number(value, 1, CLIENT_PARALLEL_MAX, &n))
			return args_wrong(why, name, value, "takes 1 to 256");
		o->parallel = (unsigned)n;
		return 0;
	default:
		return -1;
	}
}

static int apply_value(struct args *a, enum id id, const char *name, const char *value, char *why)
{
	switch (id) {
	case ID_BIND:
		return args_set_bind(&a->options, name, value, why);
	case ID_MODE:
		return args_set_mode(&a->options, name, value, why);
	case ID_PORT_RANGE:
		return args_set_ports(&a->options, name, value, why);
	case ID_OPTION:
		return set_option(a, name, value, why);
	case ID_WITHOUT:
		return args_set_without(&a->options, name, value, why);
	case ID_LOCAL:
	case ID_FILE_OR_LITERAL:
		a->local = value;
		return 0;
	case ID_REMOTE:
		a->remote = value;
		return 0;
	case ID_OUTPUT:
		a->output = value;
		return 0;
	case ID_UPLOAD:
		a->upload = value;
		return 0;
	default:
		return apply_number(&a->options, id, name, value, why);
	}
}

static void apply_flag(struct args *a, enum id id)
{
	switch (id) {
	case ID_IPV4:
		a->options.family = AF_INET;
		break;
	case ID_IPV6:
		a->options.family = AF_INET6;
		break;
	case ID_GET:
		a->verb = ARGS_GET;
		break;
	case ID_PUT:
		a->verb = ARGS_PUT;
		break;
	case ID_HELP:
		a->help = true;
		break;
	case ID_JSON:
		a->json = true;
		break;
	case ID_LITERAL:
	case ID_FILE_OR_LITERAL:
		a->literal = true;
		break;
	case ID_NO_OPTIONS:
		a->options.no_options = true;
		break;
	case ID_PROGRESS:
		a->progress = 1;
		break;
	case ID_NO_PROGRESS:
		a->progress = 0;
		break;
	case ID_OWN_NAME:
		a->own_name = true;
		break;
	case ID_QUIET:
		a->quiet = true;
		break;
	case ID_RELAXED_PEER:
		a->options.relaxed_peer = true;
		break;
	case ID_TRACE:
		a->options.trace = true;
		break;
	case ID_VERBOSE:
		a->verbose = true;
		break;
	case ID_VERSION:
		a->version = true;
		break;
	default:
		break;
	}
}

static int apply(struct args *a, const struct opt *opt, const char *name, const char *value, char *why)
{
	if (value != NULL)
		return apply_value(a, opt->id, name, value, why);
	apply_flag(a, opt->id);
	return 0;
}

int args_set(struct args *a, const char *name, const char *value, char *why)
{
	for (size_t i = 0; i < NTABLE; i++)
		if (table[i].name != NULL && strcmp(table[i].name, name) == 0)
			return apply(a, &table[i], name, value, why);
	return args_complain(why, "there is no option %s", name);
}

/* Walking the command line. */

struct walk {
	struct args *args;
	char **argv;
	int argc, at;
	bool files;        /* -g or -p is there: -l and -b are busybox's */
	char *why;
};

static const struct opt *by_letter(char letter)
{
	for (size_t i = 0; i < NTABLE; i++)
		if (table[i].letter == letter)
			return &table[i];
	return NULL;
}

static bool takes_value(const struct opt *opt, bool files)
{
	return opt->value != NULL || (opt->id == ID_FILE_OR_LITERAL && files);
}

/* The option of that long name, whole or any unique beginning. NULL and *n: how many it could be. */
static const struct opt *by_name(const char *name, size_t len, int *n)
{
	const struct opt *found = NULL;

	*n = 0;
	for (size_t i = 0; i < NTABLE; i++) {
		if (table[i].name == NULL || strncmp(table[i].name, name, len) != 0)
			continue;
		if (table[i].name[len] == '\0')
			return &table[i];
		if (found == NULL || found->id != table[i].id)
			++*n;
		found = &table[i];
	}
	return *n == 1 ? found : NULL;
}

/* Whether -g or -p is among the options: it decides what -l means, wherever it stands. */
static bool has_verb(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0 && strcmp(argv[i], "-c") != 0; i++) {
		const struct opt *named = NULL;
		int n;

		if (argv[i][0] == '-' && argv[i][1] == '-')
			named = by_name(argv[i] + 2, strcspn(argv[i] + 2, "="), &n);
		if (named != NULL && (named->id == ID_GET || named->id == ID_PUT))
			return true;
		if (argv[i][0] != '-' || argv[i][1] == '-')
			continue;
		for (const char *p = argv[i] + 1; *p != '\0'; p++) {
			const struct opt *opt = by_letter(*p);

			if (*p == 'g' || *p == 'p')
				return true;
			if (opt == NULL || takes_value(opt, true))
				break;
		}
	}
	return false;
}

static int long_option(struct walk *w)
{
	char *name = w->argv[w->at++] + 2, *value = strchr(name, '=');
	size_t len = value != NULL ? (size_t)(value - name) : strlen(name);
	const struct opt *opt;
	char dashed[64], safe[96];
	int n;

	opt = by_name(name, len, &n);
	log_safe(safe, sizeof(safe), name, len);
	if (opt == NULL)
		return args_complain(w->why, n > 1 ? "option --%s could be several" : "unknown option --%s (tftp --help)",
		    safe);
	snprintf(dashed, sizeof(dashed), "--%s", opt->name);
	if (opt->value == NULL && value != NULL)
		return args_complain(w->why, "option %s takes no value", dashed);
	if (opt->value == NULL)
		return apply(w->args, opt, dashed, NULL, w->why);
	if (value == NULL && w->at == w->argc)
		return args_complain(w->why, "option %s needs a value: %s", dashed, opt->value);
	return apply(w->args, opt, dashed, value != NULL ? value + 1 : w->argv[w->at++], w->why);
}

/* The letters of one word. */
static int short_options(struct walk *w)
{
	for (char *p = w->argv[w->at++] + 1; *p != '\0'; p++) {
		const struct opt *opt = by_letter(*p);
		char dashed[3] = {'-', *p, '\0'}, safe[8];

		log_safe(safe, sizeof(safe), p, 1);
		if (opt == NULL)
			return args_complain(w->why, "unknown option -%s (tftp --help)", safe);
		if (opt->id == ID_COMMAND) {
			w->args->command = w->argv + w->at;
			w->args->ncommand = w->argc - w->at;
			w->at = w->argc;
			return 0;
		}
		if (takes_value(opt, w->files)) {
			const char *value = p[1] != '\0' ? p + 1 : w->at < w->argc ? w->argv[w->at++] : NULL;

			if (value == NULL)
				return args_complain(w->why, "option %s needs a value: %s", dashed,
				    opt->value != NULL ? opt->value : "FILE");
			return apply(w->args, opt, dashed, value, w->why);
		}
		apply_flag(w->args, opt->id);
	}
	return 0;
}

int args_parse(struct args *a, int argc, char **argv, char *why)
{
	struct walk w = {.args = a, .argv = argv, .argc = argc, .at = 1, .files = has_verb(argc, argv), .why = why};
	int err = 0;

	*a = (struct args){.options.retries = CLIENT_RETRIES, .progress = -1};
	*why = '\0';
	a->words = argv + 1;
	while (w.at < argc && err == 0) {
		char *word = argv[w.at];

		if (strcmp(word, "--") == 0) {
			while (++w.at < argc)
				a->words[a->nwords++] = argv[w.at];
		} else if (word[0] != '-' || word[1] == '\0') {
			a->words[a->nwords++] = argv[w.at++];
		} else {
			err = word[1] == '-' ? long_option(&w) : short_options(&w);
		}
	}
	if (err == 0 && a->options.family != AF_UNSPEC && a->options.bind.sa.sa_family != AF_UNSPEC &&
	    a->options.bind.sa.sa_family != a->options.family)
		return args_complain(why, "--bind is not an address of the family that -4 or -6 asks for");
	return err;
}

void args_help(FILE *out)
{
	for (size_t i = 0; i < NTABLE; i++) {
		const struct opt *opt = &table[i];
		char left[64];
		int n = 0;

		if (opt->help == NULL)
			continue;
		if (opt->letter != 0)
			n = snprintf(left, sizeof(left), "-%c", opt->letter);
		if (opt->name != NULL)
			n += snprintf(left + n, sizeof(left) - (size_t)n, "%s--%s", opt->letter != 0 ? ", " : "    ", opt->name);
		if (opt->value != NULL)
			snprintf(left + n, sizeof(left) - (size_t)n, " %s", opt->value);
		fprintf(out, "  %-30s %s\n", left, opt->help);
	}
}
