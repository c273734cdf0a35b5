/*
 * The client's command line in its five forms. The input is a line: cut into words as the interactive client does, then
 * read as arguments. What is accepted is complete; what is refused is named.
 */
#include "form.h"
#include "fuzz.h"
#include "words.h"

/* Somebody who says "" means it, and hears what comes of it. */
static bool says_nothing(char **words, int n)
{
	for (int i = 0; i < n; i++)
		if (words[i][0] == '\0' || words[i][strlen(words[i]) - 1] == '=')
			return true;
	return false;
}

static void check_jobs(const struct form *f, bool nameless)
{
	if (f->kind != FORM_JOBS)
		return;
	FUZZ_MUST(f->jobs.n > 0);
	for (size_t i = 0; i < f->jobs.n; i++) {
		const struct client_job *j = &f->jobs.list[i];

		FUZZ_MUST(j->host != NULL && j->remote != NULL && j->local != NULL);
		FUZZ_MUST(nameless || *j->local != '\0');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *line = fuzz_string(data, len), *words[WORDS_MAX + 2] = {"tftp"}, why[ARGS_WHY] = "";
	const char *reason = NULL;
	int n = words_split(line, words + 1, &reason);
	bool nameless = n > 0 && says_nothing(words + 1, n);
	struct form form;
	struct args args;

	memset(&form, 0, sizeof(form));
	if (n < 0) {
		FUZZ_MUST(reason != NULL);
	} else {
		words[n + 1] = NULL;
		if (args_parse(&args, n + 1, words, why) != 0) {
			FUZZ_MUST(*why != '\0' && memchr(why, '\0', sizeof(why)) != NULL);
		} else {
			if (form_read(&form, &args, why) == 0)
				check_jobs(&form, nameless);
			else
				FUZZ_MUST(*why != '\0' && memchr(why, '\0', sizeof(why)) != NULL);
			form_free(&form);
		}
	}
	free(line);
	return 0;
}
