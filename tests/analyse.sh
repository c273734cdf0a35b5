#!/bin/bash
# tests/analyse.sh [FILE.c...]: gcc -fanalyzer, clang-tidy (.clang-tidy) and cppcheck over the programs. What is known
# to be wrong stands in tests/analyse.known with its reason; anything else fails. Prints ok, not ok and skip lines.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
flags="-std=gnu11 -D_GNU_SOURCE -Icommon -Itftpd -Itftp"
known=tests/analyse.known
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
if [ $# -gt 0 ]; then files=("$@"); else files=(common/*.c tftpd/*.c tftp/*.c); fi

# verdict TOOL: its findings are on standard input as "file:line: message". It stands at the end of a pipe, where what it
# sets is lost: $tmp/failed tells of findings.
verdict() {
	awk -v used="$tmp/used" '
		FILENAME == ARGV[1] { if ($0 !~ /^#/ && $0 != "") known[++n] = $0; next }
		{
			for (i = 1; i <= n; i++) {
				colon = index(known[i], ": ")
				file = substr(known[i], 1, colon - 1)
				if (index($0, file ":") == 1 && index($0, substr(known[i], colon + 2))) {
					print known[i] >>used
					next
				}
			}
			print
		}' "$known" - | sort -u >"$tmp/left"
	if [ -s "$tmp/left" ]; then
		echo "not ok $1"
		sed 's/^/    /' "$tmp/left"
		: >"$tmp/failed"
	else
		echo "ok $1"
	fi
}

have() {
	command -v "$1" >/dev/null && return
	echo "skip $1 is not installed"
	return 1
}

: >"$tmp/used"
if have gcc; then
	for file in "${files[@]}"; do
		# shellcheck disable=SC2086 # a list of words
		nice -n 19 gcc $flags -O2 -fanalyzer -c -o /dev/null "$file" 2>&1
	done | sed -n 's/^\([^:]*:[0-9]*\):[0-9]*: warning: /\1: /p' | verdict "gcc -fanalyzer"
fi
if have clang-tidy; then
	for file in "${files[@]}"; do
		# shellcheck disable=SC2086
		nice -n 19 clang-tidy --quiet "$file" -- $flags 2>/dev/null
	done | sed -n "s,^$PWD/,,; s/^\([^:]*:[0-9]*\):[0-9]*: \(warning\|error\): /\1: /p" | verdict clang-tidy
fi
if have cppcheck; then
	# shellcheck disable=SC2086
	nice -n 19 cppcheck --quiet --std=c11 --enable=warning,performance,portability --suppress=missingIncludeSystem \
	    -D_GNU_SOURCE -Icommon -Itftpd -Itftp --template='{file}:{line}: {id}: {message}' "${files[@]}" 2>&1 |
		grep -v '^nofile' | verdict cppcheck
fi
if [ $# -eq 0 ]; then
	grep -vE '^(#|$)' "$known" | while read -r entry; do
		grep -qxF "$entry" "$tmp/used" || echo "# no longer said: $entry"
	done
fi
[ ! -e "$tmp/failed" ]
