/*
 * Names: rules first, then each directory in turn, in each the name as it is and then, where that is wanted, what the
 * client may have meant by it. The first file that is there wins.
 */
#include "names.h"

#include "neighbour.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* Most directory entries looked at for one name: a few milliseconds. */
#define ENTRIES_MAX 8192

static void note(const struct names_ask *ask, const char *what, const char *text)
{
	if (ask->note != NULL)
		ask->note(ask->arg, what, text);
}

/* The client's addresses. */

struct peer_text {
	char ip[INET6_ADDRSTRLEN];
	char hex[33];
	char mac[18];       /* aa-bb-cc-dd-ee-ff */
	char mac_colon[18];
	bool v6;
};

/* An IPv4 address in IPv6's clothes counts as IPv4. Returns its bytes and sets *len. */
static const uint8_t *address_bytes(const struct addr *a, size_t *len)
{
	*len = 4;
	if (a->sa.sa_family == AF_INET)
		return (const uint8_t *)&a->v4.sin_addr;
	if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return (const uint8_t *)&a->v6.sin6_addr + 12;
	*len = 16;
	return (const uint8_t *)&a->v6.sin6_addr;
}

void names_mac(const struct addr *peer, char out[18])
{
	size_t len;
	const uint8_t *ip = address_bytes(peer, &len);

	neighbour_mac(ip, len, out);
}

static void peer_texts(const struct names *n, const struct addr *peer, struct peer_text *t)
{
	size_t len;
	const uint8_t *bytes = address_bytes(peer, &len);

	memset(t, 0, sizeof(*t));
	t->v6 = len == 16;
	/* Text is made only for those who read it: a boot storm asks often. */
	if (n->rules == NULL && n->config->roots == NULL && n->config->upload_name == NULL)
		return;
	inet_ntop(t->v6 ? AF_INET6 : AF_INET, bytes, t->ip, sizeof(t->ip));
	for (size_t i = 0; i < len; i++)
		snprintf(t->hex + 2 * i, 3, "%02X", bytes[i]);
	if (n->wants_mac)
		names_mac(peer, t->mac);
	for (size_t i = 0; i < sizeof(t->mac); i++)
		t->mac_colon[i] = t->mac[i] == '-' ? ':' : t->mac[i];
}

/* Templates. */

struct word {
	const char *name, *value;
};

const char *names_template_check(const char *text, const char *words)
{
	for (; *text != '\0'; text++) {
		size_t len = strcspn(text, "}");
		const char *w = words;

		if (*text == '}')
			return "has a } without a {";
		if (*text != '{')
			continue;
		if (text[len] == '\0')
			return "has a { without a }";
		while (*w != '\0' && (strlen(w) != len - 1 || memcmp(w, text + 1, len - 1) != 0))
			w += strlen(w) + 1;
		if (*w == '\0')
			return "has a word in braces that is not known";
		text += len;
	}
	return NULL;
}

/* Fill in a template that has been checked. 0, -ENOENT where a word has no value, -ENAMETOOLONG. */
static int template_fill(const char *text, const struct word *words, size_t n, char *out, size_t cap)
{
	size_t at = 0;

	while (*text != '\0') {
		size_t len = *text == '{' ? strcspn(text, "}") + 1 : strcspn(text, "{"), add = len;
		const char *value = text;

		if (*text == '{') {
			for (size_t i = 0; i < n; i++)
				if (strlen(words[i].name) == len - 2 && memcmp(words[i].name, text + 1, len - 2) == 0)
					value = words[i].value;
			if (*value == '\0')
				return -ENOENT;
			add = strlen(value);
		}
		if (at + add >= cap)
			return -ENAMETOOLONG;
		memcpy(out + at, value, add);
		at += add;
		text += len;
	}
	out[at] = '\0';
	return 0;
}

/* Opening the directories. */

