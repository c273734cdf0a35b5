/* tftp/args and tftp/form: which command line means what. Each is written as a person types it. */
#include "form.h"
#include "udp.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static char line[512], why[ARGS_WHY];
static char *argv[64];
static struct args args;
static struct form form;

/* 0 or -1; `why` says why. */
static int read_line(const char *text)
{
	int argc = 0;
	char *rest = line;

	form_free(&form);
	snprintf(line, sizeof(line), "%s", text);
	for (char *word; (word = strsep(&rest, " ")) != NULL;)
		argv[argc++] = word;
	argv[argc] = NULL;
	if (args_parse(&args, argc, argv, why) != 0)
		return -1;
	return form_read(&form, &args, why);
}

/* The jobs, each as "get host[:port] remote local". */
static void means(const char *text, const char *jobs)
{
	char got[512] = "";

	ck_assert_msg(read_line(text) == 0, "%s: %s", text, why);
	ck_assert_msg(form.kind == FORM_JOBS, "%s is not for jobs", text);
	for (size_t i = 0; i < form.jobs.n; i++) {
		const struct client_job *j = &form.jobs.list[i];

		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s %s%s%s %s %s", i > 0 ? ", " : "",
		    j->write ? "put" : "get", j->host, j->port != NULL ? "#" : "", j->port != NULL ? j->port : "", j->remote,
		    j->local);
	}
	ck_assert_msg(strcmp(got, jobs) == 0, "%s: <%s> and not <%s>", text, got, jobs);
}

static void session(const char *text, const char *host, const char *port, int words)
{
	ck_assert_msg(read_line(text) == 0, "%s: %s", text, why);
	ck_assert_int_eq(form.kind, FORM_SHELL);
	ck_assert_pstr_eq(form.host, host);
	ck_assert_pstr_eq(form.port, port);
	ck_assert_int_eq(args.command != NULL ? args.ncommand : -1, words);
}

static void refused(const char *text, const char *words)
{
	ck_assert_msg(read_line(text) != 0, "%s is accepted", text);
	ck_assert_msg(strstr(why, words) != NULL, "%s: <%s> does not say <%s>", text, why, words);
}

START_TEST(url_form)
{
	means("tftp get tftp://h/x", "get h x .");
	means("tftp get tftp://h:70/d/x y", "get h#70 d/x y");
	means("tftp get tftp://h/x -", "get h x -");
	means("tftp tftp://h/x", "get h x .");
	means("tftp tftp://h/x -o y", "get h x y");
	means("tftp -O tftp://h/d/x", "get h d/x .");
	means("tftp -o - tftp://h/x", "get h x -");
	means("tftp tftp://h/x y", "get h x y");
	means("tftp put x tftp://h/y", "put h y x");
	means("tftp put - tftp://h/y", "put h y -");
	means("tftp put x tftp://h/", "put h x x");
	means("tftp put d/x tftp://h/up/", "put h up/x d/x");
	means("tftp -T x tftp://h/y", "put h y x");
	means("tftp -T d/x tftp://h/", "put h x d/x");
	means("tftp get tftp://a,b/x", "get a,b x .");
	means("tftp get tftp://h/x tftp://h/y", "get h x ., get h y .");
	means("tftp get tftp://h/x tftp://h/y /tmp", "get h x /tmp, get h y /tmp");
	means("tftp put x d/y tftp://h/up", "put h up/x x, put h up/y d/y");
	means("tftp get h:x y", "get h x y");
}
END_TEST

START_TEST(scp_form)
{
	means("tftp h:x y", "get h x y");
	means("tftp h:/abs/x .", "get h /abs/x .");
	means("tftp h:x", "get h x .");
	means("tftp [::1]:x y", "get ::1 x y");
	means("tftp h:x h:y /tmp", "get h x /tmp, get h y /tmp");
	means("tftp x h:y", "put h y x");
	means("tftp x h:", "put h x x");
	means("tftp x d/y h:up", "put h up/x x, put h up/y d/y");
	means("tftp ./a:b h:y", "put h y ./a:b");
}
END_TEST

