/*
 * Log escaping: any bytes become one line that a terminal cannot be moved by, in any room, and a field with them stays
 * one field.
 */
#include "fuzz.h"
#include "log.h"

#include <fcntl.h>

static void harmless(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)s[i];

		FUZZ_MUST(c >= 0x20 && c != 0x7f);
		/* C1 controls, as UTF-8 */
		FUZZ_MUST(!(c == 0xc2 && i + 1 < len && (uint8_t)s[i + 1] < 0xa0));
	}
}

/* key="..." with nothing behind the closing quote, or key=... without a space. */
static void one_field(const char *s, size_t len)
{
	FUZZ_MUST(len >= 2 && s[0] == 'k' && s[1] == '=');
	if (s[2] == '"' && len > 3) {
		FUZZ_MUST(s[len - 1] == '"' && memchr(s + 3, '"', len - 4) == NULL);
		return;
	}
	FUZZ_MUST(memchr(s, ' ', len) == NULL && memchr(s, '"', len) == NULL && memchr(s + 2, '=', len - 2) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct log log = {.fd = -1};
	struct fuzz_input in = {data, len};
	size_t cap = 1u + fuzz_u16(&in) % 2048;
	char *buf = malloc(cap);
	struct log_event e;

	if (buf == NULL)
		abort();
	FUZZ_MUST(log_safe(buf, cap, in.p, in.left) == buf);
	FUZZ_MUST(memchr(buf, '\0', cap) != NULL);
	harmless(buf, strlen(buf));
	FUZZ_MUST(strchr(buf, '"') == NULL);
	free(buf);
	if (log.fd < 0)
		log_init(&log, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_DEBUG);
	log_begin(&e, &log, LOG_LEVEL_INFO, "event");
	log_bytes(&e, "k", in.p, in.left);
	FUZZ_MUST(e.len < sizeof(e.buf));
	harmless(e.buf, e.len);
	one_field(e.buf + 6, e.len - 6);
	for (int i = 0; i < 4; i++)
		log_bytes(&e, "more", in.p, in.left);
	log_end(&e);
	FUZZ_MUST(e.len <= sizeof(e.buf) && e.buf[e.len - 1] == '\n');
	harmless(e.buf, e.len - 1);
	return 0;
}
