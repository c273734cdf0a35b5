/* The server's command line: what each option sets, and how a word that is wrong is named. */
#include "config.h"
#include "options.h"
#include "udp.h"
#include "unit.h"

#include <getopt.h>
#include <string.h>
#include <sysexits.h>

static struct config c;
static char error[CONFIG_ERROR_MAX];

/* Words with blanks between them, the program's name before them. */
static int parse_as(const char *program, const char *line)
{
	static char copy[4096], name[32];
	static char *words[128];
	char *rest = copy;
	int n = 0;

	snprintf(name, sizeof(name), "%s", program);
	snprintf(copy, sizeof(copy), "%s", line);
	words[n++] = name;
	for (char *word; (word = strsep(&rest, " ")) != NULL;)
		if (*word != '\0')
			words[n++] = strcmp(word, "''") == 0 ? (char *)"" : word;
	words[n] = NULL;
	config_free(&c);
	memset(&c, 0, sizeof(c));
	optind = 0; /* from the start again */
	return config_parse(&c, n, words, error);
}

static void takes(const char *line)
{
	ck_assert_msg(parse_as("tftpd", line) == 0, "%s: %s", line, error);
}

/* Refused with this status, and these words in the sentence. */
static void refused(const char *line, int status, const char *said)
{
	int got = parse_as("tftpd", line);

	ck_assert_msg(got == status, "%s: status %d, %s", line, got, error);
	ck_assert_msg(strstr(error, said) != NULL, "%s: %s", line, error);
}

START_TEST(a_directory_alone_is_served_as_people_expect)
{
	takes("/srv");
	ck_assert_str_eq(c.directory, "/srv");
	ck_assert(!c.hpa && !c.create && c.permissive && c.tolerant && c.umask == -1);
	ck_assert(!config_uploads(&c) && !config_background(&c));
	ck_assert_uint_eq(c.blksize_max, 0);
	ck_assert_int_eq(c.give_up, 30 * MONO_SEC);
	ck_assert_uint_eq(c.max_transfers, 4096);
	ck_assert_int_eq(c.action, CONFIG_RUN);
	parse_as("tftpd", "--create --verbose");
	ck_assert_str_eq(c.directory, "/srv/tftp");
	ck_assert(config_uploads(&c) && c.level == LOG_LEVEL_DEBUG);
}
END_TEST

START_TEST(hpas_flags_bring_hpas_defaults)
{
	takes("--listen --user tftp --address :69 --secure /srv/tftp");
	ck_assert(c.hpa && c.secure && c.listen && config_background(&c) && c.umask == 0 && !c.permissive);
	ck_assert_str_eq(c.user, "tftp");
	ck_assert_int_eq(c.naddresses, 1);
	takes("-L -c -p -U 027 /a /b");
	ck_assert(c.hpa && c.foreground && !config_background(&c) && c.umask == 027 && c.ndirectories == 2);
	ck_assert_int_eq(c.symlinks, CONFIG_SYMLINKS_ANY);
	ck_assert_int_eq(parse_as("in.tftpd", ""), 0);
	ck_assert(c.hpa);
	ck_assert_str_eq(c.directory, "/");
	takes("-4 -l x");
	ck_assert_int_eq(c.family, AF_INET);
	takes("-6 -l x");
	ck_assert_int_eq(c.family, AF_INET6);
	takes("-L -v -v x");
	ck_assert(c.level == LOG_LEVEL_DEBUG && c.verbosity == 2);
}
END_TEST

