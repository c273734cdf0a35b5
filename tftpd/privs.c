/* Privileges: looked up early, dropped late, verified. */
#include "privs.h"

#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

static int found(struct privs *p, const struct passwd *pw)
{
	p->uid = pw->pw_uid;
	p->gid = pw->pw_gid;
	p->ngroups = PRIVS_GROUPS;
	snprintf(p->user, sizeof(p->user), "%s", pw->pw_name);
	if (getgrouplist(pw->pw_name, pw->pw_gid, p->groups, &p->ngroups) < 0)
		p->ngroups = PRIVS_GROUPS;
	p->change = true;
	return 0;
}

/* As root, without being told: tftp-hpa's default with its flags; else a user of our own, or the one that all have. */
static const struct passwd *default_user(const struct config *c, const char **name)
{
	const struct passwd *pw = NULL;

	*name = "tftp";
	if (!c->hpa)
		pw = getpwnam(*name);
	if (pw == NULL) {
		*name = "nobody";
		pw = getpwnam(*name);
	}
	return pw;
}

int privs_find(struct privs *p, const struct config *c, char error[CONFIG_ERROR_MAX])
{
	const char *user = c->user;
	const struct passwd *pw;

	memset(p, 0, sizeof(*p));
	/* Who is not root stays who he is, unless somebody else was asked for. */
	if (geteuid() != 0 && c->user == NULL)
		return 0;
	pw = c->user != NULL ? getpwnam(user) : default_user(c, &user);
	/* A container's image may hold no users at all. */
	if (pw == NULL && c->user == NULL && !c->hpa)
		return 0;
	if (pw == NULL) {
		snprintf(error, CONFIG_ERROR_MAX, "there is no user \"%.64s\" (--user)", user);
		return EX_NOUSER;
	}
	p->makeshift = c->user == NULL && !c->hpa && strcmp(user, "tftp") != 0;
	if (geteuid() == 0)
		return found(p, pw);
	if (pw->pw_uid == geteuid())
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "only root can become \"%.64s\" (--user)", user);
	return EX_OSERR;
}

/* EPERM is what a container without CAP_SETGID says, and a user namespace made without rights (unshare -r). */
static int failed(const char *what, const struct privs *p, char error[CONFIG_ERROR_MAX])
{
	if (errno == EINVAL)
		snprintf(error, CONFIG_ERROR_MAX, "cannot become user \"%.64s\", whom this user namespace does not have "
		    "(/proc/self/uid_map); --user root stays who is root here", p->user);
	else
		snprintf(error, CONFIG_ERROR_MAX, "cannot become user \"%.64s\": %s: %s%s", p->user, what, strerror(errno),
		    errno == EPERM ? " (no such right in this container or user namespace; --user root stays who is root here)" : "");
	return EX_OSERR;
}

/*
 * Who stays who he is may have to keep his groups: a user namespace that somebody without rights made never lets go of
 * them (/proc/self/setgroups), and they are no more than what started us had.
 */
static int drop_groups(const struct privs *p, char error[CONFIG_ERROR_MAX])
{
	if (setgroups((size_t)p->ngroups, p->groups) == 0)
		return 0;
	if (errno == EPERM && p->uid == geteuid() && p->gid == getegid())
		return 0;
	return failed("setgroups", p, error);
}

/* Root's rights must be out of reach now, whatever this kernel or container makes of the calls above. */
static bool regained(const struct privs *p)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) != 0 || getresgid(&rg, &eg, &sg) != 0)
		return true;
	if (r != p->uid || e != p->uid || s != p->uid || rg != p->gid || eg != p->gid || sg != p->gid)
		return true;
	return p->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0 || chroot(".") == 0);
}

int privs_drop(const struct privs *p, int root, bool low_ports, int *jailed, char error[CONFIG_ERROR_MAX])
{
	int status;

	*jailed = 0;
	if (root >= 0 && geteuid() == 0)
		*jailed = fchdir(root) == 0 && chroot(".") == 0 ? 1 : -errno;
	if (!p->change)
		return 0;
	status = drop_groups(p, error);
	if (status != 0)
		return status;
	if (setresgid(p->gid, p->gid, p->gid) != 0)
		return failed("setgid", p, error);
	if (low_ports && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
		return failed("PR_SET_KEEPCAPS", p, error);
	if (setresuid(p->uid, p->uid, p->uid) != 0)
		return failed("setuid", p, error);
	if (low_ports && (errno = -sandbox_drop_capabilities(SANDBOX_KEEP_PORTS)) != 0)
		return failed("capset", p, error);
	if (!regained(p))
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "cannot give up root's rights for good");
	return EX_OSERR;
}

bool privs_lose(const struct privs *p)
{
	return p->change && p->uid != 0;
}
