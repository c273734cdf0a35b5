/*
 * One measurement: start a server, wait until it answers, run a client against it, stop the server, say what both used.
 * Nothing outlives it, whatever happens, and it ends by itself after a time.
 *
 *	run [options] -- server... [-- client...]
 *		-p HOST:PORT	ask there until the server answers	-s cpu, -c cpu	where server and client run
 *		-t seconds	the most all of it may take		-i seconds	no client: watch the idle server instead
 *		-o file		the server's output			-q file		the client's output (default: ours)
 *
 * Prints key=value: status wall, scpu smem (server), ccpu cmem (client), ready_ms. CPU counts every process the server
 * started, also those it does not wait for: by a control group where there is one, else by wait4() (`how`). Memory is
 * the peak of the main process (VmHWM) and of what each of its children has for itself (RssAnon), sampled.
 */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char group[512];  /* the control group's directory, empty: none */
static pid_t server, client;
static double peak_kb;

static bool write_file(const char *dir, const char *name, const char *text)
{
	char path[700];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* The whole of a small file in a buffer that is used again. */
static char *read_small(const char *path)
{
	static char buf[1 << 17];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof(buf) - 1);
	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static char process_state(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	const char *at = strrchr(read_small(path), ')');
	return at != NULL && at[1] == ' ' ? at[2] : 'Z';
}

static double field(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at != NULL ? strtod(at + strlen(key), NULL) : 0;
}

/* A group below our own, in the unified hierarchy, wherever that is mounted. */
static void make_group(void)
{
	char line[1024], mount[256] = "", own[200] = "";
	FILE *f = fopen("/proc/self/mounts", "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		char where[256], type[32];
		if (sscanf(line, "%*s %255s %31s", where, type) == 2 && strcmp(type, "cgroup2") == 0)
			memcpy(mount, where, sizeof(mount));
	}
	if (f != NULL)
		fclose(f);
	f = fopen("/proc/self/cgroup", "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "0::%199s", own);
	if (f != NULL)
		fclose(f);
	if (mount[0] == '\0')
		return;
	snprintf(group, sizeof(group), "%s%s/bench-%d", mount, strcmp(own, "/") == 0 ? "" : own, (int)getpid());
	if (mkdir(group, 0755) < 0)
		group[0] = '\0';
}

static double group_cpu(void)
{
	char path[600];
	if (group[0] == '\0')
		return -1;
	snprintf(path, sizeof(path), "%s/cpu.stat", group);
	return field(read_small(path), "usage_usec ") / 1e6;
}

static double rusage_cpu(const struct rusage *r)
{
	return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) +
	    (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6;
}

/* Every process of the server: itself, and the group or else its direct children. Calls f for each. */
static void each_process(void (*f)(pid_t pid, double *sum), double *sum)
{
	char path[600];
	f(server, sum);
	if (group[0] != '\0')
		snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	else
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)server, (int)server);
	char *list = strdup(read_small(path)), *save = NULL;
	for (char *t = list != NULL ? strtok_r(list, " \n", &save) : NULL; t != NULL; t = strtok_r(NULL, " \n", &save)) {
		if (atoi(t) > 1 && atoi(t) != server)
			f(atoi(t), sum);
	}
	free(list);
}

static void add_memory(pid_t pid, double *sum)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	*sum += field(read_small(path), pid == server ? "VmHWM:" : "RssAnon:");
}

static void add_resident(pid_t pid, double *sum)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	*sum += field(read_small(path), pid == server ? "VmRSS:" : "RssAnon:");
}

static void add_switches(pid_t pid, double *sum)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	const char *text = read_small(path);
	*sum += field(text, "\nvoluntary_ctxt_switches:") + field(text, "nonvoluntary_ctxt_switches:");
}

static void kill_one(pid_t pid, double *sum)
{
	(void)sum;
	kill(pid, SIGKILL);
}

static void sample(void)
{
	double sum = 0;
	each_process(add_memory, &sum);
	if (sum > peak_kb)
		peak_kb = sum;
}

/* Ask for a file that is not there until something answers. Returns ms since `began`, or -1. */
static double wait_ready(const char *at, int64_t began, int64_t limit)
{
	static const char request[] = "\0\1ready-or-not\0octet";
	struct where w;
	int on = 1;
	uint8_t buf[600];
	parse_where(&w, at);
	int fd = socket(w.sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	double ms = -1;
	while (ms < 0 && now_ns() < limit && waitpid(server, NULL, WNOHANG) == 0) {
		if (sendto(fd, request, sizeof(request), 0, (struct sockaddr *)&w.sa, w.len) < 0) {
			recv(fd, buf, sizeof(buf), MSG_ERRQUEUE | MSG_DONTWAIT);
			usleep(100);
			continue;
		}
		for (int64_t until = now_ns() + 20 * NS_MS; ms < 0 && now_ns() < until;) {
			struct pollfd p = {.fd = fd, .events = POLLIN};
			poll(&p, 1, 20);
			if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 4)
				ms = (double)(now_ns() - began) / 1e6;
			else if ((p.revents & POLLERR) != 0)
				break;
		}
		recv(fd, buf, sizeof(buf), MSG_ERRQUEUE | MSG_DONTWAIT);
		usleep(ms < 0 ? 100 : 0);
	}
	close(fd);
	return ms;
}

