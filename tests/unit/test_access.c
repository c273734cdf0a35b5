/* Who may ask: the most specific network decides. */
#include "access.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct addr host(const char *text)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.sa.sa_family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	if (a.sa.sa_family == AF_INET6)
		ck_assert_int_eq(inet_pton(AF_INET6, text, &a.v6.sin6_addr), 1);
	else
		ck_assert_int_eq(inet_pton(AF_INET, text, &a.v4.sin_addr), 1);
	return a;
}

static struct access access_of(const char *allow, const char *deny, const char *write)
{
	struct access a = {0};
	char error[ACCESS_ERROR_MAX];

	if (allow != NULL)
		ck_assert_msg(access_add(&a, ACCESS_ALLOW, allow, error) == 0, "%s", error);
	if (deny != NULL)
		ck_assert_msg(access_add(&a, ACCESS_DENY, deny, error) == 0, "%s", error);
	if (write != NULL)
		ck_assert_msg(access_add(&a, ACCESS_ALLOW_WRITE, write, error) == 0, "%s", error);
	return a;
}

static void reads(const struct access *a, const char *peer, bool wanted)
{
	struct addr h = host(peer);

	ck_assert_msg(access_may_read(a, &h) == wanted, "%s %s read", peer, wanted ? "may not" : "may");
}

static void writes(const struct access *a, const char *peer, bool wanted)
{
	struct addr h = host(peer);

	ck_assert_msg(access_may_write(a, &h) == wanted, "%s %s write", peer, wanted ? "may not" : "may");
}

START_TEST(without_lists_everybody_may)
{
	struct access a = {0};

	reads(&a, "192.0.2.1", true);
	writes(&a, "2001:db8::1", true);
	access_free(&a);
}
END_TEST

START_TEST(allow_shuts_out_the_rest_of_both_families)
{
	struct access a = access_of("10.0.0.0/8,192.0.2.7", NULL, NULL);

	reads(&a, "10.255.0.1", true);
	reads(&a, "192.0.2.7", true);
	reads(&a, "192.0.2.8", false);
	reads(&a, "11.0.0.1", false);
	reads(&a, "2001:db8::1", false);
	writes(&a, "10.0.0.1", true);
	writes(&a, "11.0.0.1", false);
	access_free(&a);
}
END_TEST

START_TEST(deny_leaves_the_rest_in)
{
	struct access a = access_of(NULL, "10.0.0.0/8,2001:db8::/32", NULL);

	reads(&a, "10.0.0.1", false);
	reads(&a, "2001:db8:ffff::1", false);
	reads(&a, "2001:db9::1", true);
	reads(&a, "9.255.255.255", true);
	access_free(&a);
}
END_TEST

START_TEST(the_most_specific_network_decides)
{
	/* in whatever order they were given */
	struct access a = access_of("10.1.0.0/16,10.1.2.3,2001:db8:1::/48", "10.0.0.0/8,10.1.2.0/24,2001:db8::/32,2001:db8:1::5", NULL);

	reads(&a, "10.2.0.1", false);
	reads(&a, "10.1.0.1", true);
	reads(&a, "10.1.2.4", false);
	reads(&a, "10.1.2.3", true);
	reads(&a, "2001:db8::1", false);
	reads(&a, "2001:db8:1::1", true);
	reads(&a, "2001:db8:1::5", false);
	access_free(&a);
}
END_TEST

START_TEST(of_equal_networks_the_denial_counts)
{
	struct access a = access_of("10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8"), b = {0};
	char error[ACCESS_ERROR_MAX];

	reads(&a, "10.0.0.1", false);
	writes(&a, "10.0.0.1", false);
	ck_assert_int_eq(access_add(&b, ACCESS_DENY, "::/0", error), 0);
	ck_assert_int_eq(access_add(&b, ACCESS_ALLOW, "::/0,0.0.0.0/0", error), 0);
	reads(&b, "::1", false);
	reads(&b, "127.0.0.1", true);
	access_free(&a);
	access_free(&b);
}
END_TEST

