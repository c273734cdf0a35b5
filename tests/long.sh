#!/bin/sh
# tests/long.sh BUILD TEST...: what make check-long adds to make check. SIM_RUNS= sets the seeds of each simulator
# program (default 10000); valgrind's memcheck goes over the unit tests and over the wire tests' server, unless
# MEMCHECK=no.
set -u
build=$1
shift
cd "$(dirname "$0")/.." || exit 1
export BUILD="$build"
passed=0 failed=0
mkdir -p "$build/log"

complain() {
	echo "not ok $1, see $build/log/$1"
	tail -n 5 "$build/log/$1" | sed 's/^/    /'
	failed=$((failed + 1))
}

# step NAME COMMAND...: two hours end a hang
step() {
	name=$1
	shift
	if nice -n 19 timeout 7200 "$@" >"$build/log/$name" 2>&1; then
		echo "ok $name"
		passed=$((passed + 1))
	else
		complain "$name"
	fi
}

# checked NAME COMMAND...: a step with both programs under memcheck, which has nothing to say of them
checked() {
	rm -f "$build"/memcheck/log/*
	step "$@"
	cat "$build"/memcheck/log/* 2>/dev/null | grep '==' >"$build/log/$1-says" && complain "$1-says"
}

# finish SKIPPED: what it came to
finish() {
	echo "$passed passed, $failed failed, $1 skipped"
	[ $failed -eq 0 ]
	exit
}

for test; do
	case $test in
	*/sim_*) SIM_RUNS=${SIM_RUNS:-10000} step "long-$(basename "$test")" "$test" ;;
	esac
done
FAULTS=all step long-faults tests/e2e/e2e_faults.sh "$build"
[ "${MEMCHECK:-yes}" = no ] && finish 0
if grep -q __asan_init "$build/tftpd" || ! command -v valgrind >/dev/null; then
	echo "skip memcheck: valgrind is not installed, or this is a sanitizer's build"
	finish 1
fi
# --leak-check=full counts what is lost; what a program still holds when it ends is its own affair.
memcheck="valgrind -q --vgdb=no --error-exitcode=99 --leak-check=full"
memcheck="$memcheck --errors-for-leak-kinds=definite --show-leak-kinds=definite"
for test; do
	case $test in
	# By the clock, or with a malloc of their own; and a race of two threads, which valgrind runs in turn.
	*/test_faults* | */test_progress | */test_loop | */test_udp | */test_path) ;;
	*/test_*) CK_DEFAULT_TIMEOUT=0 CK_FORK=no step "memcheck-$(basename "$test")" $memcheck "$test" ;;
	esac
done
# The programs themselves, each under memcheck, by a script that finds them where the build would have put them.
mkdir -p "$build/memcheck/log"
chmod 777 "$build/memcheck/log" # servers that change their user have a log as well
for program in tftpd tftp; do
	# Valgrind's own calls are not on the sandbox's list, and openat2 is not on valgrind's.
	case $program in
	tftpd) fenceless=' --without seccomp --without landlock --without openat2' ;;
	*) fenceless= ;;
	esac
	printf '#!/bin/sh\nexec %s --log-file=%s/memcheck/log/%s.%%p %s/%s "$@"\n' "$memcheck" "$PWD/$build" $program \
	    "$PWD/$build" "$program$fenceless" >"$build/memcheck/$program"
	chmod +x "$build/memcheck/$program"
done
# Each program starts in a second or two, and goes at a fiftieth of its pace.
export CK_TIMEOUT_MULTIPLIER=30
for name in own failures uploads access files; do
	checked "memcheck-e2e_$name" "tests/e2e/e2e_$name.sh" "$build/memcheck"
done
for test; do
	case $test in
	*/wire_get | */wire_put | */wire_names | */wire_options | */wire_malformed | */wire_rules)
		BUILD=$build/memcheck checked "memcheck-$(basename "$test")" "$test"
		;;
	esac
done
finish 0
