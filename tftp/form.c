/*
 * From words to jobs. The order of the questions is the rule by which the forms are told apart: -c, then -g or -p, then
 * a verb in front, then a verb behind a host, then a URL or a colon; what is left is a host and a port.
 */
#include "form.h"

#include "addr.h"
#include "local.h"
#include "log.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static int complain(char *why, const char *what, const char *word, const char *because)
{
	char safe[128];

	snprintf(why, ARGS_WHY, "%s \"%s\"%s", what, log_safe(safe, sizeof(safe), word, strlen(word)), because);
	return -1;
}

static int say(char *why, const char *what)
{
	snprintf(why, ARGS_WHY, "%s", what);
	return -1;
}

static bool is_remote(const struct args *a, const char *word)
{
	return uri_is_url(word) || (!a->literal && uri_is_short(word));
}

static int read_remote(const struct args *a, struct uri *u, const char *word, bool dir, char *why)
{
	const char *because;
	char after[ARGS_WHY / 2];
	int err;

	memset(u, 0, sizeof(*u));
	if (!is_remote(a, word))
		return complain(why, "cannot use", word, ": it is neither a tftp:// URL nor host:path");
	err = uri_is_url(word) ? uri_parse(u, word, dir, &because) : uri_parse_short(u, word, dir, &because);
	if (err == 0)
		return 0;
	uri_free(u);
	snprintf(after, sizeof(after), ": %s", because);
	return complain(why, "cannot use", word, after);
}

/* What would have no effect is not what was meant. */
static bool has_curl_option(const struct args *a)
{
	return a->upload != NULL || a->output != NULL || a->own_name;
}

static int needs_url(char *why)
{
	return say(why, "-o, -O and -T need a tftp:// URL or host:path");
}

static int out_of_memory(char *why)
{
	return say(why, "out of memory");
}

/* Remotes and locals. */

static int add_get(struct form *f, const struct args *a, const char *word, const char *local, char *why)
{
	struct uri u;
	int err = read_remote(a, &u, word, false, why);

	if (err != 0)
		return err;
	err = jobs_get(&f->jobs, a->options.text, &u, local);
	uri_free(&u);
	return err == 0 ? 0 : out_of_memory(why);
}

/* REMOTE... [LOCAL], or with -o or -O no LOCAL. */
static int get_words(struct form *f, const struct args *a, char **words, int n, char *why)
{
	const char *local = a->own_name ? "." : a->output;
	struct stat st;

	if (local == NULL && n > 1 && !is_remote(a, words[n - 1]))
		local = words[--n];
	if (n == 0)
		return say(why, "get takes tftp://HOST[:PORT]/PATH... [LOCAL|-]");
	if (n > 1 && local != NULL && strcmp(local, "-") != 0 && !(stat(local, &st) == 0 && S_ISDIR(st.st_mode)))
		return complain(why, "several files need a directory, and", local, " is none");
	for (int i = 0; i < n; i++)
		if (add_get(f, a, words[i], local, why) != 0)
			return -1;
	return jobs_check(&f->jobs, why, ARGS_WHY);
}

/* LOCAL... REMOTE */
static int put_words(struct form *f, const struct args *a, char **words, int n, const char *remote, char *why)
{
	struct uri u;
	int err;

	if (n == 0)
		return say(why, "put takes LOCAL|-... tftp://HOST[:PORT]/PATH");
	if (a->output != NULL || a->own_name)
		return say(why, "-o and -O are for a download, and this is an upload");
	for (int i = 0; i < n; i++)
		if (uri_is_url(words[i]))
			return complain(why, "cannot upload", words[i], ": it is not a local file");
	err = read_remote(a, &u, remote, true, why);
	if (err != 0)
		return err;
	for (int i = 0; i < n && err == 0; i++)
		if (strcmp(words[i], "-") == 0 && (n > 1 || *u.path == '\0' || u.path[strlen(u.path) - 1] == '/'))
			err = complain(why, "what comes from standard input needs a name in", remote, "");
		else if (jobs_put(&f->jobs, a->options.text, words[i], &u, n > 1) != 0)
			err = out_of_memory(why);
	uri_free(&u);
	return err == 0 ? jobs_check(&f->jobs, why, ARGS_WHY) : err;
}

/* The forms. */

static int verb_first(struct form *f, const struct args *a, char *why)
{
	char **words = a->words + 1;
	int n = a->nwords - 1;

	if (a->upload != NULL)
		return complain(why, "-T uploads without being told to: leave out", a->words[0], "");
	if (strcmp(a->words[0], "get") == 0)
		return get_words(f, a, words, n, why);
	if (strcmp(a->words[0], "put") == 0)
		return n < 2 ? say(why, "put takes LOCAL|-... tftp://HOST[:PORT]/PATH") :
		    put_words(f, a, words, n - 1, words[n - 1], why);
	f->kind = FORM_DOCTOR;
	if (n < 1 || n > 2)
		return say(why, "doctor takes HOST[:PORT] [FILE]");
	if (has_curl_option(a))
		return needs_url(why);
	f->host = words[0];
	f->file = n > 1 ? words[1] : NULL;
	return 0;
}

