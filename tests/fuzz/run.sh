#!/bin/sh
# tests/fuzz/run.sh BUILD SECONDS [NAME...]: run each harness that libFuzzer was linked to for so long, one at a time
# and at the lowest priority. What it finds lies in BUILD/found/NAME; new inputs go into BUILD/corpus/NAME, from where
# `tests/fuzz/run.sh BUILD keep` takes a minimal set into the tree.
set -u
build=$1
seconds=$2
shift 2
cd "$(dirname "$0")/../.." || exit 1
failed=0
[ $# -eq 0 ] && set -- $(ls tests/fuzz/fuzz_*.c | sed 's,.*/fuzz_\(.*\)\.c,\1,')
for name; do
	here=$build/corpus/$name tree=tests/fuzz/corpus/$name
	mkdir -p "$here" "$tree" "$build/found/$name"
	if [ "$seconds" = keep ]; then
		# The fewest and smallest files that reach what is reached now.
		mkdir -p "$build/kept/$name"
		rm -f "$build/kept/$name"/*
		"$build/tests/fuzz_$name" -merge=1 -max_len=512 "$build/kept/$name" "$tree" "$here" 2>"$build/log.$name" ||
			failed=1
		echo "$name: $(ls "$build/kept/$name" | wc -l) files"
		continue
	fi
	if nice -n 19 "$build/tests/fuzz_$name" -max_total_time="$seconds" -timeout=10 -max_len=1024 -print_final_stats=1 \
	    -artifact_prefix="$build/found/$name/" "$here" "$tree" >"$build/log.$name" 2>&1; then
		echo "ok $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/log.$name") inputs in $seconds s," \
			"$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$build/log.$name" | tail -n 1) edges"
	else
		echo "not ok $name, see $build/log.$name and $build/found/$name"
		grep -E 'does not hold|ERROR: |runtime error' "$build/log.$name" | head -3 | sed 's/^/    /'
		failed=1
	fi
done
exit $failed
