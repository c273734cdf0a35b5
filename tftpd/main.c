/*
 * tftpd: read the command line, open the directories and sockets, say what is served, give up privileges, go into the
 * background where that is wanted, serve.
 */
#include "config.h"
#include "daemon.h"
#include "explain.h"
#include "listen.h"
#include "logs.h"
#include "opener.h"
#include "privs.h"
#include "request.h"
#include "sandbox.h"
#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define VERSION "0.1.0"

/* A file to name in the example, so that the line can be typed as it stands; root becomes somebody else yet. */
static void example_file(const char *directory, char name[NAME_MAX + 1])
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	strcpy(name, "FILE");
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		struct stat st;
		bool plain = strspn(entry->d_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		    strlen(entry->d_name);

		if (plain && entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
		    (st.st_mode & S_IROTH || geteuid() != 0)) {
			strcpy(name, entry->d_name);
			break;
		}
	}
	closedir(dir);
}

/* The client that was built or installed beside this program, if it is there. */
static void client_program(const char *self, char path[PATH_MAX])
{
	const char *slash = strrchr(self, '/');

	if (slash != NULL && (size_t)snprintf(path, PATH_MAX, "%.*s/tftp", (int)(slash - self), self) < PATH_MAX &&
	    access(path, X_OK) == 0)
		return;
	strcpy(path, "tftp");
}

static void announce(const struct server *s, const char *self)
{
	const struct config *c = s->config;
	const struct listener *l = &s->listeners[0];
	char listening[1024], client[PATH_MAX], host[ADDR_TEXT], file[NAME_MAX + 1], real[PATH_MAX];
	const char *what = c->roots != NULL ? c->roots : realpath(c->directory, real) != NULL ? real : c->directory;
	bool v6 = l->addr.sa.sa_family == AF_INET6;

	log_line(&s->log, LOG_LEVEL_NOTICE, "serving %s%s (%s) on %s", what, c->ndirectories > 1 ? " and others" : "",
	    config_uploads(c) ? "read and write" : "read-only",
	    listen_describe(s, listening, sizeof(listening)));
	if (s->nlisteners == 0 || c->hpa || c->roots != NULL)
		return;
	/* What comes in on one interface only does not come from here. */
	if (addr_is_wildcard(&l->addr) && l->device[0] != '\0')
		return;
	if (addr_is_wildcard(&l->addr))
		strcpy(host, v6 ? "::1" : "127.0.0.1");
	else
		addr_host(&l->addr, host);
	example_file(c->directory, file);
	client_program(self, client);
	log_line(&s->log, LOG_LEVEL_NOTICE, "fetch with: %s get tftp://%s%s%s:%u/%s", client, v6 ? "[" : "", host,
	    v6 ? "]" : "", addr_port(&l->addr), file);
}

static void ready(struct server *s)
{
	const struct config *c = s->config;
	char what[256], listening[160];

	snprintf(what, sizeof(what), "serving %.80s on %s", c->roots != NULL ? c->roots : c->directory,
	    listen_describe(s, listening, sizeof(listening)));
	notify_ready(&s->notify, what, mono_now());
}

static int fail(int status, const char *sentence)
{
	fprintf(stderr, "tftpd: %s\n", sentence);
	return status;
}

/* Start. */

/* What an administrator should know before the first client finds out. */
static void warn_names(struct server *s)
{
	char text[NAMES_TROUBLE_MAX];

	if (names_by_hand(&s->names) && !(s->config->without & CONFIG_NO_OPENAT2))
		log_line(&s->log, LOG_LEVEL_WARNING, "no openat2 here: names are walked by hand");
	if (s->names.left_out[0] != '\0')
		log_line(&s->log, LOG_LEVEL_WARNING, "%s; going on without it", s->names.left_out);
	for (int i = 0; i < s->names.nroots; i++)
		if (names_trouble(&s->names, i, text) != NULL)
			log_line(&s->log, LOG_LEVEL_WARNING, "%s", text);
}

static void warn_log(struct server *s)
{
	char text[LOGS_TROUBLE_MAX];

	if (logs_trouble(&s->log, s->config, text) != NULL)
		log_line(&s->log, LOG_LEVEL_WARNING, "%s", text);
}

