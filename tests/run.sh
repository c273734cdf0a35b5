#!/bin/sh
# tests/run.sh BUILD TEST...: run each test program, add up what they say, end with "N passed, N failed, N skipped".
#
# A program reports either as Check does ("100%: Checks: 9, Failures: 0, Errors: 0") or with lines that begin with
# "ok ", "not ok " and "skip ". One that ends with a bad status without having reported a failure counts as one
# failure, and so does one that reports nothing at all. Output goes to BUILD/log/NAME; what failed is shown, with the
# lines that begin with "# ", which say what a failed check saw.
#
# Most programs wait for timers most of the time, so JOBS of them (default 3) run at once.
set -u

one() { # BUILD TEST: run it, say how it went, leave its counts in BUILD/log/NAME.counts
	build=$1 test=$2
	name=$(basename "$test")
	log=$build/log/$name
	began=$(date +%s)
	timeout -k 5 1800 "$test" "$build" >"$log" 2>&1 </dev/null
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
	verdict=ok
	[ "$s" -gt 0 ] && verdict="ok, $s skipped"
	[ "$f" -gt 0 ] && verdict="FAILED ($f), exit status $status"
	{
		printf '%-28s %5d passed  %3ds  %s\n' "$name" "$p" $(($(date +%s) - began)) "$verdict"
		if [ "$f" -gt 0 ]; then
			grep -aE '^not ok |^# |:[FE]:|rror: |Sanitizer|SUMMARY' "$log" | head -60 | cut -c 1-500 | sed 's/^/    /'
			tail -n 15 "$log" | cut -c 1-500 | sed 's/^/    | /'
		elif [ "$s" -gt 0 ]; then
			grep '^skip ' "$log" | sort | uniq -c | sort -rn | head -5 | sed 's/^/    /'
		fi
	} >"$log.says"
	echo "$p $f $s" >"$log.counts"
	cat "$log.says" # in one piece: others are talking too
}

if [ "$1" = --one ]; then
	one "$2" "$3"
	exit 0
fi
build=$1
shift
export BUILD="$build"
rm -rf "$build/log"
mkdir -p "$build/log"
printf '%s\n' "$@" | xargs -P "${JOBS:-3}" -n 1 "$0" --one "$build"
cat "$build"/log/*.counts | awk -v tests=$# '
	{ p += $1; f += $2; s += $3 }
	END {
		f += tests - NR # one that left no counts was killed
		printf "%d passed, %d failed, %d skipped\n", p, f, s
		exit f > 0
	}'
