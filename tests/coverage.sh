#!/bin/bash
# tests/coverage.sh BUILD: the figures of a run of all tests on programs built with --coverage (make coverage).
# Lines and branches for each file and each room, from gcov's own summary; what should be in coverage.known, or no longer;
# and whether the targets are met. tests/coverage.sh BUILD common/loop.c: the lines of that file that no test reached.
# Branches are those of the source that were taken at least once.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1
export LC_ALL=C
failed=0
if [ $# -gt 1 ]; then
	shift
	for file; do
		gcov -t -b -o "$build/obj/$(dirname "$file")" "$file" 2>/dev/null |
			awk -v f="$file" '/^ *#####:/ { sub(/^ *#####: */, ""); print f ":" $0 }'
	done
	exit 0
fi
{ for room in common tftpd tftp; do
	for file in "$room"/*.c; do
		gcov -n -b -o "$build/obj/$room" "$file" 2>/dev/null | awk -v f="$file" '
			/^File / { here = $0 ~ "\047" f "\047" }
			here && /^Lines executed:/ { split($0, a, /[:%]| of /); lines = a[2] "\t" a[4] }
			here && /^Taken at least once:/ { split($0, a, /[:%]| of /); branches = a[2] "\t" a[4] }
			END { print f "\t" (lines ? lines : "0\t0") "\t" (branches ? branches : "0\t0") }'
	done
done; } | awk -F '\t' '
	function show(name, l, nl, b, nb) {
		printf "%-28s %7.1f%% of %5d lines  %7.1f%% of %5d branches\n", name, l, nl, b, nb
	}
	{
		split($1, part, "/")
		room = part[1]
		if (last != "" && room != last) total(last)
		last = room
		show($1, $2, $3, $4, $5)
		l[room] += $2 * $3 / 100; nl[room] += $3; b[room] += $4 * $5 / 100; nb[room] += $5
	}
	function total(r) {
		show(r "/", nl[r] ? 100 * l[r] / nl[r] : 0, nl[r], nb[r] ? 100 * b[r] / nb[r] : 0, nb[r])
		print ""
	}
	END { total(last) }' | tee "$build/coverage"

# FILE FUNCTION: as often as one of its lines was not reached.
unreached() {
	for file in common/*.c tftpd/*.c tftp/*.c; do
		gcov -t -b -o "$build/obj/$(dirname "$file")" "$file" 2>/dev/null | awk -v f="$file" '
			/^ *-: *0:Source:/ { sub(/.*Source:/, ""); here = $0 == f }
			/^function / { name = $2 }
			here && /^ *#####:/ { print f, name }'
	done | sort | uniq -c
}
unreached | awk '
	FILENAME == ARGV[1] {
		if (/^#/ || NF == 0) next
		sub(/:/, "", $1)
		for (i = 2; i <= NF; i++) known[$1 " " $i] = 1
		next
	}
	($2 " *") in known { used[$2 " *"] = 1; next }
	($2 " " $3) in known { if ($1 > 2) used[$2 " " $3] = 1; next }
	$1 > 2 { print "not ok coverage.known does not have " $2 ": " $3 ", " $1 " lines"; bad = 1 }
	END {
		for (k in known) if (!(k in used)) print "# coverage.known need not have " k
		exit bad
	}' tests/coverage.known - || failed=1
awk '
	function target(room, lines, branches) {
		ok = $2 + 0 >= lines && $6 + 0 >= branches
		printf "%s %s: %s of lines (%d%% wanted)%s\n", ok ? "ok" : "not ok", room, $2, lines,
			branches ? ", " $6 " of branches (" branches "% wanted)" : ""
		bad = bad || !ok
	}
	$1 == "common/" { target($1, 95, 85) }
	$1 == "tftpd/" || $1 == "tftp/" { target($1, 90, 0) }
	END { exit bad }' "$build/coverage" || failed=1
exit $failed
