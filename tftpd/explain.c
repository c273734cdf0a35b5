/* The server's decisions in words, made by the same functions that decide. */
#include "explain.h"

#include "logs.h"
#include "options.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* Control characters are escaped; backslashes and quotes, which the log escapes too, are what is asked about and stay. */
static void say(FILE *out, const char *what, const char *text)
{
	char safe[1024];

	fprintf(out, strlen(what) <= 34 ? "%-34s " : "%s: ", what);
	while (*text != '\0') {
		size_t len = strcspn(text, "\\\"");

		fputs(log_safe(safe, sizeof(safe), text, len), out);
		text += len;
		if (*text != '\0')
			fputc(*text++, out);
	}
	fputc('\n', out);
}

static void step(void *arg, const char *what, const char *text)
{
	say(arg, what, text);
}

static void describe(const struct names *n, const struct names_ask *ask, const struct names_found *f, FILE *out)
{
	const struct config *c = n->config;
	char text[160];

	if (ask->write) {
		say(out, "place", f->target.dir < 0 ? "in a directory that would be made" :
		    f->target.in_place ? "written over in place, the directory is not writable" :
		    "a temporary file beside it, renamed when complete");
		if (c->max_upload != UINT64_MAX) {
			snprintf(text, sizeof(text), "%llu bytes", (unsigned long long)c->max_upload);
			say(out, "largest upload", text);
		}
		return;
	}
	snprintf(text, sizeof(text), "%lld bytes, mode %04o, uid %u, gid %u", (long long)f->st.st_size,
	    (unsigned)f->st.st_mode & 07777, (unsigned)f->st.st_uid, (unsigned)f->st.st_gid);
	say(out, "file", text);
}

static void describe_options(const struct config *c, const struct names_ask *ask, const struct names_found *f,
    FILE *out)
{
	char text[256], blksize[64];
	size_t len = 0;

	if (c->blksize_max != 0)
		snprintf(blksize, sizeof(blksize), "blksize up to %u", c->blksize_max);
	else
		snprintf(blksize, sizeof(blksize), "blksize up to the interface's MTU less %d",
		    ask->peer->sa.sa_family == AF_INET6 ? 52 : 32);
	snprintf(text, sizeof(text), "%s, windowsize up to %u (%u bytes), timeout and utimeout as asked", blksize,
	    c->windowsize_max, c->window_bytes);
	say(out, "options", text);
	if (!ask->write && f->st.st_size > 0) {
		snprintf(text, sizeof(text), "%lld in octet mode", (long long)f->st.st_size);
		say(out, "tsize", text);
	}
	text[0] = '\0';
	for (unsigned id = 0; id < OPTION_COUNT; id++)
		if (c->refuse & OPTION_BIT(id))
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s", options_name(id));
	if (len > 0)
		say(out, "never granted", text + 1);
}

static int verdict(const struct names *n, const struct names_ask *ask, const struct names_found *f, int err, FILE *out)
{
	char near[PATH_NAME_MAX + 1], text[PATH_NAME_MAX + 64], blame[1024];
	const char *words = f->text, *why;
	uint16_t code = err == NAMES_REFUSED || err == NAMES_RULES ? 2 : path_refusal(err, ask->write, &words);

	say(out, "because", f->detail);
	if (names_blame(n, ask, f->name, err, blame, sizeof(blame)))
		say(out, "namely", blame);
	else if (!ask->write && (err == -ENOENT || err == -ENOTDIR) && names_suggest(n, ask, f->name, near, &why)) {
		snprintf(text, sizeof(text), "did you mean `%s` (%s)?", near, why);
		say(out, "hint", text);
	}
	snprintf(text, sizeof(text), "refused with ERROR %u: %s", code, words);
	say(out, "verdict", text);
	return 1;
}

/* --allow and --deny come before everything else. */
static bool denied(const struct access *a, const struct names_ask *ask, FILE *out)
{
	bool may_read = access_may_read(a, ask->peer), may_write = access_may_write(a, ask->peer);
	char why[ACCESS_WHY_MAX];

	say(out, "access", may_read && may_write ? "may read and write" : may_read ? "may read" : may_write ? "may write" :
	    "none (--allow, --deny)");
	say(out, "decided by", access_why(a, ask->peer, ask->write, why));
	if (ask->write ? may_write : may_read)
		return false;
	say(out, "verdict", may_read || may_write ? "refused with ERROR 2" : "not answered at all");
	return true;
}

