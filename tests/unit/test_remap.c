/* The rename rules, letter by letter: what each does to a name, and what a rule file may not say. */
#include "remap.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a table leave out what is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct row {
	const char *rules, *name, *want;
	int code;
	bool write, v6;
};

static bool only_there(void *arg, const char *name)
{
	(void)arg;
	return strncmp(name, "there", 5) == 0;
}

static struct remap *must_parse(const char *rules)
{
	char error[REMAP_ERROR_MAX];
	struct remap *r;

	ck_assert_msg(remap_parse(&r, rules, strlen(rules), error) == 0, "\"%s\": %s", rules, error);
	return r;
}

static void check_row(const struct row *row)
{
	static struct remap_result out;
	struct remap_request q = {
		.write = row->write,
		.v6 = row->v6,
		.ip = row->v6 ? "2001:db8::a" : "192.0.2.169",
		.hex = row->v6 ? "20010DB800000000000000000000000A" : "C00002A9",
		.mac = "52-54-00-12-34-56",
		.servable = only_there,
	};
	struct remap *r = must_parse(row->rules);
	int code = remap_run(r, &q, row->name, &out);

	ck_assert_msg(code == row->code, "\"%s\" on \"%s\": code %d", row->rules, row->name, code);
	ck_assert_msg(row->want == NULL || strcmp(out.text, row->want) == 0, "\"%s\" on \"%s\": \"%s\", wanted \"%s\"",
	    row->rules, row->name, out.text, row->want);
	remap_free(r);
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_row(&rows[i]);
}

#define ROWS(...) \
	do { \
		static const struct row rows[] = {__VA_ARGS__}; \
		check_rows(rows, sizeof(rows) / sizeof(rows[0])); \
	} while (0)

START_TEST(no_rules_leave_the_name)
{
	ROWS({"", "name", "name"}, {"\n\n# nothing\n  # here\n\r\n", "a b", "a b"}, {"r ^x y\n", "", ""});
}
END_TEST

START_TEST(r_replaces_the_match_and_keeps_the_rest)
{
	ROWS({"r b X", "abc", "aXc"}, {"r ^[^/] /tftpboot/\\0", "file", "/tftpboot/file"}, {"r ^a", "abc", "bc"},
	    {"r ^[^/] /tftpboot/\\0", "/file", "/file"}, {"r x y", "abc", "abc"}, {"r b X", "abcb", "aXcb"},
	    {"r (a)(b)(c) \\3\\2\\1", "xabcx", "xcbax"}, {"r a(q)?b <\\1>", "ab", "<>"},
	    {"r a b\nr b c\n", "a", "c"}, {"r $ .gz", "f", "f.gz"}, {"r ^ /", "f", "/f"});
}
END_TEST

START_TEST(g_repeats_from_the_start_and_gg_goes_on)
{
	ROWS({"rg \\\\ /", "a\\b\\c", "a/b/c"}, {"rg ab b", "aaab", "b"}, {"rgg a aa", "aXa", "aaXaa"},
	    {"rgg ab b", "aaab", "aab"}, {"rgg / //", "/a/b/", "//a//b//"}, {"rgg ^a b", "aaa", "baa"},
	    {"rg ^a b", "aaa", "baa"}, {"g a b", "aaa", "aaa"}, {"rgg x* -", "ab", NULL});
}
END_TEST

START_TEST(a_rule_that_never_ends_is_stopped)
{
	static char name[REMAP_NAME_MAX + 10];
	ROWS({"rg a a", "a", NULL, REMAP_LOOP}, {"rg a aa", "a", NULL, REMAP_LONG}, {"s a", "a", NULL, REMAP_LOOP},
	    {":top\nj . top", "a", NULL, REMAP_LOOP});
	memset(name, 'n', sizeof(name) - 1);
	check_row(&(struct row){"", name, NULL, REMAP_LONG});
	name[REMAP_NAME_MAX - 1] = '\0';
	check_row(&(struct row){"", name, name});
	check_row(&(struct row){"r $ x", name, NULL, REMAP_LONG});
}
END_TEST

