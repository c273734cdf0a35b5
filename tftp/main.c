/* tftp: read the command line, run one command, say how it ended. */
#include "client.h"
#include "command.h"
#include "options.h"
#include "udp.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VERSION "0.1.0"

enum { OPT_BLKSIZE = 256, OPT_WINDOWSIZE, OPT_TIMEOUT, OPT_MODE, OPT_WITHOUT };

static const struct option longs[] = {
	{"blksize", required_argument, NULL, OPT_BLKSIZE},
	{"windowsize", required_argument, NULL, OPT_WINDOWSIZE},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"mode", required_argument, NULL, OPT_MODE},
	{"without", required_argument, NULL, OPT_WITHOUT},
	{"verbose", no_argument, NULL, 'v'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void usage(FILE *out)
{
	fputs("usage:\n", out);
	for (int i = 0; i < ncommands; i++)
		fprintf(out, "  tftp [options] %s %-34s %s\n", commands[i].name, commands[i].args, commands[i].help);
	fputs("\noptions:\n"
	    "  --blksize N|auto      bytes per block, 8 to 65464 (default: what the route carries without fragments)\n"
	    "  --windowsize N|auto   blocks in flight, 1 to 32767 (default: up to 64 KiB)\n"
	    "  --timeout SECONDS     retransmit at this fixed interval, 1 to 255 (default: adapt)\n"
	    "  --mode MODE           octet (default) or netascii\n"
	    "  --without FEATURE     do not use gso, gro or sendmmsg; may be repeated\n"
	    "  -v, --verbose         one line on success\n"
	    "  -V, --version         print the version\n"
	    "  -h, --help            print this\n", out);
}

static int wrong(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "tftp: --%s \"%s\": %s\n", option, value, why);
	return CLIENT_USAGE;
}

/* "auto" is 0. False if it is neither that nor a number in range. */
static bool parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *out)
{
	char *end;

	*out = 0;
	if (strcmp(text, "auto") == 0)
		return true;
	errno = 0;
	*out = strtoul(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out >= min && *out <= max;
}

static int apply(struct client_options *o, int code, const char *value)
{
	unsigned long n;

	switch (code) {
	case OPT_BLKSIZE:
		if (!parse_number(value, BLKSIZE_MIN, BLKSIZE_MAX, &n))
			return wrong("blksize", value, "takes 8 to 65464, or auto");
		o->blksize = (uint32_t)n;
		return 0;
	case OPT_WINDOWSIZE:
		if (!parse_number(value, 1, WINDOWSIZE_MAX, &n))
			return wrong("windowsize", value, "takes 1 to 32767, or auto");
		o->windowsize = (uint32_t)n;
		return 0;
	case OPT_TIMEOUT:
		if (!parse_number(value, 1, 255, &n))
			return wrong("timeout", value, "takes 1 to 255 seconds");
		o->timeout = (unsigned)n;
		return 0;
	case OPT_MODE:
		o->text = strcasecmp(value, "netascii") == 0 || strcasecmp(value, "ascii") == 0;
		if (!o->text && strcasecmp(value, "octet") != 0 && strcasecmp(value, "binary") != 0)
			return wrong("mode", value, "takes octet or netascii");
		return 0;
	case OPT_WITHOUT:
		if (strcmp(value, "gso") == 0)
			o->without |= UDP_NO_GSO;
		else if (strcmp(value, "gro") == 0)
			o->without |= UDP_NO_GRO;
		else if (strcmp(value, "sendmmsg") == 0)
			o->without |= UDP_NO_MMSG;
		else
			return wrong("without", value, "takes gso, gro or sendmmsg");
		return 0;
	}
	return CLIENT_USAGE;
}

static int run(const struct client_options *options, bool verbose, int argc, char **argv)
{
	struct client_outcome out = {.status = CLIENT_OK};
	const struct command *command = argc > 0 ? command_find(argv[0]) : NULL;
	int status;

	if (argc == 0) {
		fprintf(stderr, "tftp: what is to be done? (tftp --help)\n");
		return CLIENT_USAGE;
	}
	if (command == NULL) {
		fprintf(stderr, "tftp: unknown command \"%s\" (tftp --help)\n", argv[0]);
		return CLIENT_USAGE;
	}
	if (argc - 1 < command->least || argc - 1 > command->most) {
		fprintf(stderr, "tftp: %s takes %s\n", command->name, command->args);
		return CLIENT_USAGE;
	}
	status = command->run(options, argc - 1, argv + 1, &out);
	if (status != 0 || verbose)
		fprintf(stderr, "tftp: %s\n", out.message);
	return status;
}

int main(int argc, char **argv)
{
	struct client_options options = {.blksize = 0};
	bool verbose = false;
	int code, status;

	opterr = 0;
	while ((code = getopt_long(argc, argv, ":vVh", longs, NULL)) != -1) {
		switch (code) {
		case 'v':
			verbose = true;
			break;
		case 'V':
			printf("tftp %s\n", VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		case ':':
			fprintf(stderr, "tftp: option %s needs a value\n", argv[optind - 1]);
			return CLIENT_USAGE;
		case '?':
			fprintf(stderr, "tftp: unknown option %s (tftp --help)\n", argv[optind - 1]);
			return CLIENT_USAGE;
		default:
			status = apply(&options, code, optarg);
			if (status != 0)
				return status;
		}
	}
	return run(&options, verbose, argc - optind, argv + optind);
}
