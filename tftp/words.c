/* Words of a line. */
#include "words.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

static int is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A backslash before a letter is a DOS path, not an escape. */
static int escapes(char next)
{
	return next != '\0' && !isalnum((unsigned char)next);
}

/* One word from *in to *out, both moved on. False: a quote stays open. */
static int take_word(char **in, char **out)
{
	char quote = '\0';

	for (; **in != '\0' && (quote != '\0' || !is_blank(**in)); ++*in) {
		char c = **in;

		if (quote == '\0' && (c == '"' || c == '\'')) {
			quote = c;
		} else if (c == quote && quote != '\0') {
			quote = '\0';
		} else if (c == '\\' && quote != '\'' && escapes((*in)[1])) {
			*(*out)++ = *++*in;
		} else {
			*(*out)++ = c;
		}
	}
	return quote == '\0';
}

int words_split(char *line, char *words[WORDS_MAX], const char **why)
{
	char *in = line, *out = line;
	int n = 0;

	*why = NULL;
	for (;;) {
		char ended;

		while (is_blank(*in))
			in++;
		if (*in == '\0')
			return n;
		if (n == WORDS_MAX) {
			*why = "too many words";
			return -1;
		}
		words[n++] = out;
		if (!take_word(&in, &out)) {
			*why = "a quotation mark is missing";
			return -1;
		}
		/* The word's NUL may fall on the blank that ended it. */
		ended = *in;
		*out++ = '\0';
		if (ended != '\0')
			in++;
	}
}