/* -g or -p: the names come by option, the words are the server. */
static int busybox(struct form *f, const struct args *a, char *why)
{
	bool write = a->verb == ARGS_PUT;
	const char *remote = a->remote != NULL ? a->remote : a->local, *local = a->local != NULL ? a->local : a->remote;

	if (a->nwords < 1 || a->nwords > 2)
		return a->nwords == 0 ? say(why, "-g and -p take HOST [PORT]") :
		    complain(why, "one word too many behind HOST [PORT]:", a->words[2], "");
	if (remote == NULL)
		return say(why, write ? "-p needs -l FILE" : "-g needs -r FILE");
	if (write && strcmp(remote, "-") == 0)
		return say(why, "-p from standard input needs -r FILE");
	/* Without -l the file goes here, under its own name. */
	if (a->local == NULL)
		local = local_tail(remote);
	if (*local == '\0')
		return complain(why, "there is no file name in", a->local != NULL ? a->local : remote, " (say -l FILE)");
	if (jobs_add(&f->jobs, write, a->options.text, a->words[0], a->nwords > 1 ? a->words[1] : NULL, remote, local) != 0)
		return out_of_memory(why);
	return 0;
}

static bool is_windows(const struct args *a)
{
	return a->nwords >= 3 && (strcasecmp(a->words[1], "get") == 0 || strcasecmp(a->words[1], "put") == 0);
}

/* The part behind the last slash of either kind. */
static const char *windows_tail(const char *path)
{
	const char *tail = local_tail(path), *back = strrchr(tail, '\\');

	return back != NULL ? back + 1 : tail;
}

static int windows(struct form *f, const struct args *a, char *why)
{
	bool write = strcasecmp(a->words[1], "put") == 0;
	const char *src = a->words[2], *dst = a->nwords > 3 ? a->words[3] : windows_tail(src);

	if (a->nwords > 4)
		return complain(why, "one word too many:", a->words[4], " (tftp [-i] HOST get|put SOURCE [DESTINATION])");
	if (*dst == '\0')
		return complain(why, "there is no file name in", src, "");
	if (jobs_add(&f->jobs, write, a->options.text, a->words[0], NULL, write ? dst : src, write ? src : dst) != 0)
		return out_of_memory(why);
	return 0;
}

/* No verb: a remote in front is a get, one at the end is an upload. */
static int no_verb(struct form *f, const struct args *a, char *why)
{
	const char *last = a->words[a->nwords - 1];

	if (a->upload != NULL)
		return a->nwords == 1 ? put_words(f, a, (char **)&a->upload, 1, last, why) :
		    complain(why, "-T takes one URL, and there is also", a->words[0], "");
	if (is_remote(a, a->words[0]))
		return get_words(f, a, a->words, a->nwords, why);
	if (uri_is_url(last))
		return complain(why, "unknown command", a->words[0], "; to upload it, put \"put\" in front (tftp --help)");
	return put_words(f, a, a->words, a->nwords - 1, last, why);
}

static bool has_remote(const struct args *a)
{
	return a->nwords > 0 && (is_remote(a, a->words[0]) || is_remote(a, a->words[a->nwords - 1]));
}

static bool is_verb(const char *word)
{
	return strcmp(word, "get") == 0 || strcmp(word, "put") == 0 || strcmp(word, "doctor") == 0;
}

static bool is_port(const char *word)
{
	struct addr any;

	return addr_resolve(NULL, word, 0, AF_UNSPEC, &any, 1) > 0 && addr_port(&any) != 0;
}

int form_read(struct form *f, const struct args *a, char *why)
{
	*f = (struct form){.kind = FORM_JOBS};
	*why = '\0';
	if (a->verb == ARGS_NONE && (a->remote != NULL || a->local != NULL))
		return say(why, "-r and --local-file need -g or -p");
	if (a->command == NULL && a->verb == ARGS_NONE) {
		if (a->nwords > 0 && is_verb(a->words[0]))
			return verb_first(f, a, why);
		if (!is_windows(a) && has_remote(a))
			return no_verb(f, a, why);
	}
	if (has_curl_option(a))
		return needs_url(why);
	if (a->command == NULL && a->verb != ARGS_NONE)
		return busybox(f, a, why);
	if (a->command == NULL && is_windows(a))
		return windows(f, a, why);
	f->kind = FORM_SHELL;
	if (a->nwords > 2)
		return complain(why, "cannot make sense of", a->words[0], " and what follows (tftp --help)");
	if (a->nwords > 1 && !is_port(a->words[1]))
		return complain(why, "a host is followed by a port, or by get or put and a file, and not by", a->words[1], "");
	f->host = a->nwords > 0 ? a->words[0] : NULL;
	f->port = a->nwords > 1 ? a->words[1] : NULL;
	return 0;
}

void form_free(struct form *f)
{
	jobs_free(&f->jobs);
}