static int open_root(struct names *n, const char *directory, char error[CONFIG_ERROR_MAX])
{
	static const enum path_links links[] = {
		[CONFIG_SYMLINKS_INSIDE] = PATH_LINKS_INSIDE,
		[CONFIG_SYMLINKS_ANY] = PATH_LINKS_ANY,
		[CONFIG_SYMLINKS_NONE] = PATH_LINKS_NONE,
	};
	const struct config *c = n->config;
	struct names_root *r = &n->roots[n->nroots];
	int err;

	memset(r, 0, sizeof(*r));
	r->base.no_openat2 = (c->without & CONFIG_NO_OPENAT2) != 0;
	r->base.in_root = c->secure || c->jail;
	r->base.links = links[c->symlinks];
	err = path_root_open(&r->base, directory);
	if (err != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot serve \"%.160s\": %s", directory, strerror(-err));
		return err == -EACCES || err == -ENOENT || err == -ENOTDIR ? EX_NOINPUT : EX_OSERR;
	}
	n->nroots++;
	r->label = strdup(directory);
	return r->label != NULL ? 0 : EX_OSERR;
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
			continue;
		}
		while (len > 0 && c->directories[i][len - 1] == '/')
			len--;
		n->roots[n->nroots - 1].prefix = strndup(c->directories[i], len);
		if (n->roots[n->nroots - 1].prefix == NULL)
			return EX_OSERR;
	}
	/* As with tftp-hpa, one that is not there keeps nobody from the others. */
	return n->nroots > 0 ? 0 : status;
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
		at += len + (at[len] == ':');
	}
	if (status == 0 && n->nroots == 0) {
		snprintf(error, CONFIG_ERROR_MAX, "--root \"%.160s\" names no directory", n->config->roots);
		status = EX_USAGE;
	}
	return status;
}

static bool mentions(const char *text, const char *what)
{
	return text != NULL && strstr(text, what) != NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
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
	}
	n->nroots = 0;
	remap_free(n->rules);
	n->rules = NULL;
	conffile_close(&n->rule_file);
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
	snprintf(text, NAMES_TROUBLE_MAX, "uid %u may not %s \"%.200s\": %s; %s, or choose another user with --user",
	    (unsigned)geteuid(), write ? "make files in" : "read what is in", r->label, strerror(errno),
	    errno == EROFS ? "mount it read-write" : write ? "chown it" : "chmod a+rx it");
	return text;
}

/* What the client may have meant. */

/* A search for a name in whatever case. */
struct search {
	const struct path_root *root;
	int budget;                     /* directory entries that may still be looked at */
	int hits;
	char path[PATH_NAME_MAX + 1];   /* as far as it is known */
	char hit[PATH_NAME_MAX + 1];
};

static bool is_regular(DIR *dir, const struct dirent *e)
{
	struct stat st;

	return fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode);
}

/* Look for `rest` beneath s->path, which is `len` long. */
static void search_below(struct search *s, size_t len, const char *rest)
{
	size_t part = strcspn(rest, "/");
	const char *next = rest + part + strspn(rest + part, "/");
	int fd = path_open_dir(s->root, s->path);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (s->hits < 2 && s->budget-- > 0 && (e = readdir(dir)) != NULL) {
		if (strlen(e->d_name) != part || strncasecmp(e->d_name, rest, part) != 0 || len + part + 2 > sizeof(s->path))
			continue;
		memcpy(s->path + len, e->d_name, part + 1);
		if (*next != '\0') {
			strcpy(s->path + len + part, "/");
			search_below(s, len + part + 1, next);
		} else if (is_regular(dir, e)) {
			s->hits++;
			strcpy(s->hit, s->path);
		}
		s->path[len] = '\0';
	}
	closedir(dir);
}

/* The one file that has this name in some case. False: none, or more than one. */
static bool any_case(const struct path_root *root, const char *name, char out[PATH_NAME_MAX + 1])
{
	struct search s = {.root = root, .budget = ENTRIES_MAX};

	name += strspn(name, "/");
	/* With a slash at the end it asks for a directory, which is none of ours to find. */
	if (*name == '\0' || strlen(name) > PATH_NAME_MAX || name[strlen(name) - 1] == '/')
		return false;
	search_below(&s, 0, name);
	if (s.hits != 1)
		return false;
	strcpy(out, s.hit);
	return true;
}

static bool slashes(char *name)
{
	bool any = strchr(name, '\\') != NULL;

	for (; *name != '\0'; name++)
		if (*name == '\\')
			*name = '/';
	return any;
}