START_TEST(the_number_of_steps_can_be_set)
{
	static struct remap_result out;
	struct remap *r = must_parse("r a b\nr b c\nr c d\n");
	struct remap_request q = {.max_steps = 3};

	ck_assert_int_eq(remap_run(r, &q, "a", &out), REMAP_OK);
	ck_assert_str_eq(out.text, "d");
	ck_assert_uint_eq(out.line, 0);
	q.max_steps = 2;
	ck_assert_int_eq(remap_run(r, &q, "a", &out), REMAP_LOOP);
	ck_assert_uint_eq(out.line, 3);
	remap_free(r);
}
END_TEST

START_TEST(exactly_4096_rules_may_be_tried)
{
	static char rules[REMAP_STEPS * 6 + 8];
	size_t len = 0;

	for (int i = 0; i < REMAP_STEPS; i++)
		len += (size_t)sprintf(rules + len, "r x y\n");
	check_row(&(struct row){rules, "a", "a"});
	strcpy(rules + len, "r x y\n");
	check_row(&(struct row){rules, "a", NULL, REMAP_LOOP});
}
END_TEST

START_TEST(i_ignores_case)
{
	ROWS({"ri ^[a-z]:", "C:\\x", "\\x"}, {"r ^[a-z]:", "C:\\x", "C:\\x"}, {"ri BOOT boot", "/Boot/x", "/boot/x"});
}
END_TEST

START_TEST(e_ends_after_a_match)
{
	ROWS({"re a b\nr b c", "a", "b"}, {"re x b\nr a c", "a", "c"}, {"e a\nr a b", "a", "a"}, {"e x\nr a b", "a", "b"});
}
END_TEST

START_TEST(E_ends_only_where_the_result_can_be_transferred)
{
	ROWS({"rE ^ there/\nr ^ no/", "x", "there/x"}, {"rE ^ missing/\nr ^ no/", "x", "no/x"},
	    {"E .\nr ^ no/", "there", "there"}, {"E .\nr ^ no/", "missing", "no/missing"},
	    {"rEg a b\nr ^ no/", "aa", "no/aa"});
}
END_TEST

START_TEST(s_starts_over)
{
	ROWS({"r ^b c\nrs ^a b\n", "a", "c"}, {"rs a b\nr b c", "aaa", "cbb"});
}
END_TEST

START_TEST(a_refuses_with_its_message)
{
	ROWS({"a \\.pvt$", "x.pvt", "", REMAP_REFUSED}, {"a \\.pvt$", "x.pvtx", "x.pvtx"},
	    {"a \\.pvt$ no\\ private\\ files", "x.pvt", "no private files", REMAP_REFUSED},
	    {"a (.*)\\.pvt$ \\U\\1\\E\\ from\\ \\i", "dir/x.pvt", "DIR/X from 192.0.2.169", REMAP_REFUSED},
	    {"a~ ^/", "x", "", REMAP_REFUSED}, {"a~ ^/ <\\0>", "x", "<>", REMAP_REFUSED}, {"a~ ^/", "/x", "/x"});
}
END_TEST

START_TEST(j_jumps_to_a_label)
{
	ROWS({"j ^a end\nr . X\n:end\nr $ !", "abc", "abc!"}, {"j ^z end\nr . X\n:end\nr $ !", "abc", "Xbc!"},
	    {"j ^([ab]) L\\1\n:La\nre $ 1\n:Lb\nr $ 2", "a", "a1"}, {"j ^([ab]) L\\1\n:La\nre $ 1\n:Lb\nr $ 2", "b", "b2"},
	    {"j ^(.) L\\1", "q", "Lq", REMAP_LABEL});
}
END_TEST

START_TEST(G_and_P_choose_the_direction)
{
	ROWS({"rG a b", "a", "b"}, {"rG a b", "a", "a", 0, true}, {"rP a b", "a", "a"}, {"rP a b", "a", "b", 0, true},
	    {"rGP a b", "a", "a"}, {"rGP a b", "a", "a", 0, true});
}
END_TEST

START_TEST(digits_choose_the_family)
{
	ROWS({"r4 a b", "a", "b"}, {"r4 a b", "a", "a", 0, false, true}, {"r6 a b", "a", "a"},
	    {"r6 a b", "a", "b", 0, false, true}, {"r46 a b", "a", "a"}, {"r46 a b", "a", "a", 0, false, true});
}
END_TEST

