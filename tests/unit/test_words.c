/* tftp/words: lines as people type them. */
#include "unit.h"
#include "words.h"

#include <stdio.h>
#include <string.h>

/* The line's words, joined by | */
static void is(const char *line, const char *joined)
{
	char copy[512], got[600] = "", *words[WORDS_MAX];
	const char *why;
	int n;

	snprintf(copy, sizeof(copy), "%s", line);
	n = words_split(copy, words, &why);
	ck_assert_msg(n >= 0, "<%s>: %s", line, why);
	for (int i = 0; i < n; i++) {
		strcat(got, words[i]);
		strcat(got, "|");
	}
	ck_assert_str_eq(got, joined);
}

START_TEST(blanks_separate)
{
	is("", "");
	is(" \t ", "");
	is("get a b", "get|a|b|");
	is("  get\ta   b \r", "get|a|b|");
}
END_TEST

START_TEST(quotes_keep_together)
{
	is("put \"a b\" 'c d'", "put|a b|c d|");
	is("a\"b c\"d", "ab cd|");
	is("\"\" ''", "||");
	is("\"it's\" 'say \"x\"'", "it's|say \"x\"|");
}
END_TEST

START_TEST(backslash_takes_what_follows_but_not_a_letter)
{
	is("a\\ b", "a b|");
	is("\\\"x\\\"", "\"x\"|");
	is("\"a\\\"b\"", "a\"b|");
	is("\\Boot\\BCD", "\\Boot\\BCD|");
	is("\\\\srv\\x", "\\srv\\x|");
	is("'a\\ b'", "a\\ b|");
	is("a\\", "a\\|");
}
END_TEST

START_TEST(open_quote_is_refused)
{
	char line[] = "get \"a b", *words[WORDS_MAX];
	const char *why;

	ck_assert_int_lt(words_split(line, words, &why), 0);
	ck_assert_ptr_nonnull(strstr(why, "quotation"));
}
END_TEST

START_TEST(too_many_words_are_refused)
{
	char line[4 * WORDS_MAX + 8] = "", *words[WORDS_MAX];
	const char *why;

	for (int i = 0; i < WORDS_MAX; i++)
		strcat(line, "x ");
	ck_assert_int_eq(words_split(line, words, &why), WORDS_MAX);
	line[0] = '\0';
	for (int i = 0; i <= WORDS_MAX; i++)
		strcat(line, "x ");
	ck_assert_int_lt(words_split(line, words, &why), 0);
}
END_TEST

UNIT_MAIN("words", blanks_separate, quotes_keep_together, backslash_takes_what_follows_but_not_a_letter,
    open_quote_is_refused, too_many_words_are_refused)