static int become(struct server *s, const struct privs *privs, char error[CONFIG_ERROR_MAX])
{
	const struct config *c = s->config;
	bool jail;
	int status, jailed;

	if (!privs->change && geteuid() == 0)
		log_line(&s->log, LOG_LEVEL_WARNING, "running as root: there is no user tftp or nobody (see --user)");
	if (privs->makeshift)
		log_line(&s->log, LOG_LEVEL_NOTICE, "there is no user tftp: running as %s (see --user)", privs->user);
	if (c->umask >= 0)
		umask((mode_t)c->umask);
	/*
	 * Everything that is opened later is opened from a directory that is open already, so one root directory is as good as
	 * another, unless links may lead anywhere. Who stays root could leave it again.
	 */
	jail = c->secure || (privs_lose(privs) && c->symlinks != CONFIG_SYMLINKS_ANY);
	status = privs_drop(privs, jail ? s->names.roots[0].base.fd : -1, config_low_ports(c), &jailed, error);
	if (status == 0 && c->secure && jailed < 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot chroot: %s", strerror(-jailed));
		status = EX_OSERR;
	}
	if (status == 0 && c->secure && jailed == 0)
		log_line(&s->log, LOG_LEVEL_NOTICE, "not root: --secure is kept by the way names are opened, without chroot");
	if (status == 0) {
		warn_names(s);
		warn_log(s);
	}
	return status;
}

/*
 * Order: whom to become and what to serve while /etc and the file system are in reach, sockets while ports below 1024
 * are; then into the background, out of the file system, out of root's rights. The sandbox is next, see serve.
 */
static int start(struct server *s, struct daemon *d, const char *self, char error[CONFIG_ERROR_MAX])
{
	const struct config *c = s->config;
	struct privs privs;
	int status = privs_find(&privs, c, error);

	if (status == 0)
		status = names_open(&s->names, c, error);
	if (status == 0)
		status = lists_open(&s->lists, c, error);
	if (status != 0)
		return status;
	if (listen_open(s, error) != 0)
		return EX_OSERR;
	announce(s, self);
	status = daemon_open_pidfile(d, s, privs_lose(&privs) || c->secure, error);
	if (status == 0 && d->detach && (status = daemon_detach(d)) != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot go into the background: %s", strerror(-status));
		status = EX_OSERR;
	}
	if (status != 0)
		return status;
	daemon_write_pid(d);
	opener_start(s);
	return become(s, &privs, error);
}

static void allow_file(struct sandbox *b, const struct conffile *f)
{
	sandbox_allow(b, f->dir, SANDBOX_READ);
	sandbox_allow(b, f->target_dir, SANDBOX_READ);
}

/* From here on only what serving takes. A layer that this kernel does not have is worth a line, not more. */
static int confine(struct server *s, const struct daemon *d, char error[CONFIG_ERROR_MAX])
{
	const struct config *c = s->config;
	struct sandbox b = {
		.without = (c->without & CONFIG_NO_SECCOMP ? SANDBOX_NO_SECCOMP : 0) |
		    (c->without & CONFIG_NO_LANDLOCK ? SANDBOX_NO_LANDLOCK : 0) |
		    (config_low_ports(c) ? SANDBOX_KEEP_PORTS : 0),
	};
	/* Links that may lead anywhere are only read through. */
	int all = c->symlinks == CONFIG_SYMLINKS_ANY ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1, err;
	struct sandbox_result r;

	for (int i = 0; i < s->names.nroots; i++)
		sandbox_allow(&b, s->names.roots[i].base.fd, config_uploads(c) ? SANDBOX_WRITE : SANDBOX_READ);
	sandbox_allow(&b, all, SANDBOX_READ);
	if (s->names.rule_file.path != NULL)
		allow_file(&b, &s->names.rule_file);
	for (int i = 0; i < c->nlist_files; i++)
		allow_file(&b, &s->lists.files[i]);
	sandbox_allow(&b, s->log.dir, SANDBOX_APPEND);
	sandbox_allow(&b, s->log.target_dir, SANDBOX_APPEND);
	sandbox_allow(&b, d->piddir, SANDBOX_REMOVE);
	err = sandbox_enter(&b, &r);
	if (all >= 0)
		close(all);
	if (err != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot give up privileges (no_new_privs): %s", strerror(-err));
		return EX_OSERR;
	}
	if (r.landlock != 0)
		log_line(&s->log, LOG_LEVEL_NOTICE, "no Landlock here: %s; Unix permissions guard other files",
		    strerror(-r.landlock));
	if (r.seccomp != 0)
		log_line(&s->log, LOG_LEVEL_WARNING, "no seccomp filter here: %s", strerror(-r.seccomp));
	if (r.capabilities != 0 && r.capabilities != -EPERM)
		log_line(&s->log, LOG_LEVEL_WARNING, "cannot give up capabilities: %s", strerror(-r.capabilities));
	return EX_OK;
}