START_TEST(values_are_taken)
{
	takes("--verbosity 3 -t 60 -T 500000 -P /run/pid -m /rules --map-steps 7 --path-prefix /p -B 1024 -W 9 d");
	ck_assert(c.verbosity == 3 && c.idle == 60 * MONO_SEC && c.first == MONO_SEC / 2 && c.map_steps == 7);
	ck_assert_str_eq(c.pidfile, "/run/pid");
	ck_assert_str_eq(c.map_file, "/rules");
	ck_assert_str_eq(c.prefix, "/p");
	ck_assert(c.blksize_max == 1024 && c.windowsize_max == 9);
	takes("-B max --window-bytes 1000 -R 4000:4100 -r blksize -r tsize d");
	ck_assert(c.blksize_max == BLKSIZE_MAX && c.window_bytes == 1000 && c.port_lo == 4000 && c.port_hi == 4100);
	ck_assert_uint_eq(c.refuse, OPTION_BIT(OPTION_BLKSIZE) | OPTION_BIT(OPTION_TSIZE));
	takes("-B max -B mtu --max-upload 10M --min-free 1G --keep 3 --on-exists version d");
	ck_assert(c.blksize_max == 0 && c.max_upload == 10u << 20 && c.min_free == 1u << 30 && c.keep == 3);
	ck_assert_int_eq(c.on_exists, CONFIG_EXISTS_VERSION);
	takes("--max-upload 1T --rate 5K --rate-per-client 2000 --give-up 9 --max-transfers 5 --max-per-client 2 d");
	ck_assert(c.max_upload == (uint64_t)1 << 40 && c.rate_per_client == 2000 && c.give_up == 9 * MONO_SEC);
	ck_assert(c.rate >= 5000 && c.max_transfers == 5 && c.max_per_client == 2);
	takes("--without gso --without sendmmsg --without openat2 --without seccomp --without landlock --without gro "
	    "--without epoll d");
	ck_assert_uint_eq(c.without, UDP_NO_GSO | UDP_NO_GRO | UDP_NO_MMSG | CONFIG_NO_OPENAT2 | CONFIG_NO_SECCOMP |
	    CONFIG_NO_LANDLOCK | CONFIG_NO_EPOLL);
	takes("--symlinks none --names strict --log-format json --log syslog --interface eth0 --port 6969 d");
	ck_assert(c.symlinks == CONFIG_SYMLINKS_NONE && !c.tolerant && c.log_format == LOG_FORMAT_JSON);
	ck_assert_str_eq(c.log, "syslog");
	ck_assert_str_eq(c.interface, "eth0");
	ck_assert_str_eq(c.port, "6969");
	takes("--root /a:/b/{mac}");
	ck_assert_str_eq(c.roots, "/a:/b/{mac}");
	/* tftpd.service passes its directory, also where the settings have made it empty */
	takes("--root /a ''");
	ck_assert_str_eq(c.roots, "/a");
}
END_TEST

START_TEST(what_does_not_serve_is_told_apart)
{
	takes("--check d");
	ck_assert_int_eq(c.action, CONFIG_CHECK);
	takes("--map-test names -m rules d");
	ck_assert_int_eq(c.action, CONFIG_MAP_TEST);
	takes("-V");
	ck_assert_int_eq(c.action, CONFIG_VERSION);
	takes("--help");
	ck_assert_int_eq(c.action, CONFIG_HELP);
	takes("--explain 192.0.2.1 read file d");
	ck_assert_int_eq(c.action, CONFIG_EXPLAIN);
	ck_assert_str_eq(c.explain[0], "192.0.2.1");
	ck_assert_str_eq(c.explain[2], "file");
	ck_assert_str_eq(c.directory, "d");
	refused("--explain 192.0.2.1 look file", EX_USAGE, "read or write");
	refused("--explain 192.0.2.1", EX_USAGE, "read or write");
}
END_TEST

START_TEST(long_names_may_be_cut_as_with_getopt)
{
	takes("--addr 192.0.2.1 --foregr --secu d");
	ck_assert(c.hpa && c.secure && c.naddresses == 1);
	/* Where an addition of ours begins like an option of tftp-hpa's, that one is meant. */
	takes("--s d");
	ck_assert(c.secure);
	refused("--ver d", EX_USAGE, "--ver");
	takes("--ma=/rules d");
	ck_assert_str_eq(c.map_file, "/rules");
	takes("--ma /rules d");
	ck_assert_str_eq(c.map_file, "/rules");
	refused("--ma", EX_USAGE, "--ma");
}
END_TEST

