/* Addresses of both families: text both ways, comparison, the hash, and resolving without a name server. */
#include "addr.h"
#include "unit.h"
#include "unit_must.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static struct addr v4(const char *host, uint16_t port)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.v4.sin_family = AF_INET;
	a.v4.sin_port = htons(port);
	MUST(inet_pton(AF_INET, host, &a.v4.sin_addr) == 1);
	return a;
}

static struct addr v6(const char *host, uint16_t port)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.v6.sin6_family = AF_INET6;
	a.v6.sin6_port = htons(port);
	MUST(inet_pton(AF_INET6, host, &a.v6.sin6_addr) == 1);
	return a;
}

START_TEST(addresses_print_with_and_without_port)
{
	char buf[ADDR_TEXT];
	struct addr a = v4("192.0.2.1", 69);

	ck_assert_str_eq(addr_print(&a, buf), "192.0.2.1:69");
	ck_assert_ptr_eq(addr_print(&a, buf), buf);
	ck_assert_str_eq(addr_host(&a, buf), "192.0.2.1");
	ck_assert_ptr_eq(addr_host(&a, buf), buf);
	a = v4("255.255.255.255", 65535);
	ck_assert_str_eq(addr_print(&a, buf), "255.255.255.255:65535");
	a = v6("2001:db8::1", 69);
	ck_assert_str_eq(addr_print(&a, buf), "[2001:db8::1]:69");
	ck_assert_str_eq(addr_host(&a, buf), "2001:db8::1");
	a = v6("::", 0);
	ck_assert_str_eq(addr_print(&a, buf), "[::]:0");
	a = v6("fe80:1111:2222:3333:4444:5555:6666:7777", 65535);
	ck_assert_str_eq(addr_print(&a, buf), "[fe80:1111:2222:3333:4444:5555:6666:7777]:65535");
}
END_TEST

START_TEST(scopes_print_as_name_or_number)
{
	char buf[ADDR_TEXT], want[ADDR_TEXT * 2], name[IF_NAMESIZE];
	struct addr a = v6("fe80:1111:2222:3333:4444:5555:6666:7777", 65535);

	a.v6.sin6_scope_id = 4294967295u;
	ck_assert_str_eq(addr_print(&a, buf), "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535");
	a = v6("fe80::1", 69);
	a.v6.sin6_scope_id = 1;
	if (if_indextoname(1, name) == NULL)
		strcpy(name, "1");
	snprintf(want, sizeof(want), "[fe80::1%%%s]:69", name);
	ck_assert_str_eq(addr_print(&a, buf), want);
	snprintf(want, sizeof(want), "fe80::1%%%s", name);
	ck_assert_str_eq(addr_host(&a, buf), want);
}
END_TEST

START_TEST(length_and_port_fit_the_family)
{
	struct addr a = v4("127.0.0.1", 1), b = v6("::1", 2);

	ck_assert_uint_eq(addr_len(&a), sizeof(struct sockaddr_in));
	ck_assert_uint_eq(addr_len(&b), sizeof(struct sockaddr_in6));
	ck_assert_uint_eq(addr_port(&a), 1);
	ck_assert_uint_eq(addr_port(&b), 2);
	addr_set_port(&a, 0x1234);
	addr_set_port(&b, 0xfedc);
	ck_assert_uint_eq(addr_port(&a), 0x1234);
	ck_assert_uint_eq(addr_port(&b), 0xfedc);
	ck_assert_uint_eq(ntohs(a.v4.sin_port), 0x1234);
	ck_assert_uint_eq(ntohs(b.v6.sin6_port), 0xfedc);
}
END_TEST