static bool no_drive(char *name)
{
	if (!isalpha((unsigned char)name[0]) || name[1] != ':')
		return false;
	memmove(name, name + 2, strlen(name + 2) + 1);
	return true;
}

/* Old ROMs send what happens to lie behind the name in their memory, mostly 0xff. */
static bool no_junk(char *name)
{
	size_t len = strlen(name), end = len;

	while (end > 0 && ((unsigned char)name[end - 1] <= 0x20 || (unsigned char)name[end - 1] >= 0x7f))
		end--;
	name[end] = '\0';
	return end < len;
}

static const struct { const char *what; bool (*change)(char *name); } guesses[] = {
	{"slashes", slashes}, {"drive", no_drive}, {"junk", no_junk},
};

static void add_how(struct names_found *f, const char *what)
{
	size_t len = strlen(f->how);

	snprintf(f->how + len, sizeof(f->how) - len, "%s%s", len > 0 ? ", " : "", what);
}

static bool missing(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == PATH_EMPTY;
}

/* One directory. */

/* tftp-hpa: TFTP knows no users, so what it gives out must be everybody's. */
static int open_read(const struct names *n, const struct path_root *root, const char *name, struct names_found *f)
{
	int err = path_open_read(root, name, &f->fd, &f->st);

	if (err != 0 || n->config->permissive || f->st.st_mode & S_IROTH)
		return err;
	close(f->fd);
	f->fd = -1;
	return PATH_NOT_READABLE;
}

static int read_exact(const struct names *n, const struct path_root *root, const struct names_ask *ask,
    const char *name, struct names_found *f)
{
	int err = open_read(n, root, name, f);

	note(ask, err == 0 ? "found" : path_reason(err), name);
	if (err == 0)
		snprintf(f->name, sizeof(f->name), "%s", name);
	return err;
}

static int read_in(const struct names *n, const struct path_root *root, const struct names_ask *ask, const char *name,
    struct names_found *f)
{
	char guess[PATH_NAME_MAX + 1], cased[PATH_NAME_MAX + 1];
	int err = read_exact(n, root, ask, name, f);

	f->how[0] = '\0';
	if (!n->config->tolerant || !missing(err) || strlen(name) > PATH_NAME_MAX)
		return err;
	strcpy(guess, name);
	for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
		if (!guesses[i].change(guess))
			continue;
		add_how(f, guesses[i].what);
		err = read_exact(n, root, ask, guess, f);
		if (!missing(err))
			return err;
	}
	if (!any_case(root, guess, cased))
		return err;
	add_how(f, "case");
	return read_exact(n, root, ask, cased, f);
}

/* A client that writes backslashes means directories; nothing else is guessed where a file would be made. */
static int write_in(const struct names *n, const struct path_root *root, const struct names_ask *ask, const char *name,
    struct names_found *f)
{
	const struct config *c = n->config;
	int err;

	if (c->tolerant && strlen(name) <= PATH_NAME_MAX) {
		char guess[PATH_NAME_MAX + 1];

		strcpy(guess, name);
		if (slashes(guess)) {
			add_how(f, "slashes");
			if (no_drive(guess))
				add_how(f, "drive");
			snprintf(f->name, sizeof(f->name), "%s", guess);
			name = f->name;
		}
	}
	err = path_open_target(root, name, c->mkdir && c->create && !ask->dry, &f->target);
	if (err == -ENOENT && c->mkdir && c->create && ask->dry) {
		note(ask, "would be made, with its directory", name);
		return 0;
	}
	if (err == 0 && f->target.exists && !c->permissive && !(f->target.st.st_mode & S_IWOTH))
		err = PATH_NOT_WRITABLE;
	else if (err == 0 && !f->target.exists && !c->create)
		err = PATH_NO_CREATE;
	else if (err == 0 && !f->target.exists && faccessat(f->target.dir, ".", W_OK | X_OK, AT_EACCESS) != 0)
		err = -errno;
	else if (err == 0 && f->target.exists && c->on_exists == CONFIG_EXISTS_REFUSE)
		err = PATH_EXISTS;
	note(ask, err == 0 ? f->target.exists ? "exists, would be replaced" : "would be made" : path_reason(err), name);
	if (err != 0 && f->target.dir >= 0) {
		close(f->target.dir);
		f->target.dir = -1;
	}
	return err;
}