START_TEST(allow_write_is_for_writes_only)
{
	struct access a = access_of(NULL, "10.0.0.0/8", "10.0.0.5,192.0.2.0/24");

	reads(&a, "198.51.100.1", true);
	writes(&a, "198.51.100.1", false);
	reads(&a, "192.0.2.1", true);
	writes(&a, "192.0.2.1", true);
	reads(&a, "10.0.0.5", false);
	writes(&a, "10.0.0.5", true);
	writes(&a, "10.0.0.6", false);
	access_free(&a);
}
END_TEST

START_TEST(odd_prefixes_cut_inside_a_byte)
{
	struct access a = access_of("192.0.2.64/27,2001:db8:8000::/33", NULL, NULL);

	reads(&a, "192.0.2.63", false);
	reads(&a, "192.0.2.64", true);
	reads(&a, "192.0.2.95", true);
	reads(&a, "192.0.2.96", false);
	reads(&a, "2001:db8:7fff::1", false);
	reads(&a, "2001:db8:ffff::1", true);
	access_free(&a);
}
END_TEST

START_TEST(mapped_addresses_are_ipv4)
{
	struct access a = access_of("192.0.2.0/24", NULL, NULL), b = access_of("::ffff:192.0.2.0/120", NULL, NULL);

	reads(&a, "::ffff:192.0.2.9", true);
	reads(&a, "::ffff:192.0.3.9", false);
	reads(&b, "192.0.2.9", true);
	reads(&b, "192.0.3.9", false);
	access_free(&a);
	access_free(&b);
}
END_TEST

START_TEST(a_bad_word_is_named)
{
	static const char *const bad[] = {"", ",", "10.0.0.0/8,", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x",
		"10.0.0/8", "10.0.0.1/8", "2001:db8::/129", "2001:db8::1/64", "host.example", "/8", "10.0.0.0/8/8", " 10.0.0.0/8",
		"10.0.0.0/+8", "10.0.0.0/8,@file", "1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333:4444:5555:6666/64"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct access a = {0};
		char error[ACCESS_ERROR_MAX];

		ck_assert_msg(access_add(&a, ACCESS_ALLOW, bad[i], error) == -EINVAL, "%s", bad[i]);
		ck_assert_ptr_nonnull(strchr(error, '"'));
		access_free(&a);
	}
}
END_TEST

static int add_text(struct access *a, enum access_list list, const char *text, char error[ACCESS_ERROR_MAX])
{
	return access_add_text(a, list, "FILE", text, strlen(text), error);
}

START_TEST(a_file_holds_networks_and_comments)
{
	static const char *const texts[] = {"10.0.0.0/8\n192.0.2.7\n", "10.0.0.0/8,192.0.2.7",
		"# both\r\n\t10.0.0.0/8 192.0.2.7\r\n",
		"\n\n10.0.0.0/8# one\n  192.0.2.7 # 11.0.0.0/8\n", ", 10.0.0.0/8 ,\n,192.0.2.7,,\n#"};
	char error[ACCESS_ERROR_MAX];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct access a = {0};

		ck_assert_msg(add_text(&a, ACCESS_ALLOW, texts[i], error) == 0, "%s", error);
		ck_assert_uint_eq(a.n, 2);
		reads(&a, "10.1.2.3", true);
		reads(&a, "192.0.2.7", true);
		reads(&a, "11.0.0.1", false);
		access_free(&a);
	}
}
END_TEST

START_TEST(a_list_without_networks_is_a_list)
{
	struct access a = {0}, b = {0};
	char error[ACCESS_ERROR_MAX];

	ck_assert_int_eq(add_text(&a, ACCESS_ALLOW, "# nobody yet\n", error), 0);
	reads(&a, "192.0.2.1", false);
	writes(&a, "192.0.2.1", false);
	ck_assert_int_eq(add_text(&b, ACCESS_ALLOW_WRITE, "", error), 0);
	ck_assert_int_eq(add_text(&b, ACCESS_DENY, "", error), 0);
	reads(&b, "192.0.2.1", true);
	writes(&b, "192.0.2.1", false);
}
END_TEST