START_TEST(equality_is_host_and_port)
{
	struct addr a = v4("10.0.0.1", 69), other_port = v4("10.0.0.1", 70), other_host = v4("10.0.0.2", 69);
	struct addr six = v6("2001:db8::1", 69), six_port = v6("2001:db8::1", 70), six_host = v6("2001:db8::2", 69);
	struct addr mapped = v6("::ffff:10.0.0.1", 69);

	ck_assert(addr_equal(&a, &a) && addr_same_host(&a, &a));
	ck_assert(!addr_equal(&a, &other_port) && addr_same_host(&a, &other_port));
	ck_assert(!addr_equal(&a, &other_host) && !addr_same_host(&a, &other_host));
	ck_assert(addr_equal(&six, &six) && addr_same_host(&six, &six));
	ck_assert(!addr_equal(&six, &six_port) && addr_same_host(&six, &six_port));
	ck_assert(!addr_equal(&six, &six_host) && !addr_same_host(&six, &six_host));
	ck_assert(!addr_equal(&a, &mapped) && !addr_same_host(&a, &mapped) && !addr_same_host(&mapped, &a));
}
END_TEST

START_TEST(the_same_link_local_address_on_two_links_is_two_hosts)
{
	struct addr a = v6("fe80::1", 69), b = a;

	a.v6.sin6_scope_id = 2;
	b.v6.sin6_scope_id = 3;
	ck_assert(!addr_equal(&a, &b));
	ck_assert(!addr_same_host(&a, &b));
}
END_TEST

/* recvmsg leaves the rest of the union as it was, and the flow label differs between packets of one peer. */
START_TEST(padding_and_flow_label_do_not_count)
{
	struct addr a = v4("10.0.0.1", 69), b = a, six = v6("2001:db8::1", 69), flow = six;

	memset((char *)&b + sizeof(b.v4) - sizeof(b.v4.sin_zero), 0xaa, sizeof(b) - sizeof(b.v4) + sizeof(b.v4.sin_zero));
	flow.v6.sin6_flowinfo = htonl(0x12345);
	ck_assert(addr_equal(&a, &b));
	ck_assert(addr_equal(&six, &flow));
	ck_assert_uint_eq(addr_hash(&a, 7), addr_hash(&b, 7));
	ck_assert_uint_eq(addr_hash(&six, 7), addr_hash(&flow, 7));
}
END_TEST

START_TEST(no_address_equals_only_no_address)
{
	struct addr none, other, a = v4("0.0.0.0", 0);

	memset(&none, 0, sizeof(none));
	memset(&other, 0, sizeof(other));
	ck_assert(addr_equal(&none, &other));
	ck_assert(!addr_equal(&none, &a));
	ck_assert(!addr_equal(&a, &none));
}
END_TEST

/* The low bits choose a bucket: ports in a row, hosts in a row, and another key scatters them anew. */
START_TEST(hash_spreads_neighbours)
{
	enum { N = 8192, BUCKETS = 1024 };
	static unsigned count[4][BUCKETS];
	unsigned same = 0;

	for (unsigned i = 0; i < N; i++) {
		struct addr port = v4("10.0.0.1", (uint16_t)(1024 + i)), host = v4("10.0.0.1", 2070), six = v6("fd00::1", 2070);

		host.v4.sin_addr.s_addr = htonl(0x0a000000u + i);
		six.v6.sin6_addr.s6_addr[14] = (uint8_t)(i >> 8);
		six.v6.sin6_addr.s6_addr[15] = (uint8_t)i;
		count[0][addr_hash(&port, 1) % BUCKETS]++;
		count[1][addr_hash(&host, 1) % BUCKETS]++;
		count[2][addr_hash(&six, 1) % BUCKETS]++;
		count[3][addr_hash(&port, 0) % BUCKETS]++;
		same += addr_hash(&port, 1) % BUCKETS == addr_hash(&port, 2) % BUCKETS;
	}
	for (unsigned kind = 0; kind < 4; kind++)
		for (unsigned b = 0; b < BUCKETS; b++)
			MUST(count[kind][b] < 40); /* 8 expected */
	ck_assert_uint_lt(same, 40); /* 8 expected */
}
END_TEST