/* All directories. */

/* What is left of the name behind the directory it must begin with, or NULL. */
static const char *behind_prefix(const struct names_root *r, const char *name)
{
	size_t len;

	if (r->prefix == NULL)
		return name;
	len = strlen(r->prefix);
	return strncmp(name, r->prefix, len) == 0 && name[len] == '/' ? name + len : NULL;
}

/* The directory for this client. `*made` says that it must be closed. */
static int root_for(const struct names_root *r, const struct peer_text *peer, struct path_root *out, bool *made)
{
	const struct word words[] = {
		{"ip", peer->ip}, {"ip-hex", peer->hex}, {"mac", peer->mac_colon}, {"mac-dash", peer->mac},
	};
	char below[PATH_NAME_MAX + 1];
	int err;

	*made = false;
	*out = r->base;
	if (r->below == NULL)
		return 0;
	err = template_fill(r->below, words, sizeof(words) / sizeof(words[0]), below, sizeof(below));
	if (err == 0)
		err = path_root_below(&r->base, below, out);
	*made = err == 0;
	return err;
}

/* tftp-hpa without -s looks at a name's text before it opens it. */
static int list_rule(const struct names *n, const char *name)
{
	if (n->nroots == 0 || n->roots[0].prefix == NULL)
		return 0;
	if (name[0] != '/')
		return PATH_NOT_ABSOLUTE;
	for (const char *p = name; *p != '\0'; p++) {
		size_t len = p[0] == '/' ? strcspn(p + 1, "/") : 0;

		if ((unsigned char)*p < 0x20 || *p == 0x7f || (len == 1 && p[1] == '.') || (len == 2 && p[1] == '.' && p[2] == '.'))
			return PATH_FORBIDDEN;
	}
	return 0;
}

/* Go through the directories with a name that has all its changes behind it. */
static int look(const struct names *n, const struct names_ask *ask, const struct peer_text *peer, const char *name,
    struct names_found *f)
{
	int best = list_rule(n, name), err;

	if (best != 0) {
		note(ask, path_reason(best), name);
		return best;
	}
	best = PATH_FORBIDDEN;
	for (int i = 0; i < n->nroots; i++) {
		const char *rest = behind_prefix(&n->roots[i], name);
		struct path_root root;
		bool made;

		if (rest == NULL)
			continue;
		err = root_for(&n->roots[i], peer, &root, &made);
		note(ask, err == 0 ? "looking in" : "no such directory", n->roots[i].label);
		if (err == 0) {
			f->how[0] = '\0';
			err = ask->write ? write_in(n, &root, ask, rest, f) : read_in(n, &root, ask, rest, f);
		}
		if (made)
			close(root.fd);
		if (err == 0)
			return 0;
		/* A file that is there and may not be had says more than one that is not there. */
		if (best == PATH_FORBIDDEN || missing(best))
			best = err;
	}
	return best;
}

/* Rules. */

struct mapping {
	const struct names *names;
	const struct names_ask *ask;
	const struct peer_text *peer;
};

/* A slash in front, the prefix before that: between the rules and the directories. */
static const char *dress(const struct names *n, const char *name, char out[REMAP_NAME_MAX + PATH_MAX])
{
	const struct config *c = n->config;

	snprintf(out, REMAP_NAME_MAX + PATH_MAX, "%s%s%s", c->prefix != NULL ? c->prefix : "",
	    c->rooted && name[0] != '/' ? "/" : "", name);
	return out;
}

static bool could_serve(void *arg, const char *name)
{
	const struct mapping *m = arg;
	struct names_ask quiet = {.name = name, .peer = m->ask->peer, .write = m->ask->write, .dry = true};
	char dressed[REMAP_NAME_MAX + PATH_MAX];
	struct names_found f = {.fd = -1, .target = {.dir = -1}};

	if (look(m->names, &quiet, m->peer, dress(m->names, name, dressed), &f) != 0)
		return false;
	if (f.fd >= 0)
		close(f.fd);
	if (f.target.dir >= 0)
		close(f.target.dir);
	return true;
}

