#!/bin/sh
# tests/lint.sh BUILD: what the compiler does not check. Prints "ok " and "not ok " lines.
#
# The pure modules (PURE) call nothing but memory and string functions and each other; includes only go down the
# floors; structs are not hidden behind typedefs; the programs link the C library alone. Each check is first shown a
# small case that it has to refuse.
set -u
build=${1:-build}
pure=${PURE:-packet options retransmit netascii transfer transfer_send transfer_recv}
export LC_ALL=C
failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

# verdict NAME COMPLAINTS: ok when there are none.
verdict() {
	if [ -z "$2" ]; then
		echo "ok $1"
	else
		echo "not ok $1"
		echo "$2" | sed 's/^/    /'
		failed=1
	fi
}

# refuses NAME COMPLAINTS: ok when there are some.
refuses() {
	if [ -n "$2" ]; then
		echo "ok lint refuses $1"
	else
		echo "not ok lint refuses $1"
		failed=1
	fi
}

# What a pure object may need from outside: memory and strings, and what compilers put in by themselves.
libc='mem[a-z]*|st[rp][a-z]*|reg(comp|exec|free|error)|bcmp|snprintf|malloc|calloc|free|__isoc23_strto[a-z]*|__[a-z]*_chk'
runtime='__stack_chk_fail|__stack_chk_guard|_GLOBAL_OFFSET_TABLE_'
sanitizer='__(asan|ubsan|sanitizer)_[a-z0-9_]*'

# impure DIR MODULE...: what the objects call that is neither allowed nor defined by one of them.
impure() {
	dir=$1
	shift
	for module; do
		if [ ! -e "$dir/$module.o" ]; then
			echo "$dir/$module.o does not exist"
			continue
		fi
		nm -g --defined-only "$dir/$module.o" | awk '{ print $NF }' >>"$tmp/defined"
		nm -u "$dir/$module.o" | awk -v m="$module" '{ print m, $NF }' >>"$tmp/needed"
	done
	[ -e "$tmp/needed" ] && awk -v ok="^($libc|$runtime|$sanitizer)\$" '
		FILENAME == ARGV[1] { defined[$1] = 1; next }
		!($2 in defined) && $2 !~ ok { print $1 ".o calls " $2 }' "$tmp/defined" "$tmp/needed"
	rm -f "$tmp/defined" "$tmp/needed"
}

# The floors: each module and what it may include. A module that is not here has no floor yet: give it one.
floors='
monotime:
packet:
netascii:
store:
addr:
log:
retransmit: monotime
options: packet
transfer: transfer_int options packet retransmit store monotime
transfer_int: transfer options packet retransmit store monotime
transfer_send: transfer transfer_int options packet retransmit store monotime
transfer_recv: transfer transfer_int options packet retransmit store monotime
prefetch:
loop: monotime prefetch
udp: addr
endpoint: transfer packet udp loop addr store monotime prefetch
store_temp:
store_commit: store behind store_temp
store_file: store store_commit store_temp netascii ahead behind
ahead:
behind:
worker: loop monotime
'

# includes FILE...: "file header" for every #include "header".
includes() {
	awk '/^[ \t]*#[ \t]*include[ \t]*"/ { split($0, part, "\""); print FILENAME, part[2] }' "$@"
}

# climbing ROOT: includes that break the arrows, in the tree under ROOT.
climbing() {
	(
		cd "$1" || exit
		includes common/*.[ch] | while read -r file header; do
			module=$(basename "$file" | sed 's/\.[ch]$//')
			line=$(echo "$floors" | grep "^$module:")
			if [ -z "$line" ]; then
				echo "$file: no floor is known for it"
				continue
			fi
			case " $module ${line#*:} " in
			*" ${header%.h} "*) ;;
			*) echo "$file includes $header" ;;
			esac
		done
		for program in tftpd tftp; do
			ls $program/*.[ch] >/dev/null 2>&1 || continue
			includes $program/*.[ch] | while read -r file header; do
				case "$header" in
				*/*) echo "$file includes $header" ;;
				transfer_int.h) echo "$file includes $header, which is for the transfer files alone" ;;
				*)
					[ -e "$program/$header" ] || [ -e "common/$header" ] ||
						echo "$file includes $header"
					;;
				esac
			done
		done
	)
}

# typedefs FILE...: struct, union and enum typedefs.
typedefs() {
	grep -nHE '^[[:space:]]*typedef[[:space:]]+(struct|union|enum)\>' "$@"
}

# linked PROGRAM...: shared libraries beyond the C library (and a sanitizer's own, in a sanitizer build).
linked() {
	for program; do
		if [ ! -e "$program" ]; then
			echo "$program does not exist"
			continue
		fi
		allowed='libc\.so.*|libc\.musl-.*|ld-.*\.so.*'
		nm "$program" 2>/dev/null | grep -qE '__(asan|ubsan|tsan)_' &&
			allowed="$allowed|lib(asan|ubsan|tsan|m|dl|rt|pthread|resolv|gcc_s|stdc\+\+)\\.so.*"
		readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE "^($allowed)\$" |
			sed "s|^|$program links |"
	done
}

# ---- shown to fail --------------------------------------------------------------------------------------------------

mkdir -p "$tmp/obj" "$tmp/common" "$tmp/tftpd" "$tmp/tftp"
cat >"$tmp/clock.c" <<'END'
#include <time.h>
long clock_user(void);
long clock_user(void) { return (long)time(NULL); }
END
${CC:-cc} -c -o "$tmp/obj/clock.o" "$tmp/clock.c"
refuses "a pure object that asks the clock" "$(impure "$tmp/obj" clock | grep 'calls time')"
refuses "a pure object that is missing" "$(impure "$tmp/obj" nothing)"

echo '#include "transfer.h"' >"$tmp/common/packet.c"
refuses "an include that climbs" "$(climbing "$tmp")"
echo '#include <string.h>' >"$tmp/common/packet.c"
echo '#include "packet.h"' >"$tmp/common/attic.c"
refuses "a module without a floor" "$(climbing "$tmp")"
rm "$tmp/common/attic.c"
: >"$tmp/tftp/client.h"
echo '#include "client.h"' >"$tmp/tftpd/main.c"
refuses "a server that includes the client" "$(climbing "$tmp")"

echo 'typedef struct packet packet_t;' >"$tmp/typedef.h"
refuses "a typedef of a struct" "$(typedefs "$tmp/typedef.h")"

echo 'int puts(const char *); int main(void) { return puts(""); }' >"$tmp/libs.c"
if ${CC:-cc} -Wl,--no-as-needed -o "$tmp/libs" "$tmp/libs.c" -lm 2>/dev/null &&
	readelf -d "$tmp/libs" | grep -q 'NEEDED.*libm'; then
	refuses "a program that links a library" "$(linked "$tmp/libs")"
else
	echo "skip lint refuses a program that links a library: this C library has no other to link"
fi

# ---- the real thing -------------------------------------------------------------------------------------------------

for module in $pure; do
	# shellcheck disable=SC2086 # a list of words
	verdict "$module is pure" "$(impure "$build/obj/common" $pure | grep -E "(^|/)$module\.o ")"
done
verdict "remap is pure" "$(impure "$build/obj/tftpd" remap regex_cost)"
verdict "includes only go down the floors" "$(climbing .)"
verdict "no struct hides behind a typedef" "$(typedefs common/*.[ch] tftpd/*.[ch] tftp/*.[ch] 2>/dev/null)"
verdict "the server links the C library alone" "$(linked "$build/tftpd")"
verdict "the client links the C library alone" "$(linked "$build/tftp")"
exit $failed
