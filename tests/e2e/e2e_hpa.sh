#!/bin/sh
# tftp-hpa's server and ours, side by side: the same flags, files, permissions and names must have the same outcome,
# error codes included. What differs on purpose is marked and stands in tftpd(8) under "tftp-hpa".
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

hpa=tftpd-hpa/usr/sbin/in.tftpd
if ! has_peer $hpa || [ "$(id -u)" -ne 0 ] || ! id nobody >/dev/null 2>&1; then
	skip "the comparison with tftp-hpa needs root, a user nobody and Debian's tftpd-hpa"
	exit 0
fi
libs=$(find "$peers/tftpd-hpa" -type d -path '*/lib/*-linux-gnu' | paste -s -d: -)
ln -s "$tftpd" "$tmp/in.tftpd"

# One tree for each, alike.
make_tree() {
	rm -rf "$1"
	mkdir -p "$1/sub" "$1/closed" "$1/fixed" "$1/Boot" "$1/tftpboot"
	(
		cd "$1" || exit
		printf 'public' >pub
		printf 'public below' >sub/pub
		printf 'boot' >Boot/BCD
		printf 'mapped' >tftpboot/file
		printf 'exact\nlines\n' >text
		printf 'x' >'with space'
		printf 'private' >private
		printf 'rw' >rw
		printf 'w only' >wonly
		printf 'owner' >owner
		printf 'secret' >closed/pub
		printf 'fixed' >fixed/rw
		printf 'fixed' >fixed/ro
		printf 'x' >secret.pvt
		: >empty
		ln -s pub alias
		ln -s sub suball
		ln -s /pub rooted
		ln -s nothing dangling
		chmod 644 pub sub/pub Boot/BCD tftpboot/file text 'with space' fixed/ro secret.pvt empty
		chmod 640 private
		chmod 666 rw fixed/rw
		chmod 602 wonly
		chmod 600 owner
		chown nobody owner
		chmod 777 . sub
		chmod 700 closed
		chmod 755 fixed Boot tftpboot
	)
}

# compare NAME FLAGS... [-- DIRECTORY...]: the requests in $tmp/requests. Without "--" the tree is the last argument.
# What is not the same on purpose, made the same: tftp-hpa refuses access with code 0, on which U-Boot begins anew for
# ever; an option with a value out of range is an error to it, and not as if it were not there (RFC 2347); it repeats the
# client's spelling of an option.
on_purpose() {
	sed -E -e 's/: ERROR 0$/: ERROR 2/' -e 's/oack TSIZE/oack tsize/' \
	    -e '/blksize 7|timeout 0|timeout 256|netascii tsize 0/s/: (ERROR 8|served.*)$/: either/'
}

compare() {
	title=$1
	shift
	for who in theirs ours; do
		make_tree "$tmp/$who"
		program=$tmp/in.tftpd
		[ $who = theirs ] && program="env LD_LIBRARY_PATH=$libs $peers/$hpa"
		free_port
		args=
		for arg; do
			args="$args $(printf '%s' "$arg" | sed "s|TREE|$tmp/$who|g")"
		done
		sed "s|TREE|$tmp/$who|g" "$tmp/requests" >"$tmp/requests.$who"
		# shellcheck disable=SC2086
		if ! start "$who" $program -L -a "127.0.0.1:$port" $args; then
			not_ok "$title: $who does not start: $(cat "$tmp/$who.log")"
			return
		fi
		perl "$(dirname "$0")/ask.pl" "$port" <"$tmp/requests.$who" | sed "s|$tmp/$who|TREE|g" >"$tmp/$who.said"
		stop "$pid"
		(cd "$tmp/$who" && find . -type f -printf '%p %m %s\n' -o -type l -printf '%p link\n' | sort) >"$tmp/left.$who"
	done
	on_purpose <"$tmp/theirs.said" >"$tmp/said.theirs"
	on_purpose <"$tmp/ours.said" >"$tmp/said.ours"
	if diff "$tmp/said.theirs" "$tmp/said.ours" >"$tmp/diff"; then
		ok "$title: $(wc -l <"$tmp/said.ours") requests have the same outcome"
	else
		not_ok "$title: theirs <, ours >"
		sed 's/^/# /' "$tmp/diff"
	fi
	if diff "$tmp/left.theirs" "$tmp/left.ours" >"$tmp/diff"; then
		ok "$title: leaves the same files with the same modes"
	else
		not_ok "$title: files left by theirs <, ours >"
		sed 's/^/# /' "$tmp/diff"
	fi
}

reads='R pub octet
R /pub octet
R ./pub octet
R //pub octet
R sub/pub octet
R /sub/pub octet
R sub/../pub octet
R nothing octet
R /nothing octet
R nodir/pub octet
R pub/x octet
R private octet
R wonly octet
R owner octet
R closed/pub octet
R with space octet
R text netascii
R text octet
R text NetASCII
R text mail
R text bogus
R alias octet
R suball/pub octet
R dangling octet
R PUB octet
R pub octet tsize 0
R pub octet blksize 1000
R pub octet blksize 70000
R pub octet blksize 7
R pub octet blksize2 1000
R pub octet timeout 3
R pub octet timeout 0
R pub octet timeout 256
R pub octet tsize 0 blksize 512 timeout 1
R pub octet TSIZE 0
R pub octet unknown 1
R text netascii tsize 0
R ../pub octet
R /../pub octet
R ../../../../../../etc/passwd octet
R /etc/passwd octet
R rooted octet'
writes='W new octet 1000
W /sub/new octet 0
W rw octet 512
W /rw octet 700 blksize 600 tsize 700
W pub octet 10
W private octet 10
W wonly octet 10
W nodir/new octet 10
W closed/new octet 10
W fixed/rw octet 20
W fixed/ro octet 20
W fixed/new octet 20
W owner octet 30
W sub octet 10
W rw netascii 600
W again octet 100
W again octet 50
R new octet
R again octet'

