/* Remote names as people type them: both spellings, both with and without a file; a refusal always says why. */
#include "fuzz.h"
#include "uri.h"

static void parse(const char *text, bool dir, int (*parser)(struct uri *, const char *, bool, const char **))
{
	const char *why = NULL;
	struct uri u;

	if (parser(&u, text, dir, &why) == 0) {
		FUZZ_MUST(u.host != NULL && *u.host != '\0' && u.path != NULL);
		FUZZ_MUST(dir || *u.path != '\0');
		FUZZ_MUST(strlen(u.host) <= strlen(text) && strlen(u.path) <= strlen(text));
		FUZZ_MUST(u.port == NULL || *u.port != '\0');
	} else {
		FUZZ_MUST(why != NULL && *why != '\0');
	}
	uri_free(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_string(data, len);

	uri_is_url(text);
	uri_is_short(text);
	for (int dir = 0; dir < 2; dir++) {
		parse(text, dir, uri_parse);
		parse(text, dir, uri_parse_short);
	}
	free(text);
	return 0;
}
