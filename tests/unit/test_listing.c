/* What is remembered of directories: never that a name is missing which is there, and no longer than it is true. */
#include "listing.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct listings *l;

static void put(int dir, const char *name)
{
	unit_dir_put(dir, name, "x", 1, 0644);
}

/* As if its content had changed a while ago, each time another while; for listings that ask no more than that. */
static void settle(int dir)
{
	static time_t ago = 1000;
	struct timespec then = {.tv_sec = time(NULL) - ++ago}, times[2] = {then, then};

	MUST(futimens(dir, times) == 0);
}

/* Whether the directory's last change has the time that `before` says. */
static bool changed_at(int dir, const struct stat *before)
{
	struct stat st;

	MUST(fstat(dir, &st) == 0);
	return st.st_ctim.tv_sec == before->st_ctim.tv_sec && st.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

static bool lack(int dir, const char *name)
{
	return listings_lack(l, dir, name, strlen(name));
}

START_TEST(names_in_any_case_are_known)
{
	int dir = unit_dir_open();

	l = listings_new(0);
	put(dir, "PxeLinux.0");
	put(dir, "grub.cfg");
	settle(dir);
	ck_assert(!lack(dir, "pxelinux.0"));
	ck_assert(!lack(dir, "PXELINUX.0"));
	ck_assert(!lack(dir, "grub.cfg"));
	ck_assert(lack(dir, "pxelinux.1"));
	ck_assert(lack(dir, "pxelinux"));
	ck_assert(lack(dir, "grub.cfgx"));
	ck_assert(!listings_lack(l, dir, "grub.cfg/and/more", 8));
	listings_del(l);
	unit_dir_close(dir);
}
END_TEST

static void put_a(int dir)
{
	MUST(unlinkat(dir, "a", 0) == 0 || errno == ENOENT);
	put(dir, "a");
}

static void put_other(int dir)
{
	MUST(unlinkat(dir, "other", 0) == 0 || errno == ENOENT);
	put(dir, "other");
}

/* The answer right after a change; where this process had to wait so long that it counts as settled, after another. */
static bool lacks_just_after(void (*change)(int dir), int dir, const char *name)
{
	bool lacks, late;

	do {
		time_t before = time(NULL);

		change(dir);
		lacks = lack(dir, name);
		late = time(NULL) - before >= LISTING_SETTLED;
	} while (lacks && late);
	return lacks;
}

START_TEST(what_changed_just_now_is_not_remembered)
{
	int dir = unit_dir_open();

	l = listings_new(LISTING_SETTLED);
	ck_assert(!lacks_just_after(put_other, dir, "a"));
	ck_assert(!lacks_just_after(put_a, dir, "a"));
	ck_assert(!lacks_just_after(put_a, dir, "b"));
	/* tar and rsync set the time back, perhaps between two files. */
	ck_assert(!lacks_just_after(settle, dir, "b"));
	listings_del(l);
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_change_is_seen)
{
	int dir = unit_dir_open();

	l = listings_new(0);
	put(dir, "a");
	settle(dir);
	ck_assert(lack(dir, "b"));
	put(dir, "b");
	ck_assert(!lack(dir, "b"));
	settle(dir);
	ck_assert(!lack(dir, "b"));
	MUST(unlinkat(dir, "a", 0) == 0);
	settle(dir);
	ck_assert(lack(dir, "a"));
	ck_assert(!lack(dir, "b"));
	listings_del(l);
	unit_dir_close(dir);
}
END_TEST

/* Asked with a descriptor that nothing can be read through, it can only be remembered. */
START_TEST(an_unchanged_directory_is_not_read_again)
{
	int dir = unit_dir_open(), closed = openat(dir, ".", O_PATH | O_DIRECTORY);

	l = listings_new(0);
	put(dir, "a");
	settle(dir);
	ck_assert(!lack(closed, "b"));
	ck_assert(lack(dir, "b"));
	ck_assert(lack(closed, "b"));
	listings_del(l);
	close(closed);
	unit_dir_close(dir);
}
END_TEST

/* rsync and tar give a directory the time it had elsewhere, and where builds are reproducible that never changes. */
START_TEST(a_change_is_seen_under_an_old_time)
{
	int dir = unit_dir_open();
	struct timespec times[2];
	struct stat st;

	l = listings_new(0);
	put(dir, "a");
	settle(dir);
	ck_assert(lack(dir, "b"));
	MUST(fstat(dir, &st) == 0);
	/* Until the kernel's clock has gone on by a tick. */
	do {
		MUST(unlinkat(dir, "B", 0) == 0 || errno == ENOENT);
		put(dir, "B");
		times[0] = times[1] = st.st_mtim;
		MUST(futimens(dir, times) == 0);
	} while (changed_at(dir, &st));
	ck_assert(!lack(dir, "b"));
	listings_del(l);
	unit_dir_close(dir);
}
END_TEST

START_TEST(the_directory_is_at_its_beginning_afterwards)
{
	int dir = unit_dir_open(), fd;
	DIR *d;
	int n = 0;

	l = listings_new(0);
	put(dir, "a");
	settle(dir);
	for (int again = 0; again < 2; again++, n = 0) {
		fd = openat(dir, ".", O_RDONLY | O_DIRECTORY);
		ck_assert(lack(fd, "b"));
		MUST((d = fdopendir(fd)) != NULL);
		while (readdir(d) != NULL)
			n++;
		ck_assert_int_eq(n, 3);
		closedir(d);
	}
	listings_del(l);
	unit_dir_close(dir);
}
END_TEST

START_TEST(more_directories_than_there_is_room_for_are_all_answered_right)
{
	int dir = unit_dir_open(), dirs[40];

	l = listings_new(0);
	for (int i = 0; i < 40; i++) {
		char name[8];

		snprintf(name, sizeof(name), "d%d", i);
		MUST(mkdirat(dir, name, 0755) == 0);
		dirs[i] = openat(dir, name, O_RDONLY | O_DIRECTORY);
		put(dirs[i], name);
		settle(dirs[i]);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 40; i++) {
			char own[8], other[8];

			snprintf(own, sizeof(own), "D%d", i);
			snprintf(other, sizeof(other), "D%d", (i + 1) % 40);
			ck_assert(!lack(dirs[i], own));
			ck_assert(lack(dirs[i], other));
		}
	for (int i = 0; i < 40; i++) {
		char name[8];

		snprintf(name, sizeof(name), "d%d", i);
		MUST(unlinkat(dirs[i], name, 0) == 0 && close(dirs[i]) == 0 && unlinkat(dir, name, AT_REMOVEDIR) == 0);
	}
	listings_del(l);
	unit_dir_close(dir);
}
END_TEST

START_TEST(without_memory_or_a_directory_nothing_is_claimed)
{
	int dir = unit_dir_open(), fd;

	settle(dir);
	ck_assert(!listings_lack(NULL, dir, "a", 1));
	l = listings_new(0);
	put(dir, "a");
	fd = openat(dir, "a", O_RDONLY);
	settle(fd);
	ck_assert(!lack(fd, "b"));
	close(fd);
	listings_del(l);
	unit_dir_close(dir);
}
END_TEST

/* As when the directory that is served is removed and made again while the server has the old one open. */
START_TEST(a_directory_that_is_gone_leaves_no_descriptor_open)
{
	int dir = unit_dir_open(), gone, lowest;

	MUST(mkdirat(dir, "sub", 0755) == 0);
	MUST((gone = openat(dir, "sub", O_RDONLY | O_DIRECTORY)) >= 0);
	MUST(unlinkat(dir, "sub", AT_REMOVEDIR) == 0);
	l = listings_new(0);
	settle(gone);
	MUST((lowest = dup(dir)) >= 0 && close(lowest) == 0);
	ck_assert(!lack(gone, "a"));
	ck_assert_int_eq(dup(dir), lowest);
	close(lowest);
	close(gone);
	listings_del(l);
	unit_dir_close(dir);
}
END_TEST

UNIT_MAIN("listing", names_in_any_case_are_known, what_changed_just_now_is_not_remembered, a_change_is_seen,
    an_unchanged_directory_is_not_read_again, a_change_is_seen_under_an_old_time,
    the_directory_is_at_its_beginning_afterwards, more_directories_than_there_is_room_for_are_all_answered_right,
    without_memory_or_a_directory_nothing_is_claimed, a_directory_that_is_gone_leaves_no_descriptor_open)
