/*
 * What a client may have meant by a name that is not there: changes that are tried where names are tolerant, the one
 * file that has the name in another case, and for the log the file that comes nearest.
 */
#include "names_int.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the client may have meant. */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* A search for a name in whatever case. */
struct search {
	const struct path_root *root;
	struct listings *listings;
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
	DIR *dir = fd < 0 || listings_lack(s->listings, fd, rest, part) ? NULL : fdopendir(fd);
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

/* Each directory is opened with all before it, everybody waits meanwhile, and no name of a boot program is as deep. */
#define CASE_DEPTH 16

static bool too_deep(const char *name)
{
	int depth = 0;

	while (depth <= CASE_DEPTH && (name = strchr(name, '/')) != NULL) {
		name += strspn(name, "/");
		depth++;
	}
	return depth > CASE_DEPTH;
}

/* `budget` is what may still be looked at, for this and what is tried after it. */
static bool any_case(const struct names *n, const struct path_root *root, const char *name, int *budget,
    char out[PATH_NAME_MAX + 1])
{
	struct search s = {.root = root, .listings = n->listings, .budget = *budget};

	name += strspn(name, "/");
	/* With a slash at the end it asks for a directory, which is none of ours to find. */
	if (*name == '\0' || strlen(name) > PATH_NAME_MAX || name[strlen(name) - 1] == '/' || too_deep(name))
		return false;
	search_below(&s, 0, name);
	*budget = s.budget;
	if (s.hits != 1)
		return false;
	strcpy(out, s.hit);
	return true;
}

bool names_any_case(const struct names *n, const struct path_root *root, const char *name, char out[PATH_NAME_MAX + 1])
{
	int budget = LISTING_ENTRIES;

	return any_case(n, root, name, &budget, out);
}

bool names_slashes(char *name)
{
	bool any = strchr(name, '\\') != NULL;

	for (; *name != '\0'; name++)
		if (*name == '\\')
			*name = '/';
	return any;
}

bool names_no_drive(char *name)
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

const struct names_change names_changes[NAMES_CHANGES] = {
	{"slashes", names_slashes}, {"drive", names_no_drive}, {"junk", no_junk},
};

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
	int best = strlen(base) < 5 ? 2 : 3, budget = LISTING_ENTRIES, fd;
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

/* As /var/lib/tftpboot; one more to spare. */
#define ABOVE_MOST 4

bool names_suggest_in(const struct names *n, const struct path_root *root, const char *name,
    char out[PATH_NAME_MAX + 1], const char **why)
{
	char guess[PATH_NAME_MAX + 1];
	int budget = LISTING_ENTRIES, above = ABOVE_MOST;
	bool slash, other;

	if (strlen(name) > PATH_NAME_MAX)
		return false;
	strcpy(guess, name);
	slash = names_slashes(guess);
	other = names_no_drive(guess);
	other |= no_junk(guess);
	*why = slash ? "slash" : other ? "junk in the name" : "case";
	if (any_case(n, root, guess, &budget, out))
		return true;
	/* A server that was there before had the directories above this one. */
	*why = "without its directory";
	for (const char *rest = guess + strspn(guess, "/"); above-- > 0 && (rest = strchr(rest, '/')) != NULL;
	    rest += strspn(rest, "/"))
		if (any_case(n, root, rest, &budget, out))
			return true;
	*why = "similar";
	return nearest(root, guess, out);
}