START_TEST(escapes_of_the_replacement)
{
	ROWS({"r .* \\i", "f", "192.0.2.169"}, {"r .* \\x", "f", "C00002A9"}, {"r .* \\m/\\0", "f", "52-54-00-12-34-56/f"},
	    {"r .* \\x", "f", "20010DB800000000000000000000000A", 0, false, true},
	    {"r .* \\L\\x", "f", "c00002a9"}, {"r .* \\L\\0", "/Boot/BCD", "/boot/bcd"},
	    {"r (.)(.) \\U\\1\\E\\2", "abcd", "Abcd"}, {"r a \\Ux", "aaa", "Xaa"}, {"r a \\\\", "a", "\\"},
	    {"r a \\#\\ b", "a", "# b"}, {"r a \\q\\.", "a", "q."}, {"r a x\\", "a", "x\\"}, {"r a \\Lx\\Uy\\Ez", "a", "xYz"});
}
END_TEST

START_TEST(fields_end_at_white_space_or_a_comment)
{
	ROWS({"  r\ta\tb  ", "a", "b"}, {"r a b # c", "a", "b"}, {"r a b#c", "a", "b"}, {"r a\\ b c", "a b", "c"},
	    {"r \\# c", "#", "c"}, {"r a b\r\nr b c\r\n", "a", "c"}, {"r a b", "a", "b"}, {"r a b and more", "a", "b"},
	    {"a x not allowed", "x", "not", REMAP_REFUSED});
}
END_TEST

START_TEST(what_is_seen_in_the_field_works)
{
	static const char rules[] =
	    "rg \\\\ /\nri ^[a-z]: # drive\nr ^/?boot/bcd /Boot/BCD\na \\.pvt$\nr ^[^/] /tftpboot/\\0\n";

	ROWS({rules, "\\Boot\\BCD", "/Boot/BCD"}, {rules, "C:\\boot\\bcd", "/Boot/BCD"},
	    {rules, "pxelinux.0", "/tftpboot/pxelinux.0"},
	    {rules, "a\\b.pvt", "", REMAP_REFUSED});
}
END_TEST

/* Refused, with the line and a word of what is wrong. */
static void bad(const char *rules, const char *line, const char *word)
{
	char error[REMAP_ERROR_MAX];
	struct remap *r;

	ck_assert_msg(remap_parse(&r, rules, strlen(rules), error) != 0, "\"%s\" was taken", rules);
	ck_assert_ptr_null(r);
	ck_assert_msg(strstr(error, line) == error, "\"%s\": %s", rules, error);
	ck_assert_msg(strstr(error, word) != NULL, "\"%s\": %s", rules, error);
}

START_TEST(forbidden_pairs_are_refused)
{
	static const char pairs[][3] = {"r~", "ra", "rj", "aj", "as", "ej", "ae", "es", "eE", "Ej", "aE", "Es"};

	for (size_t i = 0; i < 12; i++) {
		char rules[64];

		for (int back = 0; back < 2; back++) {
			snprintf(rules, sizeof(rules), "# one\nr a b\n%c%c x y\n:y\n", pairs[i][back], pairs[i][!back]);
			bad(rules, "line 3: ", "cannot be combined");
		}
	}
}
END_TEST

START_TEST(what_is_no_rule_is_refused)
{
	bad("q a b", "line 1: ", "\"q\"");
	bad("\nr\n", "line 2: ", "missing");
	bad("r (a b", "line 1: ", "(a");
	bad("r [a b", "line 1: ", "[a");
	bad(":", "line 1: ", "label");
	bad("j a", "line 1: ", "label");
	bad("r a b\nj a nowhere\n:somewhere\n", "line 2: ", "nowhere");
	bad("r\xff a b", "line 1: ", "operation");
}
END_TEST

/* A rule with this expression, which is refused in these words; NULL: it is taken. */
static void costs(const char *regex, const char *word)
{
	char *rules = malloc(strlen(regex) + 32);

	ck_assert_ptr_nonnull(rules);
	sprintf(rules, "# one\nr %s x\n", regex);
	if (word != NULL)
		bad(rules, "line 2: ", word);
	else
		remap_free(must_parse(rules));
	free(rules);
}

