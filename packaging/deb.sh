#!/bin/sh
# packaging/deb.sh BUILD: a Debian package of what make install installs, with dpkg-deb alone. Prints its name.
# DEBFULLNAME and DEBEMAIL say who answers for it, as with Debian's own tools.
set -eu
cd "$(dirname "$0")/.."
build=$1
name=tftp-suite
version=$("$build/tftpd" --version | awk '{ print $2 }')
arch=$(dpkg --print-architecture)
who="${DEBFULLNAME:-tftp-suite} <${DEBEMAIL:-tftp-suite@tftp-suite.invalid}>"
umask 022
root=$build/deb
rm -rf "$root"
mkdir -p "$root/DEBIAN"

MAKEFLAGS='' make --no-print-directory BUILD="$build" DESTDIR="$PWD/$root" PREFIX=/usr UNITDIR=/lib/systemd/system \
    DOCDIR=/usr/share/doc/$name install >/dev/null
strip --strip-unneeded -R .comment -R .note "$root/usr/bin/tftp" "$root/usr/sbin/tftpd"
doc=$root/usr/share/doc/$name
rm "$doc/README.md"
for page in man1/tftp.1 man8/tftpd.8; do
	gzip -9n "$root/usr/share/man/$page"
done
rm "$root/usr/share/man/man8/in.tftpd.8"
ln -s tftpd.8.gz "$root/usr/share/man/man8/in.tftpd.8.gz"
mkdir -p "$root/usr/share/zsh/vendor-completions"
mv "$root"/usr/share/zsh/site-functions/* "$root/usr/share/zsh/vendor-completions"
rmdir "$root/usr/share/zsh/site-functions"

# The date of the last commit, so that the same source makes the same package.
when=$(git log -1 --format=%cd --date=rfc 2>/dev/null || date -R)
SOURCE_DATE_EPOCH=$(date -d "$when" +%s)
export SOURCE_DATE_EPOCH
gzip -9n >"$doc/changelog.gz" <<END
$name ($version) unstable; urgency=medium

  * Built from source by make deb.

 -- $who  $when
END
cat >"$doc/copyright" <<END
$name, a TFTP server and client. Built from its source tree by make deb; the
terms are those of that tree.

It links only the C library, which on Debian is under the GNU Lesser General
Public License, /usr/share/common-licenses/LGPL-2.1.
END

libc=$(dpkg-query -W -f '${Version}' libc6 2>/dev/null | sed 's/-.*//')
cat >"$root/DEBIAN/control" <<END
Package: $name
Version: $version
Architecture: $arch
Maintainer: $who
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: libc6 (>= ${libc:-2.31}), systemd | systemd-standalone-sysusers
Conflicts: tftpd-hpa, atftpd, tftpd, tftp-hpa, atftp, tftp
Provides: tftpd, tftp
Section: net
Priority: optional
Description: TFTP server and client
 A server that boots machines, takes configurations from switches and feeds
 phones: one process, any number of transfers at once, windows of blocks,
 retransmission that learns the round trip, uploads that appear whole or not
 at all. Installed as a service with few rights. The client takes URLs and the
 command lines of other TFTP clients.
END
echo /etc/default/tftpd >"$root/DEBIAN/conffiles"

cat >"$root/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
	systemd-sysusers tftpd.conf || [ ! -d /run/systemd/system ]
	if command -v systemd-tmpfiles >/dev/null; then
		systemd-tmpfiles --create tftpd.conf || [ ! -d /run/systemd/system ]
	fi
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
		if [ -z "$2" ]; then
			systemctl --quiet enable --now tftpd.service ||
			    echo "tftpd was not started; see: systemctl status tftpd" >&2
		else
			systemctl try-restart tftpd.service || true
		fi
	elif [ -z "$2" ] && command -v systemctl >/dev/null; then
		systemctl --quiet enable tftpd.service || true
	fi
fi
exit 0
END
cat >"$root/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
if [ "$1" = remove ] && command -v systemctl >/dev/null; then
	if [ -d /run/systemd/system ]; then
		systemctl --quiet stop tftpd.socket tftpd.service || true
	fi
	systemctl --quiet disable tftpd.socket tftpd.service || true
fi
exit 0
END
# Files that were served or uploaded are the administrator's, and so the user they belong to stays.
cat >"$root/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
if [ "$1" = purge ]; then
	rm -rf /etc/systemd/system/tftpd.service.d /var/log/tftpd
	rmdir /srv/tftp 2>/dev/null || true
fi
exit 0
END
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) \
    >"$root/DEBIAN/md5sums"
package=$build/${name}_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
rm -rf "$root"
echo "$package"