static void map_step(void *arg, unsigned line, const char *what, const char *name)
{
	const struct mapping *m = arg;
	char text[96];

	snprintf(text, sizeof(text), "rule in line %u: %s", line, what);
	note(m->ask, text, name);
}

static int map(const struct names *n, const struct names_ask *ask, const struct peer_text *peer,
    struct remap_result *out)
{
	struct mapping m = {.names = n, .ask = ask, .peer = peer};
	struct remap_request q = {
		.write = ask->write, .v6 = peer->v6, .ip = peer->ip, .hex = peer->hex, .mac = peer->mac,
		.max_steps = n->config->map_steps, .servable = could_serve, .step = ask->note != NULL ? map_step : NULL, .arg = &m,
	};

	if (n->rules != NULL)
		return remap_run(n->rules, &q, ask->name, out);
	out->line = 0;
	if (strlen(ask->name) >= sizeof(out->text))
		return REMAP_LONG;
	strcpy(out->text, ask->name);
	return REMAP_OK;
}

int names_map(const struct names *n, const struct names_ask *ask, struct remap_result *out)
{
	struct peer_text peer;

	peer_texts(n, ask->peer, &peer);
	return map(n, ask, &peer, out);
}

/* The rules did not give a name: what the peer is told, and what the log. */
static int rules_refused(const struct names *n, int code, const struct remap_result *r, struct names_found *f)
{
	const char *file = n->config->map_file != NULL ? n->config->map_file : "the rules";

	snprintf(f->detail, sizeof(f->detail), "rule in line %u of %.256s", r->line, file);
	if (code == REMAP_REFUSED) {
		snprintf(f->text, sizeof(f->text), "%.250s", r->text[0] != '\0' ? r->text : "access to this file is refused");
		return NAMES_REFUSED;
	}
	snprintf(f->text, sizeof(f->text), "the server's rename rules went wrong, tell its administrator");
	snprintf(f->detail, sizeof(f->detail), "line %u of %.256s: %s%.64s", r->line, file,
	    code == REMAP_LOOP ? "too many steps, the rules run in a circle" : code == REMAP_LABEL ? "no such label: " :
	    "the name grew too long", code == REMAP_LABEL ? r->text : "");
	return NAMES_RULES;
}

/* --upload-name. 0 or -ENAMETOOLONG. */
static int upload_name(const struct names *n, const struct peer_text *peer, const char *name, char *out, size_t cap)
{
	char date[16], clock[16];
	struct word words[] = {{"name", name + strspn(name, "/")}, {"ip", peer->ip}, {"date", date}, {"time", clock}};
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	strftime(clock, sizeof(clock), "%H%M%S", &tm);
	return template_fill(n->config->upload_name, words, sizeof(words) / sizeof(words[0]), out, cap);
}

static int find_mapped(const struct names *n, const struct names_ask *ask, const struct peer_text *peer,
    const char *mapped, struct names_found *f)
{
	char dressed[REMAP_NAME_MAX + PATH_MAX], renamed[PATH_NAME_MAX + 1];
	int err;

	if (ask->write && n->config->upload_name != NULL) {
		if (mapped[strspn(mapped, "/")] == '\0')
			return PATH_EMPTY;
		err = upload_name(n, peer, mapped, renamed, sizeof(renamed));
		if (err != 0)
			return err;
		note(ask, "stored as", renamed);
		mapped = renamed;
	}
	dress(n, mapped, dressed);
	if (strlen(dressed) >= sizeof(f->name))
		return PATH_TOO_LONG;
	if (strcmp(dressed, mapped) != 0)
		note(ask, "with its prefix", dressed);
	strcpy(f->name, dressed);
	return look(n, ask, peer, dressed, f);
}

/* What the command line refuses whatever the name is. */
static int switched_off(const struct config *c, bool write)
{
	if (c->reject_all)
		return PATH_REJECTED;
	/* tftp-hpa lets files that exist be replaced without -c; else it takes --create to allow anything. */
	return write && (c->read_only || (!c->create && !c->hpa)) ? PATH_NO_UPLOADS : 0;
}

