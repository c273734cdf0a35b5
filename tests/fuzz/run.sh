#!/bin/bash
# tests/fuzz/run.sh BUILD SECONDS [NAME...]: run each harness that libFuzzer was linked to until it has used so much
# processor time itself (a busy machine makes it take longer, not less), one at a time and at the lowest priority. What
# it finds lies in BUILD/found/NAME; new inputs go into BUILD/corpus/NAME, from where `tests/fuzz/run.sh BUILD keep`
# takes a minimal set into BUILD/kept.
set -u
build=$1
seconds=$2
shift 2
cd "$(dirname "$0")/../.." || exit 1
failed=0
TIMEFORMAT=%U
# shellcheck disable=SC2046
[ $# -eq 0 ] && set -- $(ls tests/fuzz/fuzz_*.c | sed 's,.*/fuzz_\(.*\)\.c,\1,')

# The fewest and smallest files that reach what is reached now.
keep() {
	local name=$1
	rm -rf "$build/kept/$name"
	mkdir -p "$build/kept/$name"
	"$build/tests/fuzz_$name" -merge=1 -max_len=512 "$build/kept/$name" "tests/fuzz/corpus/$name" \
	    "$build/corpus/$name" 2>"$build/log.$name" || failed=1
	echo "$name: $(find "$build/kept/$name" -type f | wc -l) files"
}

# stat NAME: the last figure of that name in the log of this round
figure() {
	sed -n "s/^stat::$1: *//p" "$log" | tail -n 1
}

fuzz() {
	local name=$1 log=$build/log.$1 spent=0 inputs=0 edges=0 user left
	while left=$((seconds - spent / 1000)) && [ "$left" -gt 0 ]; do
		user=$({ time nice -n 19 "$build/tests/fuzz_$name" -max_total_time=$left -timeout=20 -max_len=1024 \
		    -print_final_stats=1 -artifact_prefix="$build/found/$name/" "$build/corpus/$name" "tests/fuzz/corpus/$name" \
		    >"$log" 2>&1; } 2>&1)
		inputs=$((inputs + $(figure number_of_executed_units | grep . || echo 0)))
		edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
		spent=$((spent + 10#${user/./}))
		if ! grep -q '^Done ' "$log"; then
			echo "not ok $name after $((spent / 1000)) s, see $log and $build/found/$name"
			grep -E 'does not hold|ERROR: |runtime error' "$log" | head -3 | sed 's/^/    /'
			failed=1
			return
		fi
	done
	echo "ok $name: $inputs inputs in $((spent / 1000)) s of processor time, $edges edges"
}

for name; do
	mkdir -p "$build/corpus/$name" "tests/fuzz/corpus/$name" "$build/found/$name"
	if [ "$seconds" = keep ]; then keep "$name"; else fuzz "$name"; fi
done
exit $failed
