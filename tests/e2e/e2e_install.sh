#!/bin/sh
# make install, what it puts where, and make uninstall, which leaves nothing; the units and the completions are what
# systemd and the shells take; the programs are hardened; usage, manual page and completions know the same options.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
dest=$tmp/dest
# What make itself was told on its command line is not for the one started here.
unset MAKEFLAGS MFLAGS MAKELEVEL
case $build in
*/san* | */cov*)
	skip "installing is tested with the ordinary build"
	exit 0
	;;
esac
run_make() { make --no-print-directory -C "$top" BUILD="$build" DESTDIR="$dest" "$@" >"$tmp/make.log" 2>&1; }

# ---- install --------------------------------------------------------------------------------------------------------

# The line that the server says fetches a file has to work as it is.
run_make --dry-run BUILD="$tmp/fresh" run
check "make run makes the client too" grep -q -- "-o $tmp/fresh/tftp " "$tmp/make.log"
check "make install succeeds" run_make install
prefix=$dest/usr/local
for file in sbin/tftpd bin/tftp; do
	check "$file is a program" test -x "$prefix/$file"
done
check "in.tftpd is the server" test "$(readlink -f "$prefix/sbin/in.tftpd")" = "$prefix/sbin/tftpd"
check "in.tftpd runs" "$prefix/sbin/in.tftpd" --version >/dev/null
for page in man1/tftp.1 man8/tftpd.8 man8/in.tftpd.8; do
	check "$page is there" test -s "$prefix/share/man/$page"
done
for file in lib/systemd/system/tftpd.service lib/systemd/system/tftpd.socket lib/sysusers.d/tftpd.conf \
    lib/tmpfiles.d/tftpd.conf share/doc/tftp-suite/tftpd-hpa.conf; do
	check "$file is there" test -s "$prefix/$file"
done
check "the unit starts what was installed" grep -q '^ExecStart=/usr/local/sbin/tftpd ' \
    "$prefix/lib/systemd/system/tftpd.service"
check "nothing is left to be filled in" sh -c "! grep -rq '@[A-Z]*@' '$prefix/lib' '$prefix/share/doc'"
env=$dest/etc/default/tftpd
check "every setting is commented out" sh -c "! grep -q '^[^#]' '$env'"
check "there are settings" grep -q '^#TFTPD_OPTIONS=' "$env"

# Every example is one that the server takes.
grep '^#TFTPD_OPTIONS=' "$env" | sed 's/.*="\(.*\)"/\1/' | while read -r options; do
	# shellcheck disable=SC2086 # a list of words
	"$tftpd" $options --version >/dev/null 2>"$tmp/err" || echo "$options: $(cat "$tmp/err")"
done >"$tmp/wrong"
check "every example of a setting is valid ($(cat "$tmp/wrong"))" test ! -s "$tmp/wrong"

# ---- again, and with changes ----------------------------------------------------------------------------------------

echo 'TFTPD_OPTIONS="--create"' >>"$env"
check "make install again succeeds" run_make install
check "changed settings survive it" grep -q '^TFTPD_OPTIONS="--create"' "$env"
check "make uninstall succeeds" run_make uninstall
check "changed settings survive that as well" test "$(find "$dest" ! -type d)" = "$env"
rm "$env"
run_make install
check "make uninstall succeeds again" run_make uninstall
check "it leaves nothing" test -z "$(find "$dest" -mindepth 1)"
check "every directory can be chosen" run_make install PREFIX=/opt/tftp BINDIR=/b SBINDIR=/s MANDIR=/m UNITDIR=/u \
    ENVFILE=/e/tftpd
for file in /b/tftp /s/tftpd /m/man8/tftpd.8 /u/tftpd.service /e/tftpd /etc/sysusers.d/tftpd.conf; do
	check "$file is where it was wanted" test -e "$dest$file"
done
check "the unit follows" grep -q '^ExecStart=/s/tftpd ' "$dest/u/tftpd.service"
check "the unit knows its settings" grep -q '^EnvironmentFile=-/e/tftpd' "$dest/u/tftpd.service"
run_make uninstall PREFIX=/opt/tftp BINDIR=/b SBINDIR=/s MANDIR=/m UNITDIR=/u ENVFILE=/e/tftpd
check "and all of it goes" test -z "$(find "$dest" -mindepth 1)"
run_make install

# ---- units ----------------------------------------------------------------------------------------------------------