int names_find(const struct names *n, const struct names_ask *ask, struct names_found *f)
{
	struct remap_result mapped;
	struct peer_text peer;
	int code, err = switched_off(n->config, ask->write);

	f->name[0] = f->how[0] = f->text[0] = f->detail[0] = '\0';
	f->fd = f->target.dir = -1;
	if (err == 0) {
		peer_texts(n, ask->peer, &peer);
		code = map(n, ask, &peer, &mapped);
		if (code == REMAP_LONG && mapped.line == 0)
			err = PATH_TOO_LONG;
		else if (code != REMAP_OK)
			return rules_refused(n, code, &mapped, f);
	}
	if (err == 0)
		err = find_mapped(n, ask, &peer, mapped.text, f);
	if (err != 0 && f->detail[0] == '\0') {
		snprintf(f->detail, sizeof(f->detail), "%s", path_reason(err));
		if (err == -EACCES || err == -EPERM)
			snprintf(f->detail, sizeof(f->detail), "%s for uid %u", path_reason(err), (unsigned)geteuid());
	}
	return err;
}

/* Suggestions. */

/* Edits that turn a into b, case aside; gives up at 3. */
static int distance(const char *a, const char *b)
{
	int row[NAME_MAX + 2], la = (int)strlen(a), lb = (int)strlen(b);

	if (la - lb > 2 || lb - la > 2 || lb > NAME_MAX)
		return 3;
	for (int j = 0; j <= lb; j++)
		row[j] = j;
	for (int i = 1; i <= la; i++) {
		int diagonal = row[0], least = 3;

		row[0] = i;
		for (int j = 1; j <= lb; j++) {
			int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
			int best = diagonal + !same;

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			if (best < least)
				least = best;
		}
		if (least >= 3)
			return 3;
	}
	return row[lb] < 3 ? row[lb] : 3;
}

/* The file of the same directory whose name is nearest. */
static bool nearest(const struct path_root *root, const char *name, char out[PATH_NAME_MAX + 1])
{
	const char *base = base_name(name);
	char dirname[PATH_NAME_MAX + 1];
	int best = strlen(base) < 5 ? 2 : 3, budget = ENTRIES_MAX, fd;
	const struct dirent *e;
	DIR *dir;

	memcpy(dirname, name, (size_t)(base - name));
	dirname[base - name] = '\0';
	fd = path_open_dir(root, dirname);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	out[0] = '\0';
	while (budget-- > 0 && (e = readdir(dir)) != NULL) {
		int d = e->d_name[0] == '.' ? 3 : distance(base, e->d_name);

		if (d >= best || strlen(dirname) + strlen(e->d_name) > PATH_NAME_MAX || !is_regular(dir, e))
			continue;
		best = d;
		snprintf(out, PATH_NAME_MAX + 1, "%s%s", dirname, e->d_name);
	}
	closedir(dir);
	return out[0] != '\0';
}

static bool suggest_in(const struct path_root *root, const char *name, char out[PATH_NAME_MAX + 1], const char **why)
{
	char guess[PATH_NAME_MAX + 1];
	bool slash, other;

	if (strlen(name) > PATH_NAME_MAX)
		return false;
	strcpy(guess, name);
	slash = slashes(guess);
	other = no_drive(guess);
	other |= no_junk(guess);
	*why = slash ? "slash" : other ? "junk in the name" : "case";
	if (any_case(root, guess, out))
		return true;
	*why = "similar";
	return nearest(root, guess, out);
}

bool names_suggest(const struct names *n, const struct names_ask *ask, const char *name, char out[PATH_NAME_MAX + 1],
    const char **why)
{
	struct peer_text peer;
	bool found = false;

	peer_texts(n, ask->peer, &peer);
	for (int i = 0; !found && i < n->nroots; i++) {
		const char *rest = behind_prefix(&n->roots[i], name);
		struct path_root root;
		bool made;

		if (rest == NULL || root_for(&n->roots[i], &peer, &root, &made) != 0)
			continue;
		found = suggest_in(&root, rest, out, why);
		if (made)
			close(root.fd);
	}
	return found;
}