START_TEST(wildcards_and_groups_are_told_apart)
{
	static const struct {
		const char *host;
		bool wildcard, multicast;
	} rows[] = {
		{"0.0.0.0", true, false}, {"127.0.0.1", false, false}, {"223.255.255.255", false, false},
		{"224.0.0.0", false, true}, {"224.0.0.1", false, true}, {"239.255.255.255", false, true},
		{"240.0.0.0", false, false}, {"255.255.255.255", false, false}, {"0.0.0.1", false, false},
		{"::", true, false}, {"::1", false, false}, {"ff02::1", false, true}, {"ff05::1:3", false, true},
		{"fe80::1", false, false}, {"2001:db8::", false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a = strchr(rows[i].host, ':') ? v6(rows[i].host, 69) : v4(rows[i].host, 69);
		ck_assert_msg(addr_is_wildcard(&a) == rows[i].wildcard, "%s", rows[i].host);
		ck_assert_msg(addr_is_multicast(&a) == rows[i].multicast, "%s", rows[i].host);
	}
}
END_TEST

START_TEST(host_and_port_are_split)
{
	static const struct {
		const char *text, *host, *port;
		int status;
	} rows[] = {
		{"server", "server", NULL, 0}, {"192.0.2.1", "192.0.2.1", NULL, 0}, {"server:6969", "server", "6969", 0},
		{":69", NULL, "69", 0}, {":tftp", NULL, "tftp", 0}, {"[2001:db8::1]", "2001:db8::1", NULL, 0},
		{"[2001:db8::1]:69", "2001:db8::1", "69", 0}, {"2001:db8::1", "2001:db8::1", NULL, 0}, {"::", "::", NULL, 0},
		{"::1", "::1", NULL, 0}, {"[::]:69", "::", "69", 0}, {"fe80::1%eth0", "fe80::1%eth0", NULL, 0},
		{"[fe80::1%eth0]:69", "fe80::1%eth0", "69", 0}, {"eth0:69", "eth0", "69", 0},
		{"[server]:1", "server", "1", 0},
		{"", NULL, NULL, -1}, {":", NULL, NULL, -1}, {"server:", NULL, NULL, -1}, {"[]", NULL, NULL, -1},
		{"[]:69", NULL, NULL, -1}, {"[::1", NULL, NULL, -1}, {"[::1]69", NULL, NULL, -1}, {"[::1]:", NULL, NULL, -1},
		{"[", NULL, NULL, -1}, {"[::1]x:69", NULL, NULL, -1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[64], *host = text, *port = text;

		strcpy(text, rows[i].text);
		ck_assert_msg(addr_split(text, &host, &port) == rows[i].status, "'%s'", rows[i].text);
		if (rows[i].status != 0)
			continue;
		ck_assert_pstr_eq(host, rows[i].host);
		ck_assert_pstr_eq(port, rows[i].port);
	}
}
END_TEST

START_TEST(brackets_that_do_not_match_are_refused)
{
	static const char *const bad[] = {"::1]", "::1]:69", "server]", "[::1]]", "[[::1]]"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[64], *host, *port;

		strcpy(text, bad[i]);
		ck_assert_msg(addr_split(text, &host, &port) == -1, "'%s'", bad[i]);
	}
}
END_TEST

START_TEST(numeric_addresses_resolve_to_themselves)
{
	struct addr a, want = v4("127.0.0.1", 69), six = v6("::1", 6969);

	ck_assert_int_eq(addr_resolve("127.0.0.1", NULL, 69, AF_UNSPEC, &a, 1), 1);
	ck_assert(addr_equal(&a, &want));
	ck_assert_int_eq(addr_resolve("127.0.0.1", "6969", 69, AF_INET, &a, 1), 1);
	ck_assert_uint_eq(addr_port(&a), 6969);
	ck_assert_int_eq(addr_resolve("::1", "6969", 69, AF_INET6, &a, 1), 1);
	ck_assert(addr_equal(&a, &six));
	ck_assert_int_eq(addr_resolve("127.0.0.1", "0", 69, AF_INET, &a, 1), 1);
	ck_assert_uint_eq(addr_port(&a), 0);
}
END_TEST

START_TEST(what_is_printed_resolves_to_itself)
{
	struct addr list[] = {v4("192.0.2.1", 69), v4("255.255.255.255", 65535), v6("2001:db8::1", 1), v6("::1", 69)};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		char text[ADDR_TEXT], *host, *port;
		struct addr back;

		addr_print(&list[i], text);
		ck_assert_int_eq(addr_split(text, &host, &port), 0);
		ck_assert_int_eq(addr_resolve(host, port, 0, AF_UNSPEC, &back, 1), 1);
		ck_assert(addr_equal(&list[i], &back));
	}
}
END_TEST

START_TEST(no_host_is_every_address)
{
	struct addr a[4];
	int n = addr_resolve(NULL, NULL, 69, AF_INET, a, 4);

	ck_assert_int_eq(n, 1);
	ck_assert(addr_is_wildcard(&a[0]));
	ck_assert_int_eq(a[0].sa.sa_family, AF_INET);
	ck_assert_uint_eq(addr_port(&a[0]), 69);
	n = addr_resolve(NULL, "70", 69, AF_INET6, a, 4);
	ck_assert_int_eq(n, 1);
	ck_assert(addr_is_wildcard(&a[0]));
	ck_assert_int_eq(a[0].sa.sa_family, AF_INET6);
	ck_assert_uint_eq(addr_port(&a[0]), 70);
	n = addr_resolve(NULL, NULL, 69, AF_UNSPEC, a, 4);
	ck_assert_int_ge(n, 1);
	ck_assert_int_le(n, 2);
	for (int i = 0; i < n; i++)
		ck_assert(addr_is_wildcard(&a[i]));
	/* No more than there is room for. */
	memset(&a[1], 0xee, sizeof(a[1]));
	ck_assert_int_eq(addr_resolve(NULL, NULL, 69, AF_UNSPEC, a, 1), 1);
	ck_assert_int_eq(((unsigned char *)&a[1])[0], 0xee);
}
END_TEST

START_TEST(what_cannot_be_resolved_is_an_error)
{
	struct addr a;

	ck_assert_int_lt(addr_resolve("::1", NULL, 69, AF_INET, &a, 1), 0);
	ck_assert_int_lt(addr_resolve("127.0.0.1", NULL, 69, AF_INET6, &a, 1), 0);
	ck_assert_int_lt(addr_resolve("127.0.0.1", "no-such-service", 69, AF_INET, &a, 1), 0);
}
END_TEST

/* A port that silently becomes another one is served where nobody looks for it. */
START_TEST(ports_out_of_range_are_an_error)
{
	static const char *const bad[] = {"65536", "99999", "131141", "4294967365", "-1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct addr a;
		int n = addr_resolve("127.0.0.1", bad[i], 69, AF_INET, &a, 1);
		ck_assert_msg(n < 0, "port %s became %u", bad[i], n > 0 ? addr_port(&a) : 0);
	}
}
END_TEST

UNIT_MAIN("addr", addresses_print_with_and_without_port, scopes_print_as_name_or_number, length_and_port_fit_the_family,
    equality_is_host_and_port, the_same_link_local_address_on_two_links_is_two_hosts,
    padding_and_flow_label_do_not_count, no_address_equals_only_no_address, hash_spreads_neighbours,
    wildcards_and_groups_are_told_apart, host_and_port_are_split, brackets_that_do_not_match_are_refused,
    numeric_addresses_resolve_to_themselves, what_is_printed_resolves_to_itself, no_host_is_every_address,
    what_cannot_be_resolved_is_an_error, ports_out_of_range_are_an_error)
