/*
 * Lists of networks as files have them: what is taken can be asked, decides the same for a copy, and names a line that
 * the file has; what is not says where and why.
 */
#include "access.h"
#include "fuzz.h"

static struct addr peer(const uint8_t *data, size_t len, bool v6)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.sa.sa_family = v6 ? AF_INET6 : AF_INET;
	if (v6)
		memcpy(&a.v6.sin6_addr, data, len < 16 ? len : 16);
	else
		memcpy(&a.v4.sin_addr, data, len < 4 ? len : 4);
	return a;
}

static void ask(const struct access *a, const struct addr *from, const struct access *copy)
{
	char why[ACCESS_WHY_MAX];

	FUZZ_MUST(access_may_read(a, from) == access_may_read(copy, from));
	FUZZ_MUST(access_may_write(a, from) == access_may_write(copy, from));
	for (int write = 0; write < 2; write++) {
		access_why(a, from, write, why);
		FUZZ_MUST(why[0] != '\0' && memchr(why, '\0', sizeof(why)) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct access a = {0}, copy;
	enum access_list list = len > 0 ? data[0] % 3 : 0;
	char *text = fuzz_string(data, len), error[ACCESS_ERROR_MAX];

	if (access_add_text(&a, list, "FILE", text, len, error) == 0) {
		FUZZ_MUST(error[0] == '\0' && memchr(text, '\0', len) == NULL);
		FUZZ_MUST(access_copy(&copy, &a) == 0);
		for (int v6 = 0; v6 < 2; v6++) {
			struct addr from = peer(data, len, v6);

			ask(&a, &from, &copy);
		}
		for (size_t i = 0; i < a.n; i++) {
			FUZZ_MUST(a.rules[i].list == list && a.rules[i].line >= 1 && a.rules[i].line <= len);
			ask(&a, &a.rules[i].net, &copy);
		}
		access_free(&copy);
	} else {
		FUZZ_MUST(strncmp(error, "line ", 5) == 0 && memchr(error, '\0', sizeof(error)) != NULL);
	}
	access_free(&a);
	/* As a word of the command line it may fail in other places, but not otherwise. */
	if (access_add(&a, list, text, error) != 0)
		FUZZ_MUST(error[0] != '\0');
	access_free(&a);
	free(text);
	return 0;
}