START_TEST(a_bad_word_in_a_file_is_named_with_its_line)
{
	static const struct { const char *text, *begins; } bad[] = {
		{"10.0.0.0/8\n\n10.0.0/8\n", "line 3: \"10.0.0/8\" is not"}, {"host.example", "line 1: \"host.example\""},
		{"10.0.0.0/8 10.0.0.1/8", "line 1: \"10.0.0.1/8\" has bits"}, {"#\n#\n@other\n", "line 3: \"@other\""},
		{"10.0.0.0/8;192.0.2.7", "line 1: \"10.0.0.0/8;192.0.2.7\""},
	};
	static const char nul[] = "10.0.0.0/8\n192.0.2.7\0x\n";
	char error[ACCESS_ERROR_MAX];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct access a = {0};

		ck_assert_int_eq(add_text(&a, ACCESS_DENY, bad[i].text, error), -EINVAL);
		ck_assert_msg(strncmp(error, bad[i].begins, strlen(bad[i].begins)) == 0, "%s", error);
		access_free(&a);
	}
	for (size_t len = 20; len < sizeof(nul); len += sizeof(nul) - 21) {
		struct access a = {0};

		ck_assert_int_eq(access_add_text(&a, ACCESS_DENY, "FILE", nul, len, error), len == 20 ? 0 : -EINVAL);
		ck_assert_str_eq(error, len == 20 ? "" : "line 2: a NUL byte, which is in no text");
		access_free(&a);
	}
}
END_TEST

START_TEST(what_decides_is_named)
{
	struct access a = access_of("10.0.0.0/8", NULL, NULL), none = {0};
	char error[ACCESS_ERROR_MAX], why[ACCESS_WHY_MAX];
	struct addr in = host("10.9.9.9"), out = host("11.0.0.1"), shut = host("10.1.0.1"), six = host("2001:db8::1");

	ck_assert_int_eq(add_text(&a, ACCESS_DENY, "#\n10.1.0.0/16\n2001:db8::/32", error), 0);
	ck_assert_str_eq(access_why(&a, &in, false, why), "--allow 10.0.0.0/8");
	ck_assert_str_eq(access_why(&a, &out, true, why), "not in --allow");
	ck_assert_str_eq(access_why(&a, &shut, false, why), "--deny 10.1.0.0/16, line 2 of FILE");
	ck_assert_str_eq(access_why(&a, &six, false, why), "--deny 2001:db8::/32, line 3 of FILE");
	ck_assert_int_eq(access_add(&a, ACCESS_ALLOW_WRITE, "10.9.9.9", error), 0);
	ck_assert_str_eq(access_why(&a, &in, true, why), "--allow-write 10.9.9.9/32");
	ck_assert_str_eq(access_why(&a, &out, true, why), "not in --allow-write");
	ck_assert_str_eq(access_why(&none, &in, true, why), "in no list");
	access_free(&a);
}
END_TEST

START_TEST(there_is_a_most_of_networks)
{
	static char text[20 * (ACCESS_NETWORKS + 1)];
	char error[ACCESS_ERROR_MAX];
	struct access a = {0}, copy;
	size_t len = 0;

	for (unsigned i = 0; i < ACCESS_NETWORKS; i++)
		len += (size_t)sprintf(text + len, "10.%u.%u.0/24\n", i / 256, i % 256);
	ck_assert_msg(add_text(&a, ACCESS_DENY, text, error) == 0, "%s", error);
	ck_assert_uint_eq(a.n, ACCESS_NETWORKS);
	ck_assert_int_eq(access_copy(&copy, &a), 0);
	ck_assert_int_eq(access_add(&copy, ACCESS_ALLOW, "192.0.2.7", error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "\"192.0.2.7\" is one too many"));
	reads(&a, "10.3.4.5", false);
	reads(&a, "11.3.4.5", true);
	access_free(&a);
	reads(&copy, "10.3.4.5", false);
	access_free(&copy);
}
END_TEST

UNIT_MAIN("access", a_file_holds_networks_and_comments, a_list_without_networks_is_a_list,
    a_bad_word_in_a_file_is_named_with_its_line, what_decides_is_named, there_is_a_most_of_networks,
    without_lists_everybody_may, allow_shuts_out_the_rest_of_both_families, deny_leaves_the_rest_in,
    the_most_specific_network_decides, of_equal_networks_the_denial_counts, allow_write_is_for_writes_only,
    odd_prefixes_cut_inside_a_byte, mapped_addresses_are_ipv4, a_bad_word_is_named)
