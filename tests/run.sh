#!/bin/sh
# tests/run.sh BUILD TEST...: run each test program, add up what they say, end with "N passed, N failed, N skipped".
#
# A program reports either as Check does ("100%: Checks: 9, Failures: 0, Errors: 0") or with lines that begin with
# "ok ", "not ok " and "skip ". One that ends with a bad status without having reported a failure counts as one
# failure, and so does one that reports nothing at all. Output goes to BUILD/log/NAME; what failed is shown.
set -u
build=$1
shift
export BUILD="$build"
mkdir -p "$build/log"
passed=0 failed=0 skipped=0
for test; do
	name=$(basename "$test")
	log=$build/log/$name
	began=$(date +%s)
	timeout -k 5 600 "$test" "$build" >"$log" 2>&1 </dev/null
	status=$?
	set -- $(awk '
		/^ok / { p++ }
		/^not ok / { f++ }
		/^skip / { s++ }
		/^[0-9]+%: Checks: / {
			gsub(",", "")
			f += $5 + $7
			p += $3 - $5 - $7
		}
		END { print p + 0, f + 0, s + 0 }' "$log")
	p=$1 f=$2 s=$3
	if [ "$f" -eq 0 ] && { [ $status -ne 0 ] || [ $((p + s)) -eq 0 ]; }; then
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	verdict=ok
	[ "$s" -gt 0 ] && verdict="ok, $s skipped"
	[ "$f" -gt 0 ] && verdict="FAILED ($f), exit status $status"
	printf '%-28s %5d passed  %3ds  %s\n' "$name" "$p" $(($(date +%s) - began)) "$verdict"
	if [ "$f" -gt 0 ]; then
		grep -E '^not ok |:[FE]:|rror: |Sanitizer|SUMMARY' "$log" | head -40 | sed 's/^/    /'
		tail -n 15 "$log" | sed 's/^/    | /'
	elif [ "$s" -gt 0 ]; then
		grep '^skip ' "$log" | sort | uniq -c | sort -rn | head -5 | sed 's/^/    /'
	fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
