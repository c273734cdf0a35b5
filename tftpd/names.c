/*
 * Names: rules first, then each directory in turn, in each the name as it is and then, where that is wanted, what the
 * client may have meant by it. The first file that is there wins. Directories are names_roots.c's, guessing names_guess.c's.
 */
#include "names.h"

#include "names_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void note(const struct names_ask *ask, const char *what, const char *text)
{
	if (ask->note != NULL)
		ask->note(ask->arg, what, text);
}

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

static int read_in(const struct names *n, const struct names_root *r, const struct path_root *root,
    const struct names_ask *ask, const char *name, struct names_found *f)
{
	char guess[PATH_NAME_MAX + 1], cased[PATH_NAME_MAX + 1];
	const char *rest;
	int err = read_exact(n, root, ask, name, f);

	f->how[0] = '\0';
	if (!n->config->tolerant || !missing(err) || strlen(name) > PATH_NAME_MAX)
		return err;
	strcpy(guess, name);
	for (size_t i = 0; i < NAMES_CHANGES; i++) {
		if (!names_changes[i].change(guess))
			continue;
		add_how(f, names_changes[i].what);
		err = read_exact(n, root, ask, guess, f);
		if (!missing(err))
			return err;
	}
	rest = names_behind_itself(r, guess);
	if (rest != NULL) {
		memmove(guess, rest, strlen(rest) + 1);
		add_how(f, "directory");
		err = read_exact(n, root, ask, guess, f);
		if (!missing(err))
			return err;
	}
	if (!names_any_case(n, root, guess, cased))
		return err;
	add_how(f, "case");
	return read_exact(n, root, ask, cased, f);
}

/* Where a file would be made, only what its directory is called is guessed. */
static int write_in(const struct names *n, const struct names_root *r, const struct path_root *root,
    const struct names_ask *ask, const char *name, struct names_found *f)
{
	const struct config *c = n->config;
	int err;

	if (c->tolerant && strlen(name) <= PATH_NAME_MAX) {
		char guess[PATH_NAME_MAX + 1];
		const char *rest;

		strcpy(guess, name);
		if (names_slashes(guess)) {
			add_how(f, "slashes");
			if (names_no_drive(guess))
				add_how(f, "drive");
		}
		rest = names_behind_itself(r, guess);
		if (rest != NULL)
			add_how(f, "directory");
		if (f->how[0] != '\0') {
			snprintf(f->name, sizeof(f->name), "%s", rest != NULL ? rest : guess);
			name = f->name;
		}
	}
	err = path_open_target(root, name, c->mkdir && c->create && !ask->dry, &f->target);
	if (err == -ENOENT && c->mkdir && c->create && ask->dry) {
		err = path_may_make(root, name);
		note(ask, err == 0 ? "would be made, with its directory" : path_reason(err), name);
		return err;
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
		const char *rest = names_behind_prefix(&n->roots[i], name);
		struct path_root root;
		bool made;

		if (rest == NULL)
			continue;
		err = names_root_for(&n->roots[i], peer, &root, &made);
		note(ask, err == 0 ? "looking in" : "no such directory", n->roots[i].label);
		if (err == 0) {
			f->how[0] = '\0';
			err = ask->write ? write_in(n, &n->roots[i], &root, ask, rest, f) :
			    read_in(n, &n->roots[i], &root, ask, rest, f);
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

	names_peer(n, ask->peer, &peer);
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

/* A part of the name is "..", also where backslashes are slashes: it would leave what is put before it. */
static bool climbs(const char *name)
{
	for (;;) {
		size_t len = strcspn(name, "/\\");

		if (len == 2 && name[0] == '.' && name[1] == '.')
			return true;
		if (name[len] == '\0')
			return false;
		name += len + 1;
	}
}

/* --upload-name. 0, -ENAMETOOLONG, or -EXDEV: the name would leave the place that the template has for it. */
static int upload_name(const struct names *n, const struct peer_text *peer, const char *name, char *out, size_t cap)
{
	char date[16], clock[16];
	struct names_word words[] = {{"name", name + strspn(name, "/")}, {"ip", peer->ip}, {"date", date}, {"time", clock}};
	time_t now = time(NULL);
	struct tm tm;

	if (climbs(name))
		return -EXDEV;
	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	strftime(clock, sizeof(clock), "%H%M%S", &tm);
	return names_fill(n->config->upload_name, words, sizeof(words) / sizeof(words[0]), out, cap);
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
	if (n->config->prefix != NULL && climbs(mapped))
		return -EXDEV;
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
	return write && !config_uploads(c) ? PATH_NO_UPLOADS : 0;
}

int names_find(const struct names *n, const struct names_ask *ask, struct names_found *f)
{
	struct remap_result mapped;
	struct peer_text peer;
	int code, err = switched_off(n->config, ask->write);

	f->name[0] = f->how[0] = f->text[0] = f->detail[0] = '\0';
	f->fd = f->target.dir = -1;
	if (err == 0) {
		names_peer(n, ask->peer, &peer);
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

bool names_blame(const struct names *n, const struct names_ask *ask, const char *name, int err, char *text, size_t cap)
{
	struct peer_text peer;
	bool found = false;

	if (ask->write || (err != -ENOENT && err != -EXDEV && err != -ELOOP && err != -EACCES))
		return false;
	names_peer(n, ask->peer, &peer);
	for (int i = 0; !found && i < n->nroots; i++) {
		const char *rest = names_behind_prefix(&n->roots[i], name);
		struct path_root root;
		bool made;

		if (rest == NULL || names_root_for(&n->roots[i], &peer, &root, &made) != 0)
			continue;
		found = path_blame(&root, rest, err, text, cap);
		if (made)
			close(root.fd);
	}
	return found;
}

bool names_suggest(const struct names *n, const struct names_ask *ask, const char *name, char out[PATH_NAME_MAX + 1],
    const char **why)
{
	struct peer_text peer;
	bool found = false;

	names_peer(n, ask->peer, &peer);
	for (int i = 0; !found && i < n->nroots; i++) {
		const char *rest = names_behind_prefix(&n->roots[i], name);
		struct path_root root;
		bool made;

		if (rest == NULL || names_root_for(&n->roots[i], &peer, &root, &made) != 0)
			continue;
		found = names_suggest_in(n, &root, rest, out, why);
		if (made)
			close(root.fd);
	}
	return found;
}