int explain_request(const struct names *n, const struct lists *l, FILE *out, char error[CONFIG_ERROR_MAX])
{
	const struct config *c = n->config;
	struct names_ask ask = {.name = c->explain[2], .write = strcmp(c->explain[1], "write") == 0, .dry = true, .note = step,
	    .arg = out};
	struct names_found found;
	struct addr peer;
	char text[ADDR_TEXT];
	int err;

	if (strchr(c->explain[0], '/') != NULL || addr_resolve(c->explain[0], NULL, 0, AF_UNSPEC, &peer, 1) < 1) {
		snprintf(error, CONFIG_ERROR_MAX, "--explain \"%.64s\" is no address", c->explain[0]);
		return EX_USAGE;
	}
	ask.peer = &peer;
	say(out, "client", addr_host(&peer, text));
	say(out, ask.write ? "wants to write" : "wants to read", ask.name);
	if (denied(&l->access, &ask, out))
		return 1;
	if (n->left_out[0] != '\0')
		say(out, "passed over", n->left_out);
	err = names_find(n, &ask, &found);
	if (err != 0)
		return verdict(n, &ask, &found, err, out);
	if (found.how[0] != '\0')
		say(out, "found by", found.how);
	describe(n, &ask, &found, out);
	describe_options(c, &ask, &found, out);
	say(out, "verdict", ask.write ? "accepted" : "served");
	if (found.fd >= 0)
		close(found.fd);
	if (found.target.dir >= 0)
		close(found.target.dir);
	return EX_OK;
}

/* Rules. */

static void map_one(const struct names *n, const struct addr *peer, char *line, FILE *out)
{
	bool write = strncmp(line, "PUT ", 4) == 0;
	const char *name = write || strncmp(line, "GET ", 4) == 0 ? line + 4 : line;
	struct names_ask ask = {.name = name, .peer = peer, .write = write, .dry = true, .note = step, .arg = out};
	struct remap_result mapped;
	char text[REMAP_NAME_MAX + 64];
	int code;

	say(out, write ? "PUT" : "GET", name);
	code = names_map(n, &ask, &mapped);
	switch (code) {
	case REMAP_OK:
		say(out, "becomes", mapped.text);
		return;
	case REMAP_REFUSED:
		snprintf(text, sizeof(text), "by the rule in line %u: %s", mapped.line, mapped.text);
		say(out, "refused", text);
		return;
	}
	snprintf(text, sizeof(text), "in line %u: %s%s", mapped.line, code == REMAP_LOOP ? "too many steps" :
	    code == REMAP_LABEL ? "no such label: " : "the name grew too long", code == REMAP_LABEL ? mapped.text : "");
	say(out, "fails", text);
}

int explain_map_test(const struct names *n, FILE *out, char error[CONFIG_ERROR_MAX])
{
	const char *file = n->config->map_test;
	FILE *in = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	char line[REMAP_NAME_MAX];
	struct addr peer;

	if (in == NULL) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot read the names in \"%.128s\": %s", file, strerror(errno));
		return EX_NOINPUT;
	}
	/* A client from the range for documentation: its address shows in what \i and \x make. */
	addr_resolve(n->config->family == AF_INET6 ? "2001:db8::1" : "192.0.2.1", NULL, 0, AF_UNSPEC, &peer, 1);
	while (fgets(line, sizeof(line), in) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] != '\0')
			map_one(n, &peer, line, out);
	}
	if (in != stdin)
		fclose(in);
	return EX_OK;
}

/* The whole configuration. */

int explain_check(const struct names *n, const struct lists *l, const struct log *log, const char *user,
    const char *note, FILE *out)
{
	static const char *const links[] = {"inside", "any", "none"};
	const struct config *c = n->config;
	char text[64], trouble[NAMES_TROUBLE_MAX], unlasting[LOGS_TROUBLE_MAX];
	bool well = n->left_out[0] == '\0';

	for (int i = 0; i < n->nroots; i++) {
		if (n->roots[i].below != NULL) {
			say(out, "serves, for each client", n->roots[i].label);
			continue;
		}
		say(out, c->secure ? "serves, as root of all names" : n->roots[i].prefix != NULL ?
		    "serves names that begin with" : "serves", n->roots[i].label);
	}
	if (!well)
		say(out, "but", n->left_out);
	for (int i = 0; i < n->nroots; i++) {
		if (names_trouble(n, i, trouble) == NULL)
			continue;
		say(out, "but", trouble);
		well = false;
	}
	/* It may be rotated in another way, or not at all. */
	if (logs_trouble(log, c, unlasting) != NULL)
		say(out, "note", unlasting);
	say(out, "runs as", user[0] != '\0' ? user : "whoever starts it");
	say(out, "uploads", !config_uploads(c) ? "off" : c->create ? "on, of new files too" :
	    "only over files that exist");
	say(out, "permissions", c->permissive ? "what the user below may" : "files must be o+r, and o+w for uploads");
	say(out, "names", c->tolerant ? "tolerant" : "strict");
	say(out, "symbolic links", links[c->symlinks]);
	if (n->rules != NULL) {
		snprintf(text, sizeof(text), "%zu rules in ", remap_count(n->rules));
		say(out, text, c->map_file);
	}
	for (int i = 0; i < c->nlist_files; i++)
		say(out, i == 0 ? "access lists" : "", c->list_files[i].path);
	if (l->access.n > 0) {
		snprintf(text, sizeof(text), "%zu", l->access.n);
		say(out, "networks in access lists", text);
	}
	for (int i = 0; i < c->naddresses; i++)
		say(out, "listens on", c->addresses[i]);
	if (c->naddresses == 0)
		say(out, "listens on every address, port", c->port != NULL ? c->port : "69");
	if (note[0] != '\0')
		say(out, "note", note);
	say(out, "verdict", well ? "all is well" : "it would start, but see above");
	return well ? EX_OK : EX_CONFIG;
}