static int serve(struct server *s, const char *self)
{
	const struct config *c = s->config;
	struct daemon d = DAEMON_INIT(config_background(c));
	char error[CONFIG_ERROR_MAX];
	int status = start(s, &d, self, error), err;

	/* Threads come after the sandbox: they are in it only if they are born in it. */
	if (status == 0)
		status = confine(s, &d, error);
	if (status != 0) {
		daemon_remove_pidfile(&d, c);
		return fail(status, error);
	}
	err = put_start(s);
	if (err == 0) {
		ready(s);
		daemon_ready(&d, c);
		err = server_run(s);
	}
	daemon_remove_pidfile(&d, c);
	return err == 0 ? EX_OK : fail(EX_OSERR, strerror(-err));
}

/* Whether a file can be written, or made where there is none yet, without doing either; `link`: also through a link. */
static int check_place(const char *option, const char *path, bool link, char error[CONFIG_ERROR_MAX])
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	struct stat st;
	int err = 0;

	snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1, slash != NULL ? path : ".");
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		err = EISDIR;
	else if (!link && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
		err = ELOOP;
	else if (access(path, W_OK) != 0 && (errno != ENOENT || access(dir, W_OK | X_OK) != 0))
		err = errno;
	if (err == 0)
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "cannot write --%s \"%.160s\": %s", option, path, strerror(err));
	return EX_CONFIG;
}

static int check_places(const struct config *c, char error[CONFIG_ERROR_MAX])
{
	struct log log;
	int status = 0;

	if (c->log != NULL && strcmp(c->log, "syslog") == 0)
		status = logs_open(&log, c, error);
	else if (logs_to_file(c))
		status = check_place("log", c->log, true, error);
	return status == 0 && c->pidfile != NULL ? check_place("pidfile", c->pidfile, false, error) : status;
}

/* --explain, --check, --map-test: the answer for the user that would open the files. */
static int answer_as(const struct config *c, const struct privs *privs, const struct names *names,
    const struct lists *lists, char error[CONFIG_ERROR_MAX])
{
	char note[CONFIG_ERROR_MAX];
	int status = c->action == CONFIG_CHECK ? listen_check(c, note, error) : 0, jailed;
	struct log log;

	log_init(&log, -1, c->level);
	if (status == 0 && c->action == CONFIG_CHECK)
		status = check_places(c, error);
	if (status == 0 && c->action == CONFIG_CHECK && logs_to_file(c))
		log_find(&log, c->log);
	if (c->umask >= 0)
		umask((mode_t)c->umask);
	if (status == 0 && c->action == CONFIG_MAP_TEST)
		return explain_map_test(names, stdout, error);
	if (status == 0)
		status = privs_drop(privs, -1, false, &jailed, error);
	if (status != 0)
		return status;
	return c->action == CONFIG_CHECK ? explain_check(names, lists, &log, privs->user, note, stdout) :
	    explain_request(names, lists, stdout, error);
}

/* Everything but the network. */
static int answer(const struct config *c)
{
	static struct names names; /* large */
	struct lists lists = {.config = c};
	char error[CONFIG_ERROR_MAX];
	struct privs privs;
	int status = privs_find(&privs, c, error);

	if (status == 0)
		status = names_open(&names, c, error);
	if (status == 0)
		status = lists_open(&lists, c, error);
	if (status == 0)
		status = answer_as(c, &privs, &names, &lists, error);
	names_close(&names);
	lists_close(&lists);
	if (error[0] == '\0')
		return status;
	return fail(c->action == CONFIG_CHECK ? EX_CONFIG : status, error);
}

/* From an open log to the end. */
static int run(const struct config *c, const char *self)
{
	static struct server server; /* too large for some stacks; used through pointers only */
	char error[CONFIG_ERROR_MAX];
	struct log log;
	int status = logs_open(&log, c, error);

	if (status != 0)
		return fail(status, error);
	status = server_init(&server, c, &log);
	if (status != 0)
		return fail(EX_OSERR, strerror(-status));
	status = serve(&server, self);
	server_free(&server);
	return status;
}

static int act(const struct config *c, const char *self)
{
	switch (c->action) {
	case CONFIG_RUN:
		return run(c, self);
	case CONFIG_HELP:
		config_usage(stdout);
		return EX_OK;
	case CONFIG_VERSION:
		printf("tftpd %s\n", VERSION);
		return EX_OK;
	case CONFIG_CHECK: case CONFIG_EXPLAIN: case CONFIG_MAP_TEST:
		break;
	}
	return answer(c);
}

/*
 * Whoever starts us may have closed them. A descriptor of ours in their place would be logged to, or be lost on the way
 * into the background.
 */
static void open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct config config;
	char error[CONFIG_ERROR_MAX];
	int status;

	open_standard();
	status = config_parse(&config, argc, argv, error);
	if (status == 0)
		status = act(&config, argv[0]);
	else
		fprintf(stderr, "tftpd: %s\n(tftpd --help lists the options)\n", error);
	config_free(&config);
	return status;
}
