/* Names that a client may ask for: what stays inside the directory is served, everything else is refused in words. */
#include "wire_peer.h"
#include "wire_process.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct wire w;
static struct server s;
static char secret[PATH_ROOM]; /* a file beside the served directory */

static void path(char out[PATH_ROOM], const char *name)
{
	path_join(out, s.dir, name);
}

static void start_as(uid_t uid)
{
	server_start_at(&s, wire_local, uid, "--create", NULL);
	server_put(&s, "file", "inside", 6);
	char sub[PATH_ROOM];
	path(sub, "sub");
	ck_assert_int_eq(mkdir(sub, 0777), 0);
	ck_assert_int_eq(chmod(sub, 0777), 0);
	server_put(&s, "sub/file", "below", 5);
	path_join(secret, files_dir(), "secret");
	file_write(secret, "outside", 7);
}

static void stop(void)
{
	server_is_well(&s);
	server_stop(&s);
}

static void link_to(const char *target, const char *name)
{
	char at[PATH_ROOM];
	path(at, name);
	ck_assert_int_eq(symlink(target, at), 0);
}

/* Refused with ERROR 1 or 2, in words that name no directory of this machine. */
static void refused_as(int op, const char *name)
{
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, op, name, "octet", NULL);
	wire_expect_error(&w, -1);
	ck_assert_msg(wire_block(&w) == 1 || wire_block(&w) == 2, "ERROR %u for \"%s\"", wire_block(&w), name);
	ck_assert_msg(w.len > 9, "no words for \"%s\"", name);
	const char *text = (const char *)w.buf + 4;
	char *top = strdup(s.dir);
	ck_assert_ptr_nonnull(top);
	*strrchr(top, '/') = '\0';
	ck_assert_msg(!strstr(text, top), "the text for \"%s\" holds a path: %s", name, text);
	free(top);
	for (const char *c = text; *c; c++)
		ck_assert_msg((unsigned char)*c >= 32 && *c != 127, "a control character in the text for \"%s\"", name);
	wire_close(&w);
}

static void refused(const char *name)
{
	refused_as(OP_RRQ, name);
}

static void served(const char *name, const char *bytes)
{
	wire_dial(&w, wire_local, s.port);
	wire_request(&w, OP_RRQ, name, "octet", NULL);
	wire_read_rest(&w, 512, (const uint8_t *)bytes, strlen(bytes));
	wire_close(&w);
}

START_TEST(names_inside_are_served)
{
	start_as(0);
	served("file", "inside");
	served("sub/file", "below");
	served("./file", "inside");
	/* A whole path, as dnsmasq and atftpd take it. */
	char whole[PATH_ROOM];
	path(whole, "file");
	served(whole, "inside");
	stop();
}
END_TEST

START_TEST(leading_slash_means_the_served_directory)
{
	start_as(0);
	served("/file", "inside");
	served("/sub/file", "below");
	served("//file", "inside");
	char etc[PATH_ROOM];
	refused("/etc/passwd");
	path(etc, "etc");
	ck_assert_int_eq(mkdir(etc, 0777), 0);
	server_put(&s, "etc/passwd", "not the real one", 16);
	served("/etc/passwd", "not the real one");
	stop();
}
END_TEST

START_TEST(missing_file_is_error_1)
{
	static const char *const names[] = {"nothing", "sub/nothing", "nothing/file", "/nothing", "file/x"};
	start_as(0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, OP_RRQ, names[i], "octet", "tsize", "0", NULL);
		wire_expect_error(&w, 1);
		wire_expect_silence(&w);
		server_expect_logged(&s, names[i], 1);
		wire_close(&w);
	}
	stop();
}
END_TEST

START_TEST(names_that_climb_out_are_refused)
{
	start_as(0);
	char name[2 * PATH_ROOM];
	refused("..");
	refused("../..");
	refused("../../etc/passwd");
	refused("/../../../../../../../../etc/passwd");
	refused("sub/../../x");
	refused("sub/../../../../../../../../../../etc/passwd");
	refused("./../etc/passwd");
	refused("//../etc/passwd");
	snprintf(name, sizeof(name), "../%s", strrchr(s.dir, '/') + 1);
	refused(name);
	/* back in by the way it went out: still a climb, and its file exists */
	snprintf(name, sizeof(name), "../%s/file", strrchr(s.dir, '/') + 1);
	refused(name);
	/* an absolute name of a file that exists outside, also by way of the directory */
	refused(secret);
	snprintf(name, sizeof(name), "%s/../%s", s.dir, strrchr(secret, '/') + 1);
	refused(name);
	refused_as(OP_WRQ, "../written");
	refused_as(OP_WRQ, "sub/../../written");
	refused_as(OP_WRQ, "/../written");
	stop();
}
END_TEST

START_TEST(symlinks_inside_are_followed_and_others_refused)
{
	start_as(0);
	link_to("file", "alias");
	link_to("../file", "sub/up");
	link_to("sub", "subalias");
	link_to("/etc/passwd", "absolute");
	link_to("../../../../../../../../etc/passwd", "climbing");
	link_to("/", "root");
	link_to("loop", "loop");
	link_to("nothing", "dangling");
	link_to(secret, "secret");
	served("alias", "inside");
	served("sub/up", "inside");
	served("subalias/file", "below");
	refused("absolute");
	refused("climbing");
	refused("root/etc/passwd");
	refused("loop");
	refused("dangling");
	refused("secret");
	/* uploads: nothing outside is touched, whatever the answer */
	static const char *const writes[] = {"secret", "root/tmp/tftp-wire-written", "climbing"};
	for (size_t i = 0; i < 3; i++) {
		wire_dial(&w, wire_local, s.port);
		wire_request(&w, OP_WRQ, writes[i], "octet", NULL);
		ck_assert(wire_recv(&w, WIRE_WAIT));
		if (wire_op(&w) == OP_ACK) {
			wire_follow(&w);
			wire_data(&w, 1, "evil", 4);
			wire_recv(&w, WIRE_WAIT);
		}
		wire_close(&w);
	}
	ck_assert(file_is(secret, "outside", 7));
	ck_assert_int_ne(access("/tmp/tftp-wire-written", F_OK), 0);
	stop();
}
END_TEST

