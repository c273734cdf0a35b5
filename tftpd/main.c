/* tftpd: read the command line, listen, open the directory, say what is served, serve. */
#include "config.h"
#include "listen.h"
#include "logs.h"
#include "sandbox.h"
#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define VERSION "0.1.0"

/* A file to name in the example, so that the line can be typed as it stands. */
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

		if (plain && entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode)) {
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
	const struct listener *l = &s->listeners[0];
	char listening[1024], client[PATH_MAX], host[ADDR_TEXT], file[NAME_MAX + 1], real[PATH_MAX];
	const char *directory = realpath(s->config->directory, real) != NULL ? real : s->config->directory;
	bool v6 = l->addr.sa.sa_family == AF_INET6;

	log_line(&s->log, LOG_LEVEL_NOTICE, "serving %s (%s) on %s", directory,
	    s->config->create ? "read and write" : "read-only", listen_describe(s, listening, sizeof(listening)));
	if (s->nlisteners == 0)
		return;
	if (addr_is_wildcard(&l->addr))
		strcpy(host, v6 ? "::1" : "127.0.0.1");
	else
		addr_host(&l->addr, host);
	example_file(s->config->directory, file);
	client_program(self, client);
	log_line(&s->log, LOG_LEVEL_NOTICE, "fetch with: %s get tftp://%s%s%s:%u/%s", client, v6 ? "[" : "", host, v6 ? "]" : "",
	    addr_port(&l->addr), file);
}

/* From here on only what serving takes. A layer that this kernel does not have is worth a line, not more. */
static int confine(struct server *s, char error[CONFIG_ERROR_MAX])
{
	const struct config *c = s->config;
	struct sandbox b = {
		.without = (c->without & CONFIG_NO_SECCOMP ? SANDBOX_NO_SECCOMP : 0) |
		    (c->without & CONFIG_NO_LANDLOCK ? SANDBOX_NO_LANDLOCK : 0) |
		    /* Ports below 1024 may still have to be opened, see listen.c. */
		    (s->listen_missing != 0 || (c->port_lo != 0 && c->port_lo < 1024) ? SANDBOX_KEEP_PORTS : 0),
	};
	struct sandbox_result r;
	int err;

	sandbox_allow(&b, s->root.fd, c->create ? SANDBOX_WRITE : SANDBOX_READ);
	sandbox_allow(&b, s->log.dir, SANDBOX_APPEND);
	err = sandbox_enter(&b, &r);
	if (err != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot give up privileges (no_new_privs): %s", strerror(-err));
		return EX_OSERR;
	}
	if (r.landlock != 0)
		log_line(&s->log, LOG_LEVEL_NOTICE, "no Landlock here: %s; Unix permissions guard other files", strerror(-r.landlock));
	if (r.seccomp != 0)
		log_line(&s->log, LOG_LEVEL_WARNING, "no seccomp filter here: %s", strerror(-r.seccomp));
	if (r.capabilities != 0 && r.capabilities != -EPERM)
		log_line(&s->log, LOG_LEVEL_WARNING, "cannot give up capabilities: %s", strerror(-r.capabilities));
	return EX_OK;
}

static void ready(struct server *s)
{
	char what[256], listening[160];

	snprintf(what, sizeof(what), "serving %.80s on %s", s->config->directory,
	    listen_describe(s, listening, sizeof(listening)));
	notify_ready(&s->notify, what, mono_now());
}

static int fail(int status, const char *sentence)
{
	fprintf(stderr, "tftpd: %s\n", sentence);
	return status;
}

/* Start order: listen while we may, open the root, then serve. */
static int serve(struct server *s, const struct config *config, const char *self)
{
	char error[CONFIG_ERROR_MAX];
	int err;

	if (listen_open(s, error) != 0)
		return fail(EX_OSERR, error);
	err = path_root_open(&s->root, config->directory);
	if (err != 0) {
		snprintf(error, sizeof(error), "cannot serve \"%.160s\": %s", config->directory, strerror(-err));
		return fail(EX_NOINPUT, error);
	}
	if (s->root.no_openat2)
		log_line(&s->log, LOG_LEVEL_WARNING, "no openat2 here: symbolic links are not followed");
	announce(s, self);
	err = confine(s, error);
	if (err != EX_OK)
		return fail(err, error);
	ready(s);
	err = server_run(s);
	return err == 0 ? EX_OK : fail(EX_OSERR, strerror(-err));
}

int main(int argc, char **argv)
{
	static struct server server; /* too large for some stacks; used through pointers only */
	struct config config;
	struct log log;
	char error[CONFIG_ERROR_MAX];
	int status = config_parse(&config, argc, argv, error);

	if (status != 0) {
		fprintf(stderr, "tftpd: %s\n(tftpd --help lists the options)\n", error);
		return status;
	}
	if (config.action == CONFIG_HELP) {
		config_usage(stdout);
		return EX_OK;
	}
	if (config.action == CONFIG_VERSION) {
		printf("tftpd %s\n", VERSION);
		return EX_OK;
	}
	status = logs_open(&log, &config, error);
	if (status != 0)
		return fail(status, error);
	status = server_init(&server, &config, &log);
	if (status != 0)
		return fail(EX_OSERR, strerror(-status));
	status = serve(&server, &config, argv[0]);
	server_free(&server);
	config_free(&config);
	return status;
}
