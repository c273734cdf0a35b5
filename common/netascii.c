/* Line ends, both ways, one byte at a time where it matters and memcpy where it does not. */
#include "netascii.h"

#include <string.h>

void netascii_init(struct netascii *n)
{
	n->cr = false;
	n->held = -1;
}

/* How many bytes from `in` need no conversion, at most `max`. */
static size_t plain(const uint8_t *in, size_t max)
{
	size_t i = 0;

	while (i < max && in[i] != '\r' && in[i] != '\n')
		i++;
	return i;
}

size_t netascii_encode(struct netascii *n, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t cap)
{
	size_t i = 0, o = 0;

	while (o < cap) {
		size_t same;

		if (n->held >= 0) {
			out[o++] = (uint8_t)n->held;
			n->held = -1;
			continue;
		}
		same = plain(in + i, len - i < cap - o ? len - i : cap - o);
		if (same > 0)
			memcpy(out + o, in + i, same);
		i += same;
		o += same;
		if (i == len || o == cap)
			break;
		if (in[i] == '\r' || in[i] == '\n') {
			out[o++] = '\r';
			n->held = in[i++] == '\n' ? '\n' : '\0';
		}
	}
	*used = i;
	return o;
}

size_t netascii_pending(const struct netascii *n)
{
	return n->held >= 0 ? 1 : 0;
}

size_t netascii_decode(struct netascii *n, const uint8_t *in, size_t len, uint8_t *out)
{
	size_t o = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = in[i];

		if (n->cr) {
			n->cr = false;
			if (c == '\n' || c == '\0') {
				out[o++] = c == '\n' ? '\n' : '\r';
				continue;
			}
			out[o++] = '\r';
		}
		if (c == '\r')
			n->cr = true;
		else
			out[o++] = c;
	}
	return o;
}

size_t netascii_decode_end(struct netascii *n, uint8_t *out)
{
	if (!n->cr)
		return 0;
	n->cr = false;
	out[0] = '\r';
	return 1;
}