START_TEST(directories_are_refused)
{
	start_as(0);
	refused("sub");
	refused("sub/");
	refused(".");
	refused("/");
	refused("./");
	refused("file/");
	refused_as(OP_WRQ, "sub");
	refused_as(OP_WRQ, ".");
	refused_as(OP_WRQ, "/");
	refused_as(OP_WRQ, "no/such/directory");
	stop();
}
END_TEST

START_TEST(fifos_and_devices_are_refused_and_block_nobody)
{
	start_as(0);
	char at[PATH_ROOM];
	path(at, "fifo");
	ck_assert_int_eq(mkfifo(at, 0666), 0);
	refused("fifo");
	served("file", "inside");
	/* a writer that waits, so that a blocking open would succeed and the read hang */
	int fd = open(at, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	refused("fifo");
	served("file", "inside");
	refused_as(OP_WRQ, "fifo");
	close(fd);
	served("file", "inside");
	path(at, "null");
	if (mknod(at, S_IFCHR | 0666, makedev(1, 3)) == 0) {
		refused("null");
		refused_as(OP_WRQ, "null");
	}
	link_to("/dev/zero", "zero");
	refused("zero");
	served("file", "inside");
	stop();
}
END_TEST

START_TEST(unreadable_files_are_refused)
{
	/* as nobody, or as whoever runs the tests if that is not root */
	start_as(65534);
	char at[PATH_ROOM];
	server_put(&s, "private", "secret", 6);
	path(at, "private");
	ck_assert_int_eq(chmod(at, 0), 0);
	server_put(&s, "sub/closed", "x", 1);
	refused("private");
	served("file", "inside");
	path(at, "sub");
	ck_assert_int_eq(chmod(at, 0), 0);
	refused("sub/closed");
	ck_assert_int_eq(chmod(at, 0755), 0);
	if (getuid() == 0) {
		/* neither is a directory that cannot be written to */
		refused_as(OP_WRQ, "sub/new");
		ck_assert(server_lacks(&s, "sub/new"));
	}
	stop();
}
END_TEST

START_TEST(odd_names_are_refused_in_words)
{
	start_as(0);
	static char name[2000];
	refused("");
	/* just long enough, and one byte more */
	for (size_t i = 0; i < 1024; i++)
		name[i] = i % 2 ? '/' : 'a';
	refused(name);
	memset(name, 'n', 1025);
	refused(name);
	for (size_t i = 0; i < 1025; i++)
		name[i] = i % 2 ? '/' : 'a';
	refused(name);
	memset(name, 'n', 300);
	name[300] = '\0';
	refused(name);
	refused("a\nb");
	refused("a\rb");
	refused("\x1b[2J");
	refused("\x01\x02\x7f");
	refused("\xff\xfe");
	refused("%s%n%x");
	refused("*");
	refused("|cat");
	refused(".tftp-part-x");
	stop();
}
END_TEST

START_TEST(temporary_files_are_not_served)
{
	/* one that takes uploads would remove it */
	server_start(&s, NULL);
	server_put(&s, ".tftp-part-abc", "half", 4);
	refused(".tftp-part-abc");
	refused("/.tftp-part-abc");
	stop();
}
END_TEST

START_TEST(names_of_bytes_are_passed_on_and_escaped_in_the_log)
{
	start_as(0);
	/* not UTF-8, and a space: names are bytes */
	server_put(&s, "\xe4\xf6 x", "latin", 5);
	served("\xe4\xf6 x", "latin");
	size_t lines = server_log_count(&s, "");
	refused("marker\x1b[31m\nlistening: everything is fine\r\x07");
	server_expect_logged(&s, "marker", 1);
	const char *log = server_log(&s);
	for (const char *c = log; *c; c++)
		ck_assert_msg(*c == '\n' || ((unsigned char)*c >= 32 && *c != 127), "a control character in the log");
	/* one line for the one refusal: a name cannot forge another. The first file's line may have come meanwhile. */
	ck_assert_uint_le(server_log_count(&s, ""), lines + 2);
	for (const char *line = server_log(&s), *end; (end = strchr(line, '\n')); line = end + 1)
		ck_assert(strncmp(line, "listening: everything", 21) != 0);
	stop();
}
END_TEST

START_TEST(refusal_is_logged_with_peer_and_name)
{
	start_as(0);
	size_t lines = server_log_count(&s, "");
	refused("pxelinux.cfg/01-00-11-22-33-44-55");
	server_expect_logged(&s, "pxelinux.cfg/01-00-11-22-33-44-55", 1);
	ck_assert_uint_eq(server_log_count(&s, ""), lines + 1);
	ck_assert_uint_ge(server_log_count(&s, wire_local), 1);
	stop();
}
END_TEST

WIRE_MAIN("wire_names", names_inside_are_served, leading_slash_means_the_served_directory, missing_file_is_error_1,
    names_that_climb_out_are_refused, symlinks_inside_are_followed_and_others_refused, directories_are_refused,
    fifos_and_devices_are_refused_and_block_nobody, unreadable_files_are_refused, odd_names_are_refused_in_words,
    temporary_files_are_not_served, names_of_bytes_are_passed_on_and_escaped_in_the_log,
    refusal_is_logged_with_peer_and_name)
