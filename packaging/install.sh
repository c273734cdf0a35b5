#!/bin/sh
# packaging/install.sh install|uninstall: put the files of $MANIFEST in place below $DESTDIR, or take them away.
#
# Without DESTDIR, as root, on a system that runs systemd, the user and the directory are made and systemd is told; the
# service is not started. A configuration file that the administrator has changed is never replaced or removed.
set -eu
cd "$(dirname "$0")/.."
dest=${DESTDIR:-}

live() {
	[ -z "$dest" ] && [ "$(id -u)" -eq 0 ] && [ -d /run/systemd/system ]
}

put_all() {
	echo "$MANIFEST" | while read -r mode from to; do
		mkdir -p "$(dirname "$dest$to")"
		case $mode in
		link) ln -sf "$from" "$dest$to" ;;
		config) [ -e "$dest$to" ] || install -m 644 "$from" "$dest$to" ;;
		*) install -m "$mode" "$from" "$dest$to" ;;
		esac
	done
}

# Directories that are empty now: ours, and below DESTDIR all of them, since we made them.
remove_dirs() {
	echo "$MANIFEST" | while read -r _ _ to; do
		dir=$(dirname "$to")
		case $to in
		*/tftp-suite/*) rmdir "$dest$dir" 2>/dev/null || : ;;
		esac
		while [ -n "$dest" ] && [ "$dir" != / ]; do
			rmdir "$dest$dir" 2>/dev/null || :
			dir=$(dirname "$dir")
		done
	done
}

remove_all() {
	echo "$MANIFEST" | while read -r mode from to; do
		if [ "$mode" = config ] && [ -e "$dest$to" ] && ! cmp -s "$from" "$dest$to"; then
			echo "kept, because it has been changed: $dest$to"
		else
			rm -f "$dest$to"
		fi
	done
	remove_dirs
}

case $1 in
install)
	put_all
	if live; then
		systemd-sysusers
		systemd-tmpfiles --create
		systemctl daemon-reload
		echo "installed; start it with: systemctl enable --now tftpd"
	fi
	;;
uninstall)
	! live || systemctl --quiet disable --now tftpd.service tftpd.socket 2>/dev/null || :
	remove_all
	! live || systemctl daemon-reload
	;;
*)
	echo "usage: install.sh install|uninstall" >&2
	exit 64
	;;
esac