static pid_t start(char **argv, int cpu, const char *output, bool errors_too, bool grouped)
{
	int gone[2];
	char byte;
	if (pipe2(gone, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	pid_t parent = getpid(), pid = fork();
	if (pid != 0) {
		/* Until it has become the program: joining a group alone takes milliseconds. */
		close(gone[1]);
		while (read(gone[0], &byte, 1) < 0 && errno == EINTR)
			;
		close(gone[0]);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(2);
	setpgid(0, 0);
	if (grouped && group[0] != '\0')
		write_file(group, "cgroup.procs", "0");
	pin(cpu);
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	if (output != NULL) {
		int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0644);
		dup2(fd, 1);
		if (errors_too)
			dup2(fd, 2);
	}
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int main(int argc, char **argv)
{
	int opt, scpu = -1, ccpu = -1;
	double limit_s = 60, idle_s = 0, ready = -1;
	const char *script = getenv("BENCH_PID"); /* when that is gone, nobody wants the result */
	const char *probe = NULL, *sout = "/dev/null", *cout = NULL;
	while ((opt = getopt(argc, argv, "+p:s:c:t:i:o:q:")) != -1) {
		switch (opt) {
		case 'p': probe = optarg; break;
		case 's': scpu = atoi(optarg); break;
		case 'c': ccpu = atoi(optarg); break;
		case 't': limit_s = atof(optarg); break;
		case 'i': idle_s = atof(optarg); break;
		case 'o': sout = optarg; break;
		case 'q': cout = optarg; break;
		default: return 2;
		}
	}
	char **sargv = argv + optind, **cargv = sargv;
	while (*cargv != NULL && strcmp(*cargv, "--") != 0)
		cargv++;
	if (*cargv != NULL)
		*cargv++ = NULL;
	if (*sargv == NULL || (*cargv == NULL && idle_s <= 0))
		die("usage: run [options] -- server... [-- client...]");
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1UL);
	many_files();
	make_group();
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	int64_t began = now_ns(), limit = began + (int64_t)(limit_s * 1e9);
	server = start(sargv, scpu, sout, true, true);
	began = now_ns();
	if (probe != NULL && (ready = wait_ready(probe, began, limit)) < 0)
		fprintf(stderr, "%s does not answer\n", sargv[0]);
	sample();
	double cpu_before = group_cpu(), rss = 0, wakeups = 0, wall = 0;
	int status = -1;
	struct rusage cru = {0}, sru = {0}, other;
	const char *end = "ok";
	if (probe != NULL && ready < 0) {
		end = "dead";
	} else if (idle_s > 0) {
		double before = 0;
		usleep(300000);
		cpu_before = group_cpu();
		each_process(add_switches, &before);
		usleep((useconds_t)(idle_s * 1e6));
		each_process(add_switches, &wakeups);
		wakeups -= before;
		each_process(add_resident, &rss);
	} else {
		/* Signals are taken in sigtimedwait from here on; the client starts with a clean mask. */
		client = start(cargv, ccpu, cout, false, false);
		int64_t went = now_ns();
		sigprocmask(SIG_BLOCK, &set, NULL);
		int64_t pause = 20 * NS_MS;
		for (bool done = false; !done;) {
			struct timespec ts = {pause / NS_SEC, pause % NS_SEC};
			int sig = sigtimedwait(&set, NULL, &ts);
			if (wait4(client, &status, WNOHANG, &cru) == client) {
				wall = (double)(now_ns() - went) / 1e9;
				done = true;
			} else if ((sig > 0 && sig != SIGCHLD) || now_ns() > limit || process_state(server) == 'Z' ||
			    (script != NULL && kill(atoi(script), 0) < 0)) {
				end = process_state(server) == 'Z' ? "died" : "time";
				kill(client, SIGTERM); /* a link still says what it carried */
				for (int i = 0; i < 100 && process_state(client) != 'Z'; i++)
					usleep(5000);
				kill(-client, SIGKILL);
				wait4(client, &status, 0, &cru);
				wall = (double)(now_ns() - went) / 1e9;
				done = true;
			} else {
				int64_t t = now_ns();
				sample();
				pause = 20 * (now_ns() - t);
				pause = pause < 50 * NS_MS ? 50 * NS_MS : pause;
			}
		}
		if (end[0] == 'o' && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
			end = "bad";
	}
	sample();
	double used = group_cpu() - cpu_before;
	kill(server, SIGTERM);
	bool gone = false;
	for (int64_t until = now_ns() + 2 * NS_SEC; !gone && now_ns() < until;) {
		gone = wait4(server, NULL, WNOHANG, &sru) == server;
		if (!gone)
			usleep(2000);
	}
	/* Whatever is left, its orphans included. */
	if (group[0] != '\0')
		write_file(group, "cgroup.kill", "1");
	each_process(kill_one, &used);
	if (!gone)
		wait4(server, NULL, 0, &sru);
	kill(-server, SIGKILL);
	double orphans = 0;
	while (wait4(-1, NULL, 0, &other) > 0)
		orphans += rusage_cpu(&other);
	if (group[0] == '\0')
		used = rusage_cpu(&sru) + orphans;
	printf("status=%s wall=%.4f scpu=%.4f smem=%.0f ccpu=%.4f cmem=%ld ready_ms=%.2f how=%s", end, wall, used, peak_kb,
	    rusage_cpu(&cru), cru.ru_maxrss, ready, group[0] != '\0' ? "group" : "wait");
	if (idle_s > 0)
		printf(" wakeups=%.0f rss=%.0f", wakeups, rss);
	printf("\n");
	for (int i = 0; group[0] != '\0' && rmdir(group) < 0 && i < 200; i++)
		usleep(5000);
	return end[0] != 'o';
}
