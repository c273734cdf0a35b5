#!/bin/bash
# tests/coverage.sh BUILD: the figures of a run of all tests on programs built with --coverage (make coverage).
# Lines and branches for each file and each room, from gcov's own summary; then the lines that no test reached, if a
# file is named: tests/coverage.sh BUILD common/loop.c. Branches are those of the source that were taken at least once.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1
export LC_ALL=C
if [ $# -gt 1 ]; then
	shift
	for file; do
		gcov -t -b -o "$build/obj/$(dirname "$file")" "$file" 2>/dev/null |
			awk -v f="$file" '/^ *#####:/ { sub(/^ *#####: */, ""); print f ":" $0 }'
	done
	exit 0
fi
for room in common tftpd tftp; do
	for file in "$room"/*.c; do
		gcov -n -b -o "$build/obj/$room" "$file" 2>/dev/null | awk -v f="$file" '
			/^File / { here = $0 ~ "\047" f "\047" }
			here && /^Lines executed:/ { split($0, a, /[:%]| of /); lines = a[2] "\t" a[4] }
			here && /^Taken at least once:/ { split($0, a, /[:%]| of /); branches = a[2] "\t" a[4] }
			END { print f "\t" (lines ? lines : "0\t0") "\t" (branches ? branches : "0\t0") }'
	done
done | awk -F '\t' '
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
	END { total(last) }'
