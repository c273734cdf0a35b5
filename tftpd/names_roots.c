/*
 * The directories that are served: opened once, named by the command line, some of them for each client anew; and the
 * rule file, which is opened with them.
 */
#include "names.h"

#include "names_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* Opening the directories. */

/* systemd started us, and a service sees less of the system than the administrator who wrote its settings. */
static bool as_service(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

static const char *hidden(const char *directory)
{
	static const struct { const char *below, *by; } places[] = {
		{"/home/", " (hidden from the service: ProtectHome= in systemctl edit tftpd)"},
		{"/root/", " (hidden from the service: ProtectHome= in systemctl edit tftpd)"},
		{"/tmp/", " (the service has a /tmp of its own: PrivateTmp= in systemctl edit tftpd)"},
		{"/var/tmp/", " (the service has a /var/tmp of its own: PrivateTmp= in systemctl edit tftpd)"},
	};

	for (size_t i = 0; as_service() && i < sizeof(places) / sizeof(places[0]); i++)
		if (strncmp(directory, places[i].below, strlen(places[i].below)) == 0)
			return places[i].by;
	return "";
}

static int open_root(struct names *n, const char *directory, char error[CONFIG_ERROR_MAX])
{
	static const enum path_links links[] = {
		[CONFIG_SYMLINKS_INSIDE] = PATH_LINKS_INSIDE,
		[CONFIG_SYMLINKS_ANY] = PATH_LINKS_ANY,
		[CONFIG_SYMLINKS_NONE] = PATH_LINKS_NONE,
	};
	const struct config *c = n->config;
	struct names_root *r = &n->roots[n->nroots];
	char full[PATH_MAX];
	int err;

	memset(r, 0, sizeof(*r));
	r->base.no_openat2 = (c->without & CONFIG_NO_OPENAT2) != 0;
	r->base.in_root = c->secure || c->jail;
	r->base.links = links[c->symlinks];
	err = path_root_open(&r->base, directory);
	if (err != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot serve \"%.160s\": %s%s", directory, strerror(-err), hidden(directory));
		return err == -EACCES || err == -ENOENT || err == -ENOTDIR ? EX_NOINPUT : EX_OSERR;
	}
	n->nroots++;
	r->label = strdup(directory);
	r->full = realpath(directory, full) != NULL ? strdup(full) : NULL;
	r->base.called[0] = directory[0] == '/' ? r->label : NULL;
	r->base.called[1] = r->full;
	return r->label != NULL ? 0 : EX_OSERR;
}

/* One that is not there keeps nobody from the others: so it is with tftp-hpa, and with a client's own directory. */
static void leave_out(struct names *n, char error[CONFIG_ERROR_MAX])
{
	size_t len = strlen(n->left_out);

	snprintf(n->left_out + len, sizeof(n->left_out) - len, "%s%s", len > 0 ? "; " : "", error);
	error[0] = '\0';
}

/* tftp-hpa's list of directories: a name must begin with one of them. */
static int open_list(struct names *n, char error[CONFIG_ERROR_MAX])
{
	const struct config *c = n->config;
	int status = 0;

	for (int i = 0; i < c->ndirectories; i++) {
		size_t len = strlen(c->directories[i]);
		int err = open_root(n, c->directories[i], error);

		if (err != 0) {
			status = err;
			leave_out(n, error);
			continue;
		}
		while (len > 0 && c->directories[i][len - 1] == '/')
			len--;
		n->roots[n->nroots - 1].prefix = strndup(c->directories[i], len);
		if (n->roots[n->nroots - 1].prefix == NULL)
			return EX_OSERR;
	}
	if (n->nroots > 0)
		return 0;
	memcpy(error, n->left_out, CONFIG_ERROR_MAX);
	return status;
}

/* One candidate of --root: what stands before the first token is opened now, the rest when a client asks. */
static int open_candidate(struct names *n, char *path, char error[CONFIG_ERROR_MAX])
{
	const char *wrong = names_template_check(path, "ip\0ip-hex\0mac\0mac-dash\0");
	char *token = strchr(path, '{'), *slash;
	struct names_root *r = &n->roots[n->nroots];
	int status;

	if (wrong != NULL) {
		snprintf(error, CONFIG_ERROR_MAX, "--root \"%.160s\" %s", path, wrong);
		return EX_USAGE;
	}
	if (token == NULL)
		return open_root(n, path, error);
	*token = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL)
		*slash = '\0';
	status = open_root(n, slash == NULL ? "." : slash == path ? "/" : path, error);
	*token = '{';
	if (slash != NULL)
		*slash = '/';
	if (status != 0)
		return status;
	r->base.called[0] = NULL;
	free(r->label);
	r->label = strdup(path);
	r->below = strdup(slash != NULL ? slash + 1 : path);
	return r->label != NULL && r->below != NULL ? 0 : EX_OSERR;
}

static int open_candidates(struct names *n, char error[CONFIG_ERROR_MAX])
{
	const char *at = n->config->roots;
	int status = 0;

	while (status == 0 && *at != '\0') {
		size_t len = strcspn(at, ":");
		char path[PATH_MAX];

		if (len >= sizeof(path) || n->nroots == CONFIG_DIRECTORIES) {
			snprintf(error, CONFIG_ERROR_MAX, "--root has too many directories, or one that is too long");
			return EX_USAGE;
		}
		memcpy(path, at, len);
		path[len] = '\0';
		if (len > 0)
			status = open_candidate(n, path, error);
		if (status == EX_NOINPUT) {
			leave_out(n, error);
			status = 0;
		}
		at += len + (at[len] == ':');
	}
	if (status == 0 && n->nroots == 0 && n->left_out[0] != '\0') {
		memcpy(error, n->left_out, CONFIG_ERROR_MAX);
		status = EX_NOINPUT;
	} else if (status == 0 && n->nroots == 0) {
		snprintf(error, CONFIG_ERROR_MAX, "--root \"%.160s\" names no directory", n->config->roots);
		status = EX_USAGE;
	}
	return status;
}