units=$prefix/lib/systemd/system
if command -v systemd-analyze >/dev/null; then
	mkdir "$tmp/units"
	# The program is looked for where the unit says, and no user is made for a test.
	sed "s|/usr/local/sbin|$prefix/sbin|; /^User=/d; /^Group=/d; /^Documentation=/d" "$units/tftpd.service" \
	    >"$tmp/units/tftpd.service"
	sed '/^Documentation=/d' "$units/tftpd.socket" >"$tmp/units/tftpd.socket"
	mkdir "$tmp/units/tftpd.service.d"
	said=$(SYSTEMD_UNIT_PATH="$tmp/units:" systemd-analyze verify "$tmp/units/tftpd.service" "$tmp/units/tftpd.socket" 2>&1 |
	    grep tftpd)
	check "systemd-analyze verify has nothing to say ($said)" test -z "$said"
	sed "s|/usr/local/sbin|$prefix/sbin|" "$prefix/share/doc/tftp-suite/tftpd-hpa.conf" >"$tmp/units/tftpd.service.d/hpa.conf"
	said=$(SYSTEMD_UNIT_PATH="$tmp/units:" systemd-analyze verify "$tmp/units/tftpd.service" 2>&1 | grep tftpd)
	check "nor about the settings of tftpd-hpa ($said)" test -z "$said"
	if systemd-analyze security --help 2>/dev/null | grep -q offline; then
		level=$(systemd-analyze security --offline=true --no-pager "$units/tftpd.service" 2>/dev/null |
		    sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')
		check "systemd-analyze security says at most 1.6 ($level)" sh -c "echo '$level' | awk '{ exit !(\$1 > 0 && \$1 <= 1.6) }'"
	else
		skip "systemd-analyze here cannot judge a unit that is not installed"
	fi
else
	skip "systemd-analyze is not here"
fi
if command -v systemd-sysusers >/dev/null; then
	mkdir -p "$tmp/users/etc"
	check "systemd-sysusers makes the user" systemd-sysusers --root="$tmp/users" "$prefix/lib/sysusers.d/tftpd.conf"
	check "it is tftp, and cannot log in" grep -q '^tftp:.*:/srv/tftp:.*nologin' "$tmp/users/etc/passwd"
	if [ "$(id -u)" -eq 0 ]; then
		check "systemd-tmpfiles makes the directory" systemd-tmpfiles --root="$tmp/users" --create \
		    "$prefix/lib/tmpfiles.d/tftpd.conf"
		uid=$(awk -F: '$1 == "tftp" { print $3 }' "$tmp/users/etc/passwd")
		check "it belongs to the user" test "$(stat -c '%u %a' "$tmp/users/srv/tftp")" = "$uid 755"
		chmod 700 "$tmp/users/srv/tftp"
		chown 0 "$tmp/users/srv/tftp"
		systemd-tmpfiles --root="$tmp/users" --create "$prefix/lib/tmpfiles.d/tftpd.conf"
		check "a directory that is there stays as it is" test "$(stat -c '%u %a' "$tmp/users/srv/tftp")" = "0 700"
	else
		skip "the directory of the service: not root"
	fi
else
	skip "systemd-sysusers is not here"
fi

# ---- the programs ---------------------------------------------------------------------------------------------------

for program in sbin/tftpd bin/tftp; do
	readelf -hldsW "$prefix/$program" >"$tmp/elf" 2>/dev/null
	check "$program is position-independent" grep -q 'Type: *DYN' "$tmp/elf"
	check "$program has full RELRO" sh -c "grep -q GNU_RELRO '$tmp/elf' && grep -Eq 'BIND_NOW|FLAGS.*NOW' '$tmp/elf'"
	check "$program has no executable stack" sh -c "grep GNU_STACK '$tmp/elf' | grep -q 'RW ' && ! grep GNU_STACK '$tmp/elf' | grep -q RWE"
	check "$program has stack protectors" grep -q __stack_chk_fail "$tmp/elf"
	if grep -q GLIBC "$tmp/elf"; then
		check "$program is fortified" grep -Eq '__[a-z]+_chk@' "$tmp/elf"
	else
		skip "$program is fortified: this C library does not do it"
	fi
done

# ---- one list of options --------------------------------------------------------------------------------------------

# options_of_help PROGRAM: -x and --xxx, one a line
options_of_help() {
	"$build/$1" --help | grep -E '^  -[^ ,]|^      --' | grep -oE '^ +(-[^-], )?--[a-z0-9-]+|^ +-[^-]( |$)' |
	    tr ', ' '\n\n' | grep -E '^-' | sort -u
}
# The pages name an option as ".It Fl a Ar x , Fl Fl address Ar x" or in several .It lines.
options_of_page() {
	sed -n '/^\.Sh DESCRIPTION/,/^\.Sh [A-CE-Z]/p' "$1" | grep -E '^\.It (Fl|Xo)' | tr ',' '\n' |
	    sed -n 's/.*Fl Fl \([a-z0-9-]*\).*/--\1/p; t; s/.*Fl \([^ ]\)\( .*\)*$/-\1/p' | sort -u
}
for both in tftpd:8 tftp:1; do
	program=${both%:*}
	page=man/$program.${both#*:}
	options_of_help "$program" >"$tmp/help"
	check "$program --help lists options" test "$(wc -l <"$tmp/help")" -gt 10
	options_of_page "$page" >"$tmp/page"
	missing=$(comm -23 "$tmp/help" "$tmp/page" | tr '\n' ' ')
	check "$page has every option (missing: $missing)" test -z "$missing"
	# A second name for an option is not in the help, but the program knows the word.
	stale=$(comm -13 "$tmp/help" "$tmp/page" | while read -r option; do
		grep -aqF -- "${option#--}" "$build/$program" || echo "$option"
	done)
	check "$page has no option that is gone ($stale)" test -z "$stale"
	bash=$prefix/share/bash-completion/completions/$program
	sed -n "s/^.-\*) .*-W '\([^']*\)'.*/\1/p" "$bash" | tr ' ' '\n' | sort -u >"$tmp/bash"
	check "bash completes the same options of $program" cmp -s "$tmp/help" "$tmp/bash"
	grep -oE "^.'\*-[^[+=:]*" "$prefix/share/zsh/site-functions/_$program" | sed "s/^.'\*//" | sort -u >"$tmp/zsh"
	check "zsh completes the same options of $program" cmp -s "$tmp/help" "$tmp/zsh"
	sed -n "s/.* -s '\(.\)'.*/-\1/p" "$prefix/share/fish/vendor_completions.d/$program.fish" >"$tmp/fish"
	sed -n "s/.* -l \([a-z0-9-]*\).*/--\1/p" "$prefix/share/fish/vendor_completions.d/$program.fish" >>"$tmp/fish"
	sort -u "$tmp/fish" | cmp -s - "$tmp/help"
	check "fish completes the same options of $program" test $? = 0
	check "bash reads its completion of $program" bash -n "$bash"
	if command -v zsh >/dev/null; then
		check "zsh reads its completion of $program" zsh -n "$prefix/share/zsh/site-functions/_$program"
	else
		skip "zsh is not here"
	fi
	if command -v fish >/dev/null; then
		check "fish reads its completion of $program" fish -n "$prefix/share/fish/vendor_completions.d/$program.fish"
	else
		skip "fish is not here"
	fi
done
cat >"$tmp/complete" <<END
. "$prefix/share/bash-completion/completions/tftpd"
COMP_WORDS=(tftpd --log-format j)
COMP_CWORD=2
_tftpd
echo "\${COMPREPLY[*]}"
COMP_WORDS=(tftpd --log-f)
COMP_CWORD=1
_tftpd
echo "\${COMPREPLY[*]}"
END
check "bash completes a value and an option" test "$(bash "$tmp/complete" | paste -s)" = "json	--log-format"
if command -v mandoc >/dev/null; then
	# Whatever the server can log stands under DIAGNOSTICS: literals out of the source, what is filled in being anything.
	cat >"$tmp/sentences" <<'END'
		local $/;
		sub literals { my $s = shift; $s =~ s/"\s*"//g; return $s =~ /"((?:[^"\\]|\\.)*)"/g; }
		my %said;
		for my $file (@ARGV) {
			open(my $f, "<", $file) or die; my $c = <$f>;
			$c =~ s/" STORE_TEMP_PREFIX "/.tftp-part-/g;
			$said{(literals($1))[0] // ""} = 1 while $c =~ /log_line\((.*?);\n/gs;
			$said{$_} = 1 for map { literals($_) } $c =~ /(?:log_begin\(|\btext = |snprintf\(f->(?:text|detail)|TROUBLE_MAX, )[^"]*?(".*?);\n/gs;
			$said{$_} = 1 for map { literals($_) } $c =~ /\n\t+\*text = (.*?);\n/gs;
			$said{$_} = 1 for map { literals($_) } $c =~ /(?:request_refuse|transfer_(?:fail|cancel|abandon|end))\((.*?);\n/gs;
			for my $body ($c =~ /^const char \*(?:path_reason|packet_fault_text)\(.*?^\}/gms) {
				$said{$_} = 1 for map { literals($_) } $body =~ /return (.*?);\n/g;
			}
		}
		open(my $page, "<", "/dev/stdin"); my $text = <$page>;
		$text =~ s/.\x08//g; $text =~ s/\s+/ /g; $text =~ s/.* DIAGNOSTICS / /; $text =~ s/ SEE ALSO .*//;
		my $n = 0;
		for my $s (sort keys %said) {
			next if $s !~ /[a-z]{3}/ || $s eq "no fault";
			$n++;
			$s =~ s/\\"/"/g;
			$s =~ s/:? +$//;
			my $r = join(".*?", map { quotemeta } split(/\\?"?%[-.0-9]*(?:llu|lld|zu|[sdu])\\?"?/, $s, -1));
			print "$s\n" if $text !~ /$r/;
		}
		print "only $n sentences were found in the source\n" if $n < 100;
END
	mandoc -T ascii -O width=900 man/tftpd.8 | perl "$tmp/sentences" tftpd/*.c common/transfer*.c common/packet.c >"$tmp/missing"
	check "man/tftpd.8 has every sentence of the log ($(head -n 3 "$tmp/missing" | paste -s -d'|'))" test ! -s "$tmp/missing"
	for page in man/tftp.1 man/tftpd.8; do
		said=$(mandoc -T lint -W warning "$page" 2>&1)
		check "$page is clean ($said)" test -z "$said"
	done
else
	skip "mandoc is not here"
fi
exit $failed
