/* tftp/trace: packets in words. */
#include "trace.h"
#include "unit.h"

#include <string.h>

static struct addr peer = {.v4 = {.sin_family = AF_INET}};

static void is(bool sent, const void *bytes, size_t len, const char *words)
{
	char line[1024];

	addr_set_port(&peer, 69);
	peer.v4.sin_addr.s_addr = htonl(0xc0000201);
	ck_assert_str_eq(trace_packet(line, sizeof(line), sent, &peer, bytes, len), words);
}
#define IS(sent, bytes, words) is(sent, bytes, sizeof(bytes) - 1, words)

START_TEST(each_packet_has_its_words)
{
	IS(true, "\0\1x\0octet\0blksize\0" "1468\0tsize\0" "0\0",
	    "sent RRQ <file=x, mode=octet, blksize=1468, tsize=0> to 192.0.2.1:69");
	IS(true, "\0\2x\0netascii\0", "sent WRQ <file=x, mode=netascii> to 192.0.2.1:69");
	IS(false, "\0\3\0\7abc", "received DATA <block=7, 3 bytes>");
	IS(false, "\0\4\377\377", "received ACK <block=65535>");
	IS(false, "\0\6tsize\0" "9\0", "received OACK <tsize=9> from 192.0.2.1:69");
	IS(false, "\0\5\0\1gone\0", "received ERROR <code=1, msg=gone> from 192.0.2.1:69");
}
END_TEST

START_TEST(junk_is_named_and_never_raw)
{
	IS(false, "", "received 0 bytes that are no packet (packet too short) from 192.0.2.1:69");
	IS(false, "\0\5\0\1\x1b[2J\0", "received ERROR <code=1, msg=\\x1b[2J> from 192.0.2.1:69");
}
END_TEST

START_TEST(long_packets_are_cut)
{
	static uint8_t request[60000] = {0, 1};
	char line[200];

	memset(request + 2, 'x', 40000);
	memcpy(request + 40003, "octet", 6);
	for (size_t cap = 1; cap < sizeof(line); cap++) {
		memset(line, '#', sizeof(line));
		trace_packet(line, cap, true, &peer, request, 40009);
		ck_assert_uint_lt(strlen(line), cap);
		for (size_t i = cap; i < sizeof(line); i++)
			ck_assert_int_eq(line[i], '#');
	}
}
END_TEST

UNIT_MAIN("trace", each_packet_has_its_words, junk_is_named_and_never_raw, long_packets_are_cut)