echo "$reads" | sed 's/with space/with%20space/; s/^\(R\) \(.*\)$/\1 \2/' >"$tmp/reads"
echo "$writes" >"$tmp/writes"
cat "$tmp/reads" "$tmp/writes" >"$tmp/requests"
compare "--secure" -u nobody -s TREE
compare "--secure --create" -u nobody -s -c TREE
compare "--secure --permissive" -u nobody --secure --permissive TREE
compare "--secure --create --permissive" --user nobody --secure --create --permissive TREE
compare "--secure --create --permissive --umask 027" -u nobody -s -c -p -U 027 TREE
compare "abbreviations" --us=nobody --sec --cr --perm --um=077 TREE

# Lists of directories.
grep -v '\.\./\|rooted\|^R \./\|^R //' "$tmp/requests" | sed 's|^\([RW]\) /*\(.*\)|\1 TREE/\2|' >"$tmp/absolute"
{
	cat "$tmp/absolute"
	printf 'R pub octet\nR /etc/passwd octet\nR TREE/sub/../pub octet\nR TREE/../x octet\nW /tmp/new octet 1\nR /nothing octet\n'
} >"$tmp/requests"
compare "a directory without --secure" -u nobody TREE
compare "a directory, --create --permissive" -u nobody -c -p TREE
sed -n '/suball/d; /TREE\/[sp]ub/p' "$tmp/absolute" >"$tmp/requests"
compare "two directories" -u nobody TREE/sub TREE/fixed
printf 'R /etc/hostname octet\nR TREE/pub octet\nR TREE/private octet\nR /nothing octet\n' >"$tmp/requests"
compare "no directory" -u nobody

# Options.
printf 'R pub octet blksize 1400 tsize 0\nR pub octet tsize 0 blksize 1400 timeout 2\nW new octet 100 blksize 1400 tsize 100\n' >"$tmp/requests"
compare "--refuse blksize" -u nobody -s -c -r blksize TREE
compare "--refuse tsize --refuse timeout" -u nobody -s -c --refuse tsize --refuse=timeout TREE
compare "--blocksize 1024" -u nobody -s -c -B 1024 TREE
compare "--retransmit 500000 -v -v" -u nobody -s -c -T 500000 -v -v TREE

# ---- rename rules ---------------------------------------------------------------------------------------------------

cat >"$tmp/requests" <<'END'
R pub octet
R /pub octet
R \Boot\BCD octet
R C:\Boot\BCD octet
R c:pub octet
R file octet
R secret.pvt octet
R secret.pvtx octet
R PUB octet
R aaa octet
R 127.0.0.1 octet
R xpub octet
R nothing octet
R sub\pub octet
W new octet 10
W aaa octet 10
W secret.pvt octet 10
END
rules() {
	cat >"$tmp/rules"
	compare "rules: $(paste -s -d';' "$tmp/rules" | tr -d '\\' | head -c 60)" -u nobody -s -c -p -m "$tmp/rules" TREE
}
rules <<'END'
rg \\ /
ri ^[a-z]:
END
rules <<'END'
r ^[^/] /tftpboot/\0
END
rules <<'END'
a \.pvt$
END
rules <<'END'
a \.pvt$ no\ private\ files
r .* \L\0
END
rules <<'END'
rG aaa pub
rP aaa written
END
rules <<'END'
re ^p(u)b$ sub/p\1b
r u UU
END
rules <<'END'
rs ^aaa$ bbb
rs ^bbb$ pub
END
rules <<'END'
r ^127(.*)$ \i\1
r4 ^xpub$ pub
r6 pub nothing
END
rules <<'END'
r ^nothing$ \x\ \x
r 7F000001\ 7F000001 pub   # a comment
END
rules <<'END'
e ^pub$
a~ ^/ only\ names\ with\ a\ slash
END
rules <<'END'
r ^PUB$ \L\0\E
r ^aaa$ \Uaa\Epub
r ^AApub$ pub
END
rules <<'END'
ri ^(x)?pub$ sub/pub
rg aa a
END

# ---- exit status ----------------------------------------------------------------------------------------------------

# status NAME ARGUMENTS...: both end with the same one.
status() {
	title=$1
	shift
	make_tree "$tmp/tree"
	patience=5 peer $hpa "$@" >"$tmp/out" 2>&1 </dev/null
	theirs=$?
	timeout 60 "$tmp/in.tftpd" "$@" >"$tmp/out" 2>&1 </dev/null
	ours=$?
	check "$title is exit status $theirs with both (ours: $ours)" test $ours = $theirs
}
printf 'q x y\n' >"$tmp/badrules"
status "a user who does not exist" -L -u no-such-user -s "$tmp/tree"
status "a directory that does not exist" -L -s "$tmp/nothing"
status "--secure with two directories" -L -s "$tmp/tree" "$tmp/tree"
status "a bad block size" -L -B 100 "$tmp/tree"
status "a bad umask" -L -U 9 "$tmp/tree"
status "a bad port range" -L -R 20:10 "$tmp/tree"
status "rules with a mistake" -L -m "$tmp/badrules" "$tmp/tree"
status "rules that are not there" -L -m "$tmp/nothing" "$tmp/tree"
status "the version" -V
exit $failed
