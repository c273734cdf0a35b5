/*
 * Rename rules: a rule file, a NUL, and the name that goes through it. What parses can be run and ends within its steps;
 * what does not parse says why; every name that comes out is a string that fits.
 */
#include "fuzz.h"
#include "remap.h"

static bool servable(void *arg, const char *name)
{
	(void)arg;
	return strlen(name) % 2;
}

static void run(const struct remap *r, const char *name, bool write, bool v6)
{
	struct remap_request q = {
		.write = write, .v6 = v6, .ip = "192.0.2.169", .hex = "C00002A9", .mac = "", .max_steps = 64, .servable = servable,
	};
	static struct remap_result out;
	int code = remap_run(r, &q, name, &out);

	FUZZ_MUST(code <= REMAP_OK && code >= REMAP_LONG);
	FUZZ_MUST(memchr(out.text, '\0', sizeof(out.text)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *end = len > 0 ? memchr(data, '\0', len) : NULL;
	size_t rules = end != NULL ? (size_t)(end - data) : len;
	char error[REMAP_ERROR_MAX] = "", *name;
	struct remap *r;

	if (rules > 256 || len - rules > 128)
		return 0;
	name = fuzz_string(end != NULL ? end + 1 : data, end != NULL ? len - rules - 1 : 0);
	if (remap_parse(&r, (const char *)data, rules, error) == 0) {
		FUZZ_MUST(remap_count(r) == 0 || r != NULL);
		for (int i = 0; i < 4; i++)
			run(r, name, i & 1, i & 2);
		remap_free(r);
	} else {
		FUZZ_MUST(r == NULL && error[0] != '\0' && memchr(error, '\0', sizeof(error)) != NULL);
	}
	free(name);
	return 0;
}
