/*
 * The main() of a harness without a fuzzer: runs it over the files of its corpus, and over each beginning of each file,
 * in a process of its own per file. With arguments that are files it runs those alone, in this process: so a finding is
 * repeated, and so AFL++ calls it (afl-fuzz ... -- build/tests/fuzz_packet @@).
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT_MAX (1 << 20)
#define BEGINNINGS 256 /* of a file that is longer, only so many */

/* What a harness does once, where it has something to do; libFuzzer calls it too. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint8_t input[INPUT_MAX];

static size_t load(const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t len;

	if (f == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	len = fread(input, 1, sizeof(input), f);
	fclose(f);
	return len;
}

/* A copy whose end is the end of its memory. */
static void run(size_t len)
{
	uint8_t *copy = fuzz_copy(input, len);

	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static int run_file(const char *path)
{
	size_t len = load(path);

	run(len);
	for (size_t n = 0; n < len && n < BEGINNINGS; n++)
		run(n);
	return 0;
}

/* In a child, so that one finding does not hide the others. Its words stay in the log. */
static int run_apart(const char *path)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		alarm(300);
		_exit(run_file(path));
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status))
		printf("%s: %s\n", path, strsignal(WTERMSIG(status)));
	return status != 0;
}

static int run_corpus(const char *name)
{
	char dir[PATH_MAX / 2], path[PATH_MAX];
	unsigned files = 0, bad = 0;
	struct dirent *entry;
	DIR *d;

	snprintf(dir, sizeof(dir), "tests/fuzz/corpus/%s", name);
	d = opendir(dir);
	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		files++;
		if (run_apart(path) == 0)
			continue;
		printf("not ok %s with %s\n", name, path);
		bad++;
	}
	if (d != NULL)
		closedir(d);
	if (files == 0)
		printf("not ok %s: there is no corpus in %s\n", name, dir);
	else if (bad == 0)
		printf("ok %s with the %u files of its corpus\n", name, files);
	return files == 0 || bad > 0;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	struct stat st;

	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc > 1 && stat(argv[1], &st) == 0 && S_ISREG(st.st_mode)) {
		for (int i = 1; i < argc; i++)
			run_file(argv[i]);
		return 0;
	}
	name = name != NULL ? name + 1 : argv[0];
	return run_corpus(strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name);
}
