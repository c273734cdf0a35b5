/* tftp/uri: what is a URL, what is host:path, what comes out of either. */
#include "unit.h"
#include "uri.h"

#include <string.h>

/* Parses well into these; NULL for an absent port. */
static void is(int (*parse)(struct uri *, const char *, bool, const char **), const char *text, const char *host,
    const char *port, const char *path)
{
	struct uri u;
	const char *why;

	ck_assert_msg(parse(&u, text, true, &why) == 0, "%s: %s", text, why);
	ck_assert_str_eq(u.host, host);
	ck_assert_pstr_eq(u.port, port);
	ck_assert_str_eq(u.path, path);
	uri_free(&u);
	uri_free(&u);
}

/* Is refused with these words. */
static void refused(int (*parse)(struct uri *, const char *, bool, const char **), const char *text, const char *words)
{
	struct uri u;
	const char *why;

	ck_assert_msg(parse(&u, text, false, &why) != 0, "%s is accepted", text);
	ck_assert_msg(strstr(why, words) != NULL, "%s: %s", text, why);
	uri_free(&u);
}

START_TEST(url_is_taken_apart)
{
	is(uri_parse, "tftp://host/path", "host", NULL, "path");
	is(uri_parse, "TFTP://host:6969/a/b", "host", "6969", "a/b");
	is(uri_parse, "tftp://[2001:db8::1]/x", "2001:db8::1", NULL, "x");
	is(uri_parse, "tftp://[::1]:69/x", "::1", "69", "x");
	is(uri_parse, "tftp://[fe80::1%25eth0]/x", "fe80::1%eth0", NULL, "x");
	/* As everybody types it; RFC 6874 section 3 would have that taken as well. */
	is(uri_parse, "tftp://[fe80::1%eth0]/x%20y", "fe80::1%eth0", NULL, "x y");
	is(uri_parse, "tftp://[fe80::1%br0]:70/x", "fe80::1%br0", "70", "x");
	is(uri_parse, "tftp://[fe80::1%ba0],h:70/x", "[fe80::1%ba0],h:70", NULL, "x");
	is(uri_parse, "tftp://h%6fst/x", "host", NULL, "x");
}
END_TEST

START_TEST(one_slash_is_stripped_and_a_second_one_is_kept)
{
	is(uri_parse, "tftp://h/x", "h", NULL, "x");
	is(uri_parse, "tftp://h//boot/x", "h", NULL, "/boot/x");
	is(uri_parse, "tftp://h///x", "h", NULL, "//x");
}
END_TEST

START_TEST(escapes_are_decoded)
{
	is(uri_parse, "tftp://h/a%20b%25%2fc%7E", "h", NULL, "a b%/c~");
	refused(uri_parse, "tftp://h/%", "% escape");
	refused(uri_parse, "tftp://h/%4", "% escape");
	refused(uri_parse, "tftp://h/%xy", "% escape");
	refused(uri_parse, "tftp://h/a%00b", "% escape");
}
END_TEST

START_TEST(mode_is_read_and_taken_off)
{
	struct uri u;
	const char *why;

	ck_assert_int_eq(uri_parse(&u, "tftp://h/x;mode=NetASCII", false, &why), 0);
	ck_assert(u.mode_given && u.text);
	ck_assert_str_eq(u.path, "x");
	uri_free(&u);
	ck_assert_int_eq(uri_parse(&u, "tftp://h/x;mode=octet", false, &why), 0);
	ck_assert(u.mode_given && !u.text);
	uri_free(&u);
	ck_assert_int_eq(uri_parse(&u, "tftp://h/x%3Bmode=octet", false, &why), 0);
	ck_assert(!u.mode_given);
	ck_assert_str_eq(u.path, "x;mode=octet");
	uri_free(&u);
	refused(uri_parse, "tftp://h/x;mode=mail", "mode");
}
END_TEST

START_TEST(several_hosts_stay_a_list)
{
	is(uri_parse, "tftp://a,b:70,[::1]:71/x", "a,b:70,[::1]:71", NULL, "x");
	is(uri_parse_short, "a,b:x", "a,b", NULL, "x");
	refused(uri_parse, "tftp://a,,b/x", "host");
	refused(uri_parse, "tftp://a,/x", "host");
	refused(uri_parse, "tftp://a,b:/x", "host");
}
END_TEST

START_TEST(bad_urls_are_refused_in_words)
{
	refused(uri_parse, "http://h/x", "tftp://");
	refused(uri_parse, "h/x", "tftp://");
	refused(uri_parse, "tftp://h", "names no file");
	refused(uri_parse, "tftp://h/", "names no file");
	refused(uri_parse, "tftp:///x", "names no host");
	refused(uri_parse, "tftp://:69/x", "names no host");
	refused(uri_parse, "tftp://[::1/x", "names no host");
	refused(uri_parse, "tftp://h/;mode=octet", "names no file");
}
END_TEST

START_TEST(directory_is_allowed_where_it_makes_sense)
{
	is(uri_parse, "tftp://h/", "h", NULL, "");
	is(uri_parse, "tftp://h/dir/", "h", NULL, "dir/");
	is(uri_parse_short, "h:", "h", NULL, "");
	refused(uri_parse_short, "h:", "names no file");
}
END_TEST

START_TEST(short_form_is_taken_apart)
{
	is(uri_parse_short, "host:path", "host", NULL, "path");
	is(uri_parse_short, "host:/abs/path", "host", NULL, "/abs/path");
	is(uri_parse_short, "host:C:\\x", "host", NULL, "C:\\x");
	is(uri_parse_short, "[::1]:x", "::1", NULL, "x");
	is(uri_parse_short, "host:a%20b", "host", NULL, "a%20b");
}
END_TEST

START_TEST(words_are_told_apart)
{
	ck_assert(uri_is_url("tftp://h/x") && uri_is_url("http://h/x") && uri_is_url("a+b.c-1://x"));
	ck_assert(!uri_is_url("://x") && !uri_is_url("h:/x") && !uri_is_url("1tp://x") && !uri_is_url("a b://x"));
	ck_assert(uri_is_short("h:x") && uri_is_short("[::1]:x") && uri_is_short("192.0.2.1:x") && uri_is_short("h:"));
	/* local paths, addresses, plain names */
	ck_assert(!uri_is_short("./a:b") && !uri_is_short("/a:b") && !uri_is_short("a/b:c") && !uri_is_short(":x"));
	ck_assert(!uri_is_short("::1") && !uri_is_short("2001:db8::1") && !uri_is_short("[::1]") && !uri_is_short("h"));
	ck_assert(!uri_is_short("tftp://h/x"));
}
END_TEST

UNIT_MAIN("uri", url_is_taken_apart, one_slash_is_stripped_and_a_second_one_is_kept, escapes_are_decoded,
    mode_is_read_and_taken_off, several_hosts_stay_a_list, bad_urls_are_refused_in_words,
    directory_is_allowed_where_it_makes_sense, short_form_is_taken_apart, words_are_told_apart)
