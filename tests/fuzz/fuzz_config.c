/*
 * The server's command line: a line, cut into words as the interactive client does, then read into a configuration.
 * What is accepted lies within what the rest of the server takes for granted; what is refused is named, in one sentence
 * that a terminal can be shown.
 */
#include "config.h"
#include "fuzz.h"
#include "log.h"
#include "options.h"
#include "words.h"

#include <getopt.h>

static void check_config(const struct config *c)
{
	struct addr a = {.sa.sa_family = AF_INET};

	FUZZ_MUST(c->ndirectories > 0 && c->ndirectories <= CONFIG_DIRECTORIES && c->directory == c->directories[0]);
	FUZZ_MUST(c->naddresses >= 0 && c->naddresses <= CONFIG_ADDRESSES);
	FUZZ_MUST(c->blksize_max == 0 || (c->blksize_max >= BLKSIZE_MIN && c->blksize_max <= BLKSIZE_MAX));
	FUZZ_MUST(c->windowsize_max >= 1 && c->windowsize_max <= WINDOWSIZE_MAX && c->window_bytes > 0);
	FUZZ_MUST(c->give_up > 0 && c->tries > 0 && c->max_transfers > 0 && c->idle >= 0 && c->first >= 0);
	FUZZ_MUST(c->port_lo <= c->port_hi && (c->port_lo > 0 || c->port_hi == 0));
	FUZZ_MUST(c->umask >= -1 && c->umask <= 0777);
	FUZZ_MUST(config_uploads(c) || !access_may_read(&c->access, &a) || c->read_only || !c->create);
	config_background(c);
	access_may_write(&c->access, &a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *line = fuzz_string(data, len), *words[WORDS_MAX + 2] = {(char *)"tftpd"}, error[CONFIG_ERROR_MAX] = "";
	const char *reason = NULL;
	int n = words_split(line, words + 1, &reason);
	struct config c;

	if (n >= 0) {
		/* Other names are other programs to some. */
		if (n > 0 && strcmp(words[1], "in.tftpd") == 0)
			words[0] = words[1];
		words[n + 1] = NULL;
		optind = 0; /* from the start again */
		memset(&c, 0, sizeof(c));
		if (config_parse(&c, n + 1, words, error) == 0)
			check_config(&c);
		else
			FUZZ_MUST(*error != '\0');
		FUZZ_MUST(memchr(error, '\0', sizeof(error)) != NULL);
		config_free(&c);
	}
	free(line);
	return 0;
}
