/* Who may ask: the most specific network decides. */
#include "access.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
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
		"10.0.0.0/+8", "1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333:4444:5555:6666/64"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct access a = {0};
		char error[ACCESS_ERROR_MAX];

		ck_assert_msg(access_add(&a, ACCESS_ALLOW, bad[i], error) == -EINVAL, "%s", bad[i]);
		ck_assert_ptr_nonnull(strchr(error, '"'));
		access_free(&a);
	}
}
END_TEST

UNIT_MAIN("access", without_lists_everybody_may, allow_shuts_out_the_rest_of_both_families, deny_leaves_the_rest_in,
    the_most_specific_network_decides, of_equal_networks_the_denial_counts, allow_write_is_for_writes_only,
    odd_prefixes_cut_inside_a_byte, mapped_addresses_are_ipv4, a_bad_word_is_named)