START_TEST(a_bad_word_is_named)
{
	static const struct { const char *line, *said; } rows[] = {
		{"--address [::1 d", "[::1"}, {"--interface '' d", "interface"}, {"--port '' d", "port"},
		{"-B 7 d", "\"7\""}, {"-B 65465 d", "65465"}, {"-W 0 d", "32767"}, {"-W 40000 d", "40000"},
		{"--window-bytes 5 d", "512"}, {"--give-up 0 d", "seconds"}, {"--max-transfers 0 d", "transfers"},
		{"--max-per-client x d", "\"x\""}, {"--rate 5 d", "at least 1000"}, {"--rate 10Q d", "10Q"},
		{"-R 10 d", "10"}, {"-R 20:10 d", "20:10"}, {"--without speed d", "seccomp"}, {"--log-format x d", "\"x\""},
		{"--verbosity many d", "many"}, {"-U 9 d", "9"}, {"-t x d", "seconds"}, {"-T 5 d", "microseconds"},
		{"--map-steps 0 d", "steps"}, {"-r nothing d", "nothing"}, {"--names loose d", "loose"},
		{"--symlinks some d", "inside, any or none"}, {"--on-exists ask d", "ask"}, {"--keep 0 d", "versions"},
		{"--max-upload 10X d", "10X"}, {"--max-upload M d", "\"M\""}, {"--max-upload 99999999999T d", "99999999999T"},
		{"--min-free -1 d", "-1"}, {"--upload-name {what} d", "not known"}, {"--upload-name a{b d", "without a }"},
		{"--root '' d", "--root"}, {"--allow 192.0.2.0/33 d", "192.0.2.0/33"}, {"-P '' d", "path"}, {"-u '' d", "user"},
		{"--nonsense d", "--nonsense"}, {"-Q d", "-Q"}, {"-a", "needs a value"}, {"/a /b", "\"/b\""},
		{"--root /a /b", "one of them"}, {"--secure", "needs a directory"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		refused(rows[i].line, EX_USAGE, rows[i].said);
}
END_TEST

START_TEST(an_option_of_another_server_is_translated)
{
	refused("--logfile x d", EX_USAGE, "unknown option --logfile (here: --log FILE)");
	refused("--tftp-root=/srv/tftp", EX_USAGE, "option --tftp-root=/srv/tftp (here: the directory alone, without an option)");
	refused("--frobnicate d", EX_USAGE, "unknown option --frobnicate");
	refused("--=x d", EX_USAGE, "unknown option --=x");
	ck_assert(strchr(error, '(') == NULL);
	refused("--create=yes d", EX_USAGE, "option --create takes no value");
	refused("--max- 1 d", EX_USAGE, "option --max- could be --max-upload, --max-transfers, --max-per-client");
}
END_TEST

START_TEST(usage_names_every_option_that_is_taken)
{
	static const char *const some[] = {
		"  -4, --ipv4 ", "      --without FEATURE ", "  -a, --address [ADDR][:PORT] ", "  -h, --help ", "usage: tftpd ",
	};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	config_usage(out);
	fclose(out);
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		ck_assert_msg(strstr(text, some[i]) != NULL, "%s is not in: %s", some[i], text);
	free(text);
}
END_TEST

START_TEST(there_is_an_end_to_directories_and_addresses)
{
	char line[2048] = "-L";

	for (int i = 0; i < CONFIG_DIRECTORIES; i++)
		strcat(line, " /d");
	takes(line);
	strcat(line, " /one");
	refused(line, EX_USAGE, "directories");
	strcpy(line, "d");
	for (int i = 0; i <= CONFIG_ADDRESSES; i++)
		strcat(line, " -a 192.0.2.1");
	refused(line, EX_USAGE, "too many addresses");
}
END_TEST

UNIT_MAIN("config", a_directory_alone_is_served_as_people_expect, hpas_flags_bring_hpas_defaults, values_are_taken,
    what_does_not_serve_is_told_apart, long_names_may_be_cut_as_with_getopt, a_bad_word_is_named,
    an_option_of_another_server_is_translated,
    usage_names_every_option_that_is_taken, there_is_an_end_to_directories_and_addresses)
