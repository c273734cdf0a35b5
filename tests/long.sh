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

# step NAME COMMAND...
step() {
	name=$1
	shift
	if nice -n 19 "$@" >"$build/log/$name" 2>&1; then
		echo "ok $name"
		passed=$((passed + 1))
	else
		echo "not ok $name, see $build/log/$name"
		tail -n 5 "$build/log/$name" | sed 's/^/    /'
		failed=$((failed + 1))
	fi
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
memcheck="valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite"
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
	# Valgrind's own calls are not on the sandbox's list.
	case $program in
	tftpd) fenceless=' --without seccomp --without landlock' ;;
	*) fenceless= ;;
	esac
	printf '#!/bin/sh\nexec %s --log-file=%s/memcheck/log/%s.%%p %s/%s "$@"\n' "$memcheck" "$PWD/$build" $program \
	    "$PWD/$build" "$program$fenceless" >"$build/memcheck/$program"
	chmod +x "$build/memcheck/$program"
done
rm -f "$build"/memcheck/log/*
# Those that do not go by the clock, or only by one that a slow program does not mind.
step memcheck-e2e_own tests/e2e/e2e_own.sh "$build/memcheck"
step memcheck-e2e_failures tests/e2e/e2e_failures.sh "$build/memcheck"
for test; do
	case $test in
	*/wire_get | */wire_put | */wire_names | */wire_options | */wire_malformed | */wire_rules)
		# A wrap is sixty thousand blocks.
		CK_TIMEOUT_MULTIPLIER=10 BUILD=$build/memcheck step "memcheck-$(basename "$test")" "$test"
		;;
	esac
done
complaints=$(cat "$build"/memcheck/log/* 2>/dev/null | grep -c '==')
if [ "$complaints" -eq 0 ]; then
	echo "ok memcheck has nothing to say of tftpd and tftp"
	passed=$((passed + 1))
else
	echo "not ok memcheck says $complaints lines, see $build/memcheck/log"
	failed=$((failed + 1))
fi
finish 0