/* Whichever came last would be all that is left. The same file twice loses nothing. */
START_TEST(files_that_would_replace_each_other_are_refused)
{
	refused("tftp get tftp://h/a/x tftp://h/b/x /tmp", "\"h:a/x\" and \"h:b/x\"");
	refused("tftp get h:a/x h:y h:b/x", "\"h:a/x\" and \"h:b/x\"");
	refused("tftp h:x g:x .", "\"h:x\" and \"g:x\"");
	refused("tftp get tftp://h/x tftp://h:70/x", "\"h:x\" and \"h:70:x\"");
	refused("tftp get tftp://h/x;mode=netascii tftp://h/x", "\"h:x\" and \"h:x\"");
	refused("tftp put a/x y b/x h:up", "\"a/x\" and \"b/x\"");
	means("tftp get h:x h:x .", "get h x ., get h x .");
	means("tftp get h:a/x h:b/x -", "get h a/x -, get h b/x -");
	means("tftp put x x h:up", "put h up/x x, put h up/x x");
}
END_TEST

START_TEST(hpa_form)
{
	session("tftp", NULL, NULL, -1);
	session("tftp h", "h", NULL, -1);
	session("tftp h 70", "h", "70", -1);
	session("tftp ::1", "::1", NULL, -1);
	session("tftp h -c get x", "h", NULL, 2);
	session("tftp -v h 70 -m ascii -c put x y", "h", "70", 3);
	ck_assert(args.verbose && args.options.text);
	session("tftp h -v", "h", NULL, -1);
	session("tftp -c get h:x", NULL, NULL, 2);
	session("tftp h -c get -g", "h", NULL, 2);
	ck_assert_str_eq(args.command[1], "-g");
	session("tftp -l h", "h", NULL, -1);
	ck_assert(args.literal);
	session("tftp -4 -l -R 4000:4001 -B 1024 -W 8 h", "h", NULL, -1);
	ck_assert_uint_eq(args.options.port_lo, 4000);
	ck_assert_uint_eq(args.options.port_hi, 4001);
	ck_assert_uint_eq(args.options.blksize, 1024);
	ck_assert_uint_eq(args.options.windowsize, 8);
	ck_assert_int_eq(args.options.family, AF_INET);
}
END_TEST

START_TEST(busybox_and_atftp_form)
{
	means("tftp -g -r x -l y h", "get h x y");
	means("tftp -g -l y -r x h 70", "get h#70 x y");
	means("tftp -gr d/x h", "get h d/x x");
	means("tftp -l y -p -r x h", "put h x y");
	means("tftp -pl y h", "put h y y");
	means("tftp -g -r x -l - h", "get h x -");
	means("tftp -b 1024 -g -r x h", "get h x x");
	ck_assert_uint_eq(args.options.blksize, 1024);
	means("tftp --get --remote-file x --local-file y h 70", "get h#70 x y");
	means("tftp --put --local-file=y h", "put h y y");
	means("tftp --ge -l y -r x h", "get h x y");
	read_line("tftp --option blksize=900 -g -r x h");
	ck_assert_uint_eq(args.options.blksize, 900);
	means("tftp --trace --verbose --tftp-timeout 3 -g -r x h", "get h x x");
	ck_assert_uint_eq(args.options.timeout, 3);
}
END_TEST

START_TEST(windows_form)
{
	means("tftp -i h get x", "get h x x");
	means("tftp -i h GET \\Boot\\BCD", "get h \\Boot\\BCD BCD");
	means("tftp h get d/x y", "get h d/x y");
	means("tftp -i h put x y", "put h y x");
	means("tftp -i h PUT c:\\d\\x", "put h x c:\\d\\x");
}
END_TEST

START_TEST(doctor_form)
{
	ck_assert_int_eq(read_line("tftp doctor h:70 x"), 0);
	ck_assert_int_eq(form.kind, FORM_DOCTOR);
	ck_assert_str_eq(form.host, "h:70");
	ck_assert_str_eq(form.file, "x");
	refused("tftp doctor", "HOST");
}
END_TEST

