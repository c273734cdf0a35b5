/* tftp/progress: the line fits, says what it should, and does not tremble. */
#include "progress.h"
#include "unit.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static struct client_job job = {.remote = "boot/vmlinuz-6.1.0"};

static struct client_state half(void)
{
	return (struct client_state){.job = &job, .jobs = 1, .running = 1, .bytes = 4500000, .expected = 10000000};
}

/* As the C library has it. */
static int columns(const char *text)
{
	wchar_t wide[512];

	return mbstowcs(wide, text, 512) == (size_t)-1 ? -1 : wcswidth(wide, 512);
}

START_TEST(line_never_is_wider_than_the_terminal)
{
	static const char *const names[] = {"x",
	    "a/quite/long/path/to/a/file/with-a-name-that-does-not-end-for-a-while.img",
	    "\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80-name", "", "\x1b[2J",
	    /* two columns each, so that a line of them is twice as long as it seems */
	    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xed\x95\x9c\xea\xb5\xad\xef\xbc\xa1\xf0\x9f\x9a\x80\xe6\x97\xa5\xe6\x97\xa5"};
	struct client_state s = half();
	char line[512];
	bool utf8 = setlocale(LC_CTYPE, "C.UTF-8") != NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (int kind = 0; kind < 4; kind++) {
			job.remote = names[i];
			s.expected = kind & 1 ? UINT64_MAX : 10000000;
			s.jobs = kind & 2 ? 12 : 1;
			s.running = kind & 2 ? 3 : 1;
			for (size_t width = 0; width < 300; width++) {
				size_t n = progress_line(line, sizeof(line), width, &s, 1.5e6);

				ck_assert_msg(n <= width, "width %zu: %zu columns: %s", width, n, line);
				ck_assert_ptr_null(strchr(line, '\x1b'));
				if (utf8)
					ck_assert_msg(columns(line) >= 0 && columns(line) <= (int)width, "width %zu: %s", width, line);
			}
		}
	}
	job.remote = "boot/vmlinuz-6.1.0";
	setlocale(LC_CTYPE, "C");
}
END_TEST

START_TEST(line_says_name_percent_bytes_rate_and_time_left)
{
	struct client_state s = half();
	char line[512];

	progress_line(line, sizeof(line), 79, &s, 1.1e6);
	ck_assert_str_eq(line, "vmlinuz-6.1.0 [=============>                ]  45%  4.50 MB  1.10 MB/s    0:05");
	progress_line(line, sizeof(line), 30, &s, 1.1e6);
	ck_assert_ptr_nonnull(strstr(line, " 45%"));
	ck_assert_ptr_nonnull(strstr(line, "vmlin"));
	progress_line(line, sizeof(line), 6, &s, 1.1e6);
	ck_assert_ptr_nonnull(strstr(line, " 45%"));
}
END_TEST

START_TEST(without_a_size_there_are_bytes_and_no_percent)
{
	struct client_state s = half();
	char line[512];

	s.expected = UINT64_MAX;
	progress_line(line, sizeof(line), 79, &s, 1.1e6);
	ck_assert_str_eq(line, "vmlinuz-6.1.0  4.50 MB  1.10 MB/s");
	progress_line(line, sizeof(line), 12, &s, 1.1e6);
	ck_assert_ptr_nonnull(strstr(line, "4.50 MB"));
}
END_TEST

START_TEST(many_files_are_counted)
{
	struct client_state s = half();
	char line[512];

	s.jobs = 9;
	s.done = 3;
	s.finished = 1000000;
	progress_line(line, sizeof(line), 79, &s, 1.1e6);
	ck_assert_ptr_nonnull(strstr(line, "4/9 vmlinuz"));
	ck_assert_ptr_nonnull(strstr(line, "5.50 MB"));
	s.running = 4;
	progress_line(line, sizeof(line), 79, &s, 1.1e6);
	ck_assert_ptr_nonnull(strstr(line, "3 of 9 files"));
}
END_TEST

/* Whatever the numbers, each keeps its columns: the length is the same all the way. */
START_TEST(line_keeps_its_columns)
{
	struct client_state s = half();
	char line[512];
	size_t first = progress_line(line, sizeof(line), 79, &s, 1.1e6);

	for (s.bytes = 0; s.bytes < s.expected; s.bytes += 99991)
		for (double rate = 1; rate < 1e10; rate *= 7.3)
			ck_assert_uint_eq(progress_line(line, sizeof(line), 79, &s, rate), first);
}
END_TEST

START_TEST(numbers_are_short)
{
	static const struct {
		double n;
		const char *text;
	} bytes[] = {{0, "0 B"}, {999, "999 B"}, {1000, "1.00 kB"}, {9994, "9.99 kB"}, {9996, "10.0 kB"}, {99960, "100 kB"},
	    {999400, "999 kB"}, {999600, "1.00 MB"}, {33600001, "33.6 MB"}, {5e12, "5.00 TB"}};
	static const struct {
		double n;
		const char *text;
	} times[] = {{0, "0:00"}, {7.4, "0:07"}, {59.6, "1:00"}, {3599, "59:59"}, {3600, "1:00:00"}, {1e12, "99:59:59"}};
	char text[16];

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		progress_bytes(text, bytes[i].n);
		ck_assert_str_eq(text, bytes[i].text);
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		progress_time(text, times[i].n);
		ck_assert_str_eq(text, times[i].text);
	}
}
END_TEST

UNIT_MAIN("progress", line_never_is_wider_than_the_terminal, line_says_name_percent_bytes_rate_and_time_left,
    without_a_size_there_are_bytes_and_no_percent, many_files_are_counted, line_keeps_its_columns, numbers_are_short)
