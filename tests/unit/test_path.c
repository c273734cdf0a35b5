/*
 * Containment: names, links and swaps that try to reach what lies outside of the root. Each is tried with openat2 and
 * with the walk by hand, and for each way of treating links.
 */
#include "path.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * top/secret            what must not be had
 * top/outside/file      nor this
 * top/root/...          what is served
 */
static int top;
static char top_path[512], root_path[600];

static void put(const char *name, const char *text)
{
	int fd = openat(top, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void link_to(const char *target, const char *name)
{
	MUST(symlinkat(target, top, name) == 0);
}

static void make_tree(void)
{
	static const char *const dirs[] = {"outside", "root", "root/sub", "root/sub/deep", "root/proc", "root/etc"};
	char link[64], path[700];
	ssize_t len;

	top = unit_dir_open();
	snprintf(link, sizeof(link), "/proc/self/fd/%d", top);
	len = readlink(link, top_path, sizeof(top_path) - 1);
	MUST(len > 0);
	top_path[len] = '\0';
	snprintf(root_path, sizeof(root_path), "%s/root", top_path);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		MUST(mkdirat(top, dirs[i], 0777) == 0);
	put("secret", "outside");
	put("outside/file", "outside");
	put("root/file", "inside");
	put("root/sub/file", "inside");
	put("root/sub/deep/file", "inside");
	put("root/etc/passwd", "inside");
	link_to("../secret", "root/up");
	link_to("../../secret", "root/sub/up");
	link_to("..", "root/parent");
	link_to("../outside", "root/out");
	snprintf(path, sizeof(path), "%s/secret", top_path);
	link_to(path, "root/absolute");
	link_to(top_path, "root/topdir");
	link_to("/", "root/slash");
	link_to("/proc/self/root", "root/magic");
	link_to("/proc/self/fd", "root/fds");
	link_to("/dev/stdin", "root/stdin");
	link_to("loop", "root/loop");
	link_to("pong", "root/ping");
	link_to("ping", "root/pong");
	link_to("up", "root/chain");
	link_to("sub/../../secret", "root/dots");
	link_to("file", "root/alias");
	link_to("../file", "root/sub/alias");
	link_to("sub/deep", "root/dive");
	link_to("nothing", "root/dangling");
	snprintf(path, sizeof(path), "%s/file", root_path);
	link_to(path, "root/whole");
	snprintf(path, sizeof(path), "%s/../secret", root_path);
	link_to(path, "root/whole-up");
	snprintf(path, sizeof(path), "%s/sub/../../outside", root_path);
	link_to(path, "root/whole-out");
	MUST(mkfifoat(top, "root/fifo", 0666) == 0);
}

static void remove_tree(void)
{
	char command[600];

	snprintf(command, sizeof(command), "rm -rf '%s'", top_path);
	MUST(system(command) == 0);
	close(top);
}

/* As the server opens it: it knows what its directory is called. */
static struct path_root open_root(bool by_hand, bool in_root, enum path_links links)
{
	struct path_root root = {.no_openat2 = by_hand, .in_root = in_root, .links = links, .called = {NULL, root_path}};

	MUST(path_root_open(&root, root_path) == 0);
	return root;
}

static void is_inside(int fd, const char *name)
{
	char text[16] = "";

	MUST(read(fd, text, sizeof(text) - 1) >= 0);
	ck_assert_msg(strcmp(text, "outside") != 0, "\"%s\" reached what lies outside", name);
	ck_assert_msg(strcmp(text, "inside") == 0, "\"%s\" is something else: %s", name, text);
}

static const char *const hostile[] = {
	"..", "../", "/..", "../secret", "/../secret", "//../secret", "./../secret", ".//..//secret", "../../secret",
	"../../../../../../../../../../../../etc/passwd", "/../../../../../../../../../../../../etc/passwd",
	"sub/../../secret", "sub/../..//secret", "sub/deep/../../../secret", "sub/deep/../../../outside/file",
	"nothing/../../secret", "file/../../secret", "../root/../secret", "../root/file/../../secret",
	"sub/./.././../secret", "../outside/file", "/../outside/file", "up", "/up", "sub/up", "parent/secret",
	"parent/outside/file", "parent/root/../secret", "parent/..", "out/file", "/out/file", "out/../secret",
	"absolute", "//absolute", "topdir/secret", "topdir/outside/file", "slash/etc/passwd",
	"slash/etc/../etc/passwd", "slash/proc/self/environ", "magic/etc/passwd", "magic", "fds/0", "stdin", "loop",
	"loop/file", "ping", "pong/x", "chain", "dots", "dangling", "sub/alias/../../../secret",
	"dive/../../../secret", "dive/../../../../secret", "sub/../parent/secret", "proc/self/root/etc/passwd",
	"fifo", "/", "", ".", "./", "sub", "sub/", "file/", "file/.", "sub/deep/..", "..\\secret", "..%2fsecret",
	"....//secret", "...", "..\xc0\xaf" "secret", "\xff\xff", "~/secret", "~root", "file\n", "file ",
	" ../secret", "..;/secret", "\\..\\secret", "C:\\secret", "/dev/null", "/proc/self/mem",
	".tftp-part-0123456789abcdef", "whole-up", "whole-out/file", "whole/../../secret", "sub/../whole-up",
};
#define HOSTILE (sizeof(hostile) / sizeof(hostile[0]))

START_TEST(no_hostile_name_reaches_outside)
{
	char absolute[600], via_links[700];

	ck_assert_uint_ge(HOSTILE, 60);
	make_tree();
	snprintf(absolute, sizeof(absolute), "%s/secret", top_path);
	snprintf(via_links, sizeof(via_links), "slash%s/secret", top_path);
	put("root/.tftp-part-0123456789abcdef", "outside");
	for (int way = 0; way < 8; way++) {
		enum path_links links = way & 4 ? PATH_LINKS_NONE : PATH_LINKS_INSIDE;
		struct path_root root = open_root(way & 1, way & 2, links);

		for (size_t i = 0; i < HOSTILE + 2; i++) {
			const char *name = i < HOSTILE ? hostile[i] : i == HOSTILE ? absolute : via_links;
			struct path_target target;
			struct stat st;
			int fd;

			/* In a chroot's manner some of these are names of files inside. */
			if (path_open_read(&root, name, &fd, &st) == 0) {
				ck_assert_msg(way & 2, "\"%s\" was opened", name);
				is_inside(fd, name);
				close(fd);
			}
			if (path_open_target(&root, name, false, &target) == 0) {
				struct stat in, out;

				MUST(fstat(target.dir, &in) == 0 && fstatat(top, "outside", &out, 0) == 0);
				ck_assert_msg(in.st_ino != out.st_ino, "an upload to \"%s\" would land outside", name);
				MUST(fstatat(top, ".", &out, 0) == 0);
				ck_assert_msg(in.st_ino != out.st_ino, "an upload to \"%s\" would land outside", name);
				ck_assert_msg(strchr(target.base, '/') == NULL, "\"%s\" keeps a slash", name);
				close(target.dir);
			}
		}
		path_root_close(&root);
	}
	remove_tree();
}
END_TEST

static int read_error(const struct path_root *root, const char *name)
{
	struct stat st;
	int fd, err = path_open_read(root, name, &fd, &st);

	if (err == 0) {
		is_inside(fd, name);
		close(fd);
	}
	return err;
}

START_TEST(links_inside_are_followed_as_told)
{
	make_tree();
	for (int by_hand = 0; by_hand < 2; by_hand++) {
		struct path_root inside = open_root(by_hand, false, PATH_LINKS_INSIDE);
		struct path_root none = open_root(by_hand, false, PATH_LINKS_NONE);
		struct path_root chrooted = open_root(by_hand, true, PATH_LINKS_INSIDE);
		static const char *const through[] = {"alias", "sub/alias", "dive/file", "dive/../alias", "sub/../alias"};

		for (size_t i = 0; i < 5; i++) {
			ck_assert_msg(read_error(&inside, through[i]) == 0, "%s, by hand %d", through[i], by_hand);
			ck_assert_int_eq(read_error(&none, through[i]), -ELOOP);
			ck_assert_int_eq(read_error(&chrooted, through[i]), 0);
		}
		ck_assert_int_eq(read_error(&inside, "whole"), 0);
		ck_assert_int_eq(read_error(&none, "whole"), -ELOOP);
		ck_assert_int_eq(read_error(&inside, "sub/../file"), 0);
		ck_assert_int_eq(read_error(&none, "sub/deep/../file"), 0);
		ck_assert_int_eq(read_error(&inside, "slash/etc/passwd"), -EXDEV);
		ck_assert_int_eq(read_error(&chrooted, "slash/etc/passwd"), 0);
		ck_assert_int_eq(read_error(&chrooted, "../../etc/passwd"), 0);
		ck_assert_int_eq(read_error(&inside, "loop"), -ELOOP);
		ck_assert_int_eq(read_error(&inside, "dangling"), -ENOENT);
		ck_assert_int_eq(read_error(&inside, "file/"), -ENOTDIR);
		ck_assert_int_eq(read_error(&inside, "file/x"), -ENOTDIR);
		ck_assert_int_eq(read_error(&inside, "fifo"), PATH_SPECIAL);
		ck_assert_int_eq(read_error(&inside, "sub"), PATH_DIRECTORY);
		path_root_close(&inside);
		path_root_close(&none);
		path_root_close(&chrooted);
	}
	remove_tree();
}
END_TEST

static void is_blamed(const struct path_root *root, const char *name, int err, const char *what)
{
	char text[1024];

	ck_assert_int_eq(read_error(root, name), err);
	ck_assert_msg(path_blame(root, name, err, text, sizeof(text)) == (what != NULL), "%s: %s", name, text);
	if (what != NULL)
		ck_assert_msg(strstr(text, what) == text, "%s: %s", name, text);
}

START_TEST(what_a_name_fails_at_is_named)
{
	char deep[600] = "";

	make_tree();
	for (int by_hand = 0; by_hand < 2; by_hand++) {
		struct path_root root = open_root(by_hand, false, PATH_LINKS_INSIDE);

		is_blamed(&root, "dangling", -ENOENT, "\"dangling\" is a symbolic link to \"nothing\", which is not there");
		is_blamed(&root, "sub/up", -EXDEV, "\"sub/up\" is a symbolic link to \"../../secret\"");
		is_blamed(&root, "out/file", -EXDEV, "\"out\" is a symbolic link to \"../outside\"");
		is_blamed(&root, "loop", -ELOOP, "\"loop\" is a symbolic link to \"loop\"");
		is_blamed(&root, "sub/missing", -ENOENT, NULL);
		/* Somebody's attempt to keep us busy is not looked into: each step would be looked up with all before it. */
		for (int i = 0; i < 60; i++)
			strcat(deep, "sub/../");
		strcat(deep, "dangling");
		is_blamed(&root, deep, -ENOENT, NULL);
		deep[0] = '\0';
		path_root_close(&root);
	}
	remove_tree();
}
END_TEST

/* With links that may lead anywhere, ".." still may not. */
START_TEST(links_lead_anywhere_only_if_told)
{
	make_tree();
	for (int by_hand = 0; by_hand < 2; by_hand++) {
		struct path_root any = open_root(by_hand, false, PATH_LINKS_ANY);
		struct stat st;
		int fd;

		ck_assert_int_eq(path_open_read(&any, "out/file", &fd, &st), 0);
		close(fd);
		ck_assert_int_eq(read_error(&any, "../secret"), -EXDEV);
		ck_assert_int_eq(read_error(&any, "sub/../../secret"), -EXDEV);
		/* The name's own parent, not the link target's. */
		ck_assert_int_eq(read_error(&any, "out/../secret"), -ENOENT);
		ck_assert_int_eq(read_error(&any, "out/../file"), 0);
		ck_assert_int_eq(read_error(&any, "file/"), -ENOTDIR);
		path_root_close(&any);
	}
	remove_tree();
}
END_TEST

START_TEST(an_upload_follows_no_link)
{
	static const struct { const char *name; int err; } rows[] = {
		{"alias", PATH_LINK}, {"up", PATH_LINK}, {"dangling", PATH_LINK}, {"dive/new", PATH_LINK}, {"out/new", PATH_LINK},
		{"out/file", PATH_LINK}, {"slash/tmp/new", PATH_LINK}, {"fifo", PATH_SPECIAL}, {"sub", PATH_DIRECTORY},
		{"sub/", PATH_DIRECTORY}, {"new", 0}, {"file", 0}, {"sub/deep/new", 0}, {"no/new", -ENOENT}, {"file/new", -ENOTDIR},
		{".tftp-part-x", PATH_RESERVED},
	};

	make_tree();
	for (int way = 0; way < 2 * 3; way++) {
		struct path_root root = open_root(way & 1, false, (enum path_links)(way / 2));

		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct path_target t;
			int err = path_open_target(&root, rows[i].name, false, &t);

			ck_assert_msg(err == rows[i].err, "%s: %d and not %d", rows[i].name, err, rows[i].err);
			ck_assert_int_eq(t.dir >= 0, err == 0);
			if (err == 0)
				close(t.dir);
		}
		path_root_close(&root);
	}
	remove_tree();
}
END_TEST

START_TEST(directories_are_made_inside_only)
{
	make_tree();
	for (int by_hand = 0; by_hand < 2; by_hand++) {
		struct path_root root = open_root(by_hand, false, PATH_LINKS_INSIDE);
		char name[64];
		struct path_target t;

		snprintf(name, sizeof(name), "made%d/by/upload/file", by_hand);
		ck_assert_int_eq(path_open_target(&root, name, true, &t), 0);
		close(t.dir);
		ck_assert_int_lt(path_open_target(&root, "../made/file", true, &t), 0);
		ck_assert_int_lt(path_open_target(&root, "out/made/file", true, &t), 0);
		ck_assert_int_lt(path_open_target(&root, "newdir/../../made/file", true, &t), 0);
		ck_assert_int_lt(path_open_target(&root, "file/made/x", true, &t), 0);
		ck_assert_int_ne(faccessat(top, "made", F_OK, 0), 0);
		ck_assert_int_ne(faccessat(top, "outside/made", F_OK, 0), 0);
		path_root_close(&root);
	}
	remove_tree();
}
END_TEST

/* Races. */

/* Two names that change places all the time, while a third is opened. */
static const struct race {
	const char *a, *b;   /* exchanged */
	const char *name;    /* opened */
	bool write, make, in_root;
} races[] = {
	{"root/file", "root/up", "file", false, false, false},                       /* a file and a link that leads out */
	{"root/file", "root/absolute", "file", false, false, true},                  /* and an absolute one, as in a chroot */
	{"root/sub", "root/out", "sub/file", false, false, false},                   /* a directory and a link to one outside */
	{"root/sub", "root/topdir", "sub/secret", false, false, true},
	{"root/sub/deep", "outside", "sub/deep/../../secret", false, false, false},  /* moved out while ".." is walked */
	{"root/sub/deep", "outside", "sub/deep/../../../secret", false, false, true},
	{"root/alias", "root/chain", "alias", false, false, false},                  /* two links */
	{"root/file", "root/fifo", "file", false, false, false},                     /* something that blocks */
	{"root/sub", "root/out", "sub/new", true, false, false},                     /* the directory of an upload */
	{"root/sub", "root/parent", "sub/made/new", true, true, false},              /* and of directories that it makes */
	{"root/file", "root/up", "file", true, false, false},                        /* the file that is replaced */
	{"root/sub/deep", "outside", "sub/deep/new", true, false, true},             /* the whole directory goes out and in */
};

struct swapper {
	const struct race *race;
	bool stop;
	long swaps;
};

static void *swap(void *arg)
{
	struct swapper *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		if (syscall(SYS_renameat2, top, s->race->a, top, s->race->b, 2) != 0)
			break;
		__atomic_add_fetch(&s->swaps, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void try_once(const struct path_root *root, const struct race *race)
{
	struct path_target t;
	struct stat st, inside;
	int fd;

	if (!race->write) {
		if (path_open_read(root, race->name, &fd, &st) == 0) {
			is_inside(fd, race->name);
			close(fd);
		}
		return;
	}
	if (path_open_target(root, race->name, race->make, &t) != 0)
		return;
	/* A directory that lies outside now may have been inside when it was opened; the top itself never was. */
	MUST(fstat(t.dir, &st) == 0 && fstatat(top, ".", &inside, 0) == 0);
	ck_assert_msg(st.st_ino != inside.st_ino, "%s: an upload would land outside", race->name);
	close(t.dir);
}

static void run_race(const struct race *race, bool by_hand)
{
	struct path_root root = open_root(by_hand, race->in_root, PATH_LINKS_INSIDE);
	struct swapper s = {.race = race};
	pthread_t thread;
	struct timespec start, now;
	long tries = 0;

	MUST(pthread_create(&thread, NULL, swap, &s) == 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (int i = 0; i < 50; i++, tries++)
			try_once(&root, race);
		clock_gettime(CLOCK_MONOTONIC, &now);
		/* On a busy machine the other thread may get its turn late. */
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 60 ||
	    (__atomic_load_n(&s.swaps, __ATOMIC_RELAXED) <= 10 && now.tv_sec - start.tv_sec < 20));
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert_msg(s.swaps > 10 && tries > 10, "%s: %ld swaps, %ld tries", race->name, s.swaps, tries);
	path_root_close(&root);
}

START_TEST(no_race_leads_outside)
{
	size_t n = sizeof(races) / sizeof(races[0]);

	ck_assert_uint_ge(n, 10);
	for (size_t i = 0; i < 2 * n; i++) {
		make_tree();
		run_race(&races[i / 2], i % 2);
		ck_assert_int_ne(faccessat(top, "made", F_OK, 0), 0);
		remove_tree();
	}
}
END_TEST

/* Samba holds a lease for a client that has the file open: it gives it back in a moment, and the file is there again. */
START_TEST(a_file_that_somebody_else_holds_may_be_asked_for_again)
{
	struct path_root root = {.links = PATH_LINKS_INSIDE};
	char path[600];
	struct stat st;
	const char *text;
	int held, fd;

	make_tree();
	snprintf(path, sizeof(path), "%s/root", top_path);
	MUST(path_root_open(&root, path) == 0);
	MUST((held = openat(top, "root/file", O_RDWR)) >= 0);
	signal(SIGIO, SIG_IGN);
	if (fcntl(held, F_SETLEASE, F_WRLCK) == 0) {
		int err = path_open_read(&root, "file", &fd, &st);

		ck_assert_int_eq(err, -EAGAIN);
		ck_assert_uint_eq(path_refusal(err, false, &text), 0);
		ck_assert_ptr_nonnull(strstr(text, "again later"));
		MUST(fcntl(held, F_SETLEASE, F_UNLCK) == 0);
	}
	close(held);
	MUST(path_open_read(&root, "file", &fd, &st) == 0);
	close(fd);
	path_root_close(&root);
	remove_tree();
}
END_TEST

UNIT_MAIN("path", no_hostile_name_reaches_outside, links_inside_are_followed_as_told, what_a_name_fails_at_is_named,
    links_lead_anywhere_only_if_told, an_upload_follows_no_link, directories_are_made_inside_only, no_race_leads_outside,
    a_file_that_somebody_else_holds_may_be_asked_for_again)