static bool mentions(const char *text, const char *what)
{
	return text != NULL && strstr(text, what) != NULL;
}

int names_reload(struct names *n, char error[CONFIG_ERROR_MAX])
{
	const char *file = n->config->map_file;
	char why[REMAP_ERROR_MAX], *text;
	struct remap *rules;
	size_t len;
	int err;

	if (file == NULL)
		return 0;
	err = conffile_read(&n->rule_file, &text, &len);
	if (err != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot read the rules in \"%.128s\": %s", file, strerror(-err));
		return EX_NOINPUT;
	}
	err = remap_parse(&rules, text, len, why);
	if (err != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "%.200s: %s", file, why);
		free(text);
		return EX_CONFIG;
	}
	n->wants_mac = mentions(n->config->roots, "{mac") || mentions(text, "\\m");
	free(text);
	remap_free(n->rules);
	n->rules = rules;
	return 0;
}

static int open_rules(struct names *n, char error[CONFIG_ERROR_MAX])
{
	const char *file = n->config->map_file;
	int err;

	if (file == NULL)
		return 0;
	err = conffile_open(&n->rule_file, file);
	if (err == 0)
		return names_reload(n, error);
	snprintf(error, CONFIG_ERROR_MAX, "cannot read the rules in \"%.128s\": %s", file, strerror(-err));
	return EX_NOINPUT;
}

int names_open(struct names *n, const struct config *c, char error[CONFIG_ERROR_MAX])
{
	int status;

	memset(n, 0, sizeof(*n));
	n->config = c;
	n->listings = listings_new(LISTING_SETTLED);
	n->wants_mac = mentions(c->roots, "{mac");
	error[0] = '\0';
	tzset(); /* {date} and {time}; the time zone's file is out of reach after chroot */
	if (c->roots != NULL)
		status = open_candidates(n, error);
	else if (c->hpa && !c->secure && !c->jail)
		status = open_list(n, error);
	else
		status = open_root(n, c->directory, error);
	return status != 0 ? status : open_rules(n, error);
}

void names_close(struct names *n)
{
	for (int i = 0; i < n->nroots; i++) {
		path_root_close(&n->roots[i].base);
		free(n->roots[i].prefix);
		free(n->roots[i].below);
		free(n->roots[i].label);
		free(n->roots[i].full);
	}
	n->nroots = 0;
	remap_free(n->rules);
	n->rules = NULL;
	conffile_close(&n->rule_file);
	listings_del(n->listings);
	n->listings = NULL;
}

const char *names_gone(const struct names *n)
{
	struct stat st;

	for (int i = 0; i < n->nroots; i++)
		if (fstat(n->roots[i].base.fd, &st) == 0 && st.st_nlink == 0)
			return n->roots[i].label;
	return NULL;
}

bool names_by_hand(const struct names *n)
{
	return n->nroots > 0 && n->roots[0].base.no_openat2;
}

const char *names_trouble(const struct names *n, int i, char text[NAMES_TROUBLE_MAX])
{
	const struct names_root *r = &n->roots[i];
	bool write = faccessat(r->base.fd, ".", X_OK, AT_EACCESS) == 0;

	/* A client's own directory, beneath this one, may be another matter. */
	if (write && (!n->config->create || !config_uploads(n->config) || r->below != NULL))
		return NULL;
	if (write && faccessat(r->base.fd, ".", W_OK, AT_EACCESS) == 0)
		return NULL;
	snprintf(text, NAMES_TROUBLE_MAX, "uid %u may not %s \"%.200s\": %s (%s)", (unsigned)geteuid(),
	    write ? "make files in" : "read what is in", r->label, strerror(errno),
	    errno == EROFS ? as_service() ? "ReadWritePaths= in systemctl edit tftpd, or mount it read-write" :
	    "mount it read-write" : write ? "chown it, or choose another user with --user" :
	    "chmod a+rx it, or choose another user with --user");
	return text;
}

/* For one request. */

const char *names_behind_prefix(const struct names_root *r, const char *name)
{
	size_t len;

	if (r->prefix == NULL)
		return name;
	len = strlen(r->prefix);
	return strncmp(name, r->prefix, len) == 0 && name[len] == '/' ? name + len : NULL;
}

const char *names_behind_itself(const struct names_root *r, const char *name)
{
	return r->prefix == NULL && r->below == NULL ? path_behind_root(&r->base, name) : NULL;
}

int names_root_for(const struct names_root *r, const struct peer_text *peer, struct path_root *out, bool *made)
{
	const struct names_word words[] = {
		{"ip", peer->ip}, {"ip-hex", peer->hex}, {"mac", peer->mac_colon}, {"mac-dash", peer->mac},
	};
	char below[PATH_NAME_MAX + 1];
	int err;

	*made = false;
	*out = r->base;
	if (r->below == NULL)
		return 0;
	err = names_fill(r->below, words, sizeof(words) / sizeof(words[0]), below, sizeof(below));
	if (err == 0)
		err = path_root_below(&r->base, below, out);
	*made = err == 0;
	return err;
}
