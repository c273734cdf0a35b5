/*
 * What the rooms of names share, and nobody else: names.c asks, names_roots.c has the directories, names_guess.c guesses,
 * names_text.c puts words together.
 */
#ifndef NAMES_INT_H
#define NAMES_INT_H

#include "names.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stddef.h>

/* A client's addresses; each is "" where nothing of this server asks for it, or where it is not known. */
struct peer_text {
	char ip[INET6_ADDRSTRLEN];
	char hex[33];
	char mac[18];       /* aa-bb-cc-dd-ee-ff */
	char mac_colon[18];
	bool v6;
};

void names_peer(const struct names *n, const struct addr *peer, struct peer_text *t);

/* What "{name}" stands for in a template. */
struct names_word {
	const char *name, *value;
};

/* Fill in a template that has been checked. 0, -ENOENT where a word has no value, -ENAMETOOLONG. */
int names_fill(const char *text, const struct names_word *words, size_t n, char *out, size_t cap);

/* What is left of the name behind the directory it must begin with, or NULL. */
const char *names_behind_prefix(const struct names_root *r, const char *name);

/* The same for a name that begins with the directory itself, as with servers that take whole paths; or NULL. */
const char *names_behind_itself(const struct names_root *r, const char *name);

/* The directory for this client. `*made` says that it must be closed. 0 or an error of path.h. */
int names_root_for(const struct names_root *r, const struct peer_text *peer, struct path_root *out, bool *made);

/* What a client may have done to a name, to be undone one after the other. Each says whether there was anything. */
#define NAMES_CHANGES 3
struct names_change {
	const char *what;
	bool (*change)(char *name);
};
extern const struct names_change names_changes[NAMES_CHANGES];
bool names_slashes(char *name);
bool names_no_drive(char *name);

/* The one file that has this name in some case. False: none, or more than one. */
bool names_any_case(const struct names *n, const struct path_root *root, const char *name, char out[PATH_NAME_MAX + 1]);

/* names_suggest for one directory. */
bool names_suggest_in(const struct names *n, const struct path_root *root, const char *name,
    char out[PATH_NAME_MAX + 1], const char **why);

#endif