START_TEST(what_makes_no_sense_is_named)
{
	refused("tftp get", "get takes");
	refused("tftp put x", "put takes");
	refused("tftp get x", "\"x\"");
	refused("tftp get http://h/x", "tftp://");
	refused("tftp get tftp://h/x tftp://h/y nowhere", "\"nowhere\"");
	refused("tftp fetch tftp://h/x", "\"fetch\"");
	refused("tftp put - tftp://h/", "standard input");
	refused("tftp a b c d", "\"a\"");
	refused("tftp -g h", "-r FILE");
	refused("tftp -g -r x", "HOST");
	refused("tftp -g -r x h 69 more", "\"more\"");
	refused("tftp -p -r x", "HOST");
	/* Found by fuzz_form: it was a file without a name, "Is a directory". */
	refused("tftp -g -r d/ h", "\"d/\"");
	refused("tftp -p h", "-l FILE");
	refused("tftp h get a b c", "\"c\"");
	refused("tftp -o x h", "URL");
	/* What would have no effect: the file would have gone elsewhere, or a session begun. */
	refused("tftp -o x h -c get y", "URL");
	refused("tftp -O -g -r y h", "URL");
	refused("tftp -o x h get y", "URL");
	refused("tftp -o x doctor h", "URL");
	refused("tftp -o x put y h:z", "download");
	refused("tftp -O -T y h:z", "download");
	refused("tftp -T x get h:y", "\"get\"");
	refused("tftp -r x h", "-g or -p");
	refused("tftp --local-file x h:y", "-g or -p");
	refused("tftp -r x h -c get y", "-g or -p");
	/* A script whose $FILE is empty had a session with nothing in it, and status 0. */
	refused("tftp h get", "\"get\"");
	refused("tftp -i h PUT", "\"PUT\"");
	refused("tftp h 65536", "\"65536\"");
	refused("tftp h nonsense -c get x", "\"nonsense\"");
}
END_TEST

START_TEST(options_that_make_no_sense_are_named)
{
	refused("tftp --nope h", "--nope");
	refused("tftp -Z h", "-Z");
	refused("tftp --blksize 7 h", "\"7\"");
	refused("tftp --blksize 65465 h", "\"65465\"");
	refused("tftp --windowsize 0 h", "\"0\"");
	refused("tftp --timeout 256 h", "\"256\"");
	refused("tftp --retries -1 h", "\"-1\"");
	refused("tftp --max-time 0 h", "\"0\"");
	refused("tftp --parallel 257 h", "\"257\"");
	refused("tftp --mode mail h", "\"mail\"");
	refused("tftp -R 5 h", "\"5\"");
	refused("tftp -R 6:5 h", "lower one first");
	refused("tftp -R 0:5 h", "\"0:5\"");
	refused("tftp --bind 300.0.0.1 h", "\"300.0.0.1\"");
	refused("tftp -6 --bind 127.0.0.1 h", "family");
	refused("tftp --without air h", "\"air\"");
	refused("tftp --option colour=red h", "colour");
	refused("tftp --verbose=3 h", "no value");
	refused("tftp --blksize", "needs a value");
	refused("tftp -g -l", "needs a value");
	refused("tftp --no h", "several");
}
END_TEST

START_TEST(options_are_read_gnu_style)
{
	session("tftp --blk=1000 --windows 4 --retr 0 h", "h", NULL, -1);
	ck_assert_uint_eq(args.options.blksize, 1000);
	ck_assert_uint_eq(args.options.windowsize, 4);
	ck_assert_uint_eq(args.options.retries, 0);
	session("tftp --blksize auto -vq h", "h", NULL, -1);
	ck_assert(args.verbose && args.quiet && args.options.blksize == 0);
	session("tftp -B1400 -- h", "h", NULL, -1);
	ck_assert_uint_eq(args.options.blksize, 1400);
	session("tftp --no-options --no-progress --json --relaxed-peer --max-time 9 --parallel 3 h", "h", NULL, -1);
	ck_assert(args.options.no_options && args.progress == 0 && args.json && args.options.relaxed_peer);
	ck_assert_uint_eq(args.options.max_time, 9);
	ck_assert_uint_eq(args.options.parallel, 3);
	ck_assert_uint_eq(args.options.retries, CLIENT_RETRIES);
	session("tftp --without gso --without gro --without sendmmsg h", "h", NULL, -1);
	ck_assert_uint_eq(args.options.without, UDP_NO_GSO | UDP_NO_GRO | UDP_NO_MMSG);
	session("tftp --option=tsize --option=blksize=900 h", "h", NULL, -1);
	ck_assert(!args.options.no_tsize && args.options.blksize == 900);
	argv[0] = "tftp", argv[1] = "--option", argv[2] = "disable tsize", argv[3] = "h", argv[4] = NULL;
	ck_assert_msg(args_parse(&args, 4, argv, why) == 0 && args.options.no_tsize, "%s", why);
}
END_TEST

UNIT_MAIN("form", url_form, scp_form, files_that_would_replace_each_other_are_refused, hpa_form, busybox_and_atftp_form, windows_form, doctor_form,
    what_makes_no_sense_is_named, options_that_make_no_sense_are_named, options_are_read_gnu_style)