/* glibc's regcomp took gigabytes for the first of these. */
START_TEST(repetitions_that_multiply_are_refused)
{
	static const char *const fine[] = {
		"a{1,255}", "(a{1,30}){1,30}", "([a-z]{1,30}[0-9]{1,30}){1,5}", "^(.{1,200})/(.{1,200})/(.{1,200})$", "a{1000}",
		"((((a+)+)+)+)+", "a****????", "(a*)*", "([{1,255}]{1,255}){1,3}", "([]{1,255}]{1,255}){1,3}",
		"([^]{1,255}]{1,255}){1,3}", "([[:alpha:]{1,255}]{1,255}){1,3}", "(\\{1,255}){1,3}", "(a{0}){255}{3}",
	};
	static const char *const costly[] = {
		"(((a{1,255}){1,255}){1,255})", "((a{1,255}){1,255})", "(a{1,32}){1,32}", "a{1,255}{1,255}", "a{32}{32}",
		"(a{31,}){32}", "(a{,32}){32}", "a++++++++++++++++++++++++", "((((((((((a+)+)+)+)+)+)+)+)+)+)+", "a???+++++++", "(a?){1,30}{1,30}",
		"x|y|(b|(a{1,255}|c){1,255})", "([{1,255}]{1,255}){1,255}", "([]]{1,255}){1,255}", "([[:alpha:]]{1,255}){1,255}",
		"(\\({1,255}){1,255}", "(((a{1,255}){1,255}", "a{1,255}{1,255}(", "(a{99999999999999999999})",
		"(a{2147483647}){2147483647}",
	};

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		costs(fine[i], NULL);
	for (size_t i = 0; i < sizeof(costly) / sizeof(costly[0]); i++)
		costs(costly[i], "repeats what is repeated already");
}
END_TEST

/* glibc's regcomp calls itself for each group: the stack of a server that reads its rules again ended there. */
START_TEST(groups_within_groups_are_bounded)
{
	static char regex[40001];

	for (size_t n = 99; n <= 20000; n += n == 99 ? 1 : n == 100 ? 1 : 19899) {
		memset(regex, '(', n);
		regex[n] = 'a';
		memset(regex + n + 1, ')', n);
		regex[2 * n + 1 < sizeof(regex) ? 2 * n + 1 : sizeof(regex) - 1] = '\0';
		costs(regex, n <= 100 ? NULL : "groups within each other");
	}
}
END_TEST

START_TEST(an_expression_has_an_end)
{
	static char regex[20002];

	memset(regex, 'a', sizeof(regex) - 1);
	costs(regex, "is too long");
	regex[2000] = '\0';
	costs(regex, NULL);
	costs("(abcdefghijklmnopqrstuvwxyz){770}(abcdefghijklmnopqrstuvwxyz){770}", "is too long");
}
END_TEST

struct story {
	int n;
	char text[512];
};

static void note(void *arg, unsigned line, const char *what, const char *name)
{
	struct story *s = arg;

	s->n += snprintf(s->text + s->n, sizeof(s->text) - (size_t)s->n, "%u %s %s;", line, what, name);
}

START_TEST(each_step_is_told)
{
	static struct remap_result out;
	struct story story = {.n = 0};
	struct remap_request q = {.step = note, .arg = &story};
	struct remap *r = must_parse("r a b\nr x y\n\nre b c\nr c d\n");

	ck_assert_int_eq(remap_run(r, &q, "a", &out), REMAP_OK);
	ck_assert_str_eq(story.text, "1 replaced b;4 replaced c;");
	ck_assert_uint_eq(out.line, 4);
	ck_assert_uint_eq(remap_count(r), 4);
	remap_free(r);
}
END_TEST

UNIT_MAIN("remap", no_rules_leave_the_name, r_replaces_the_match_and_keeps_the_rest,
    g_repeats_from_the_start_and_gg_goes_on,
    a_rule_that_never_ends_is_stopped, the_number_of_steps_can_be_set, exactly_4096_rules_may_be_tried, i_ignores_case,
    e_ends_after_a_match, E_ends_only_where_the_result_can_be_transferred, s_starts_over, a_refuses_with_its_message,
    j_jumps_to_a_label, G_and_P_choose_the_direction, digits_choose_the_family, escapes_of_the_replacement,
    fields_end_at_white_space_or_a_comment, what_is_seen_in_the_field_works, forbidden_pairs_are_refused,
    what_is_no_rule_is_refused, repetitions_that_multiply_are_refused,
    groups_within_groups_are_bounded, an_expression_has_an_end, each_step_is_told)
