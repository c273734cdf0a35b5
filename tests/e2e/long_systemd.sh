#!/bin/bash
# From make install to make uninstall, and the Debian package, on a system with systemd as its process 1: this machine's
# root directory under an overlay, in namespaces of its own, so that nothing of it stays. In make check-long.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

for needed in unshare chroot systemctl journalctl; do
	command -v $needed >/dev/null && continue
	skip "a whole system: no $needed here"
	exit 0
done
systemd=/lib/systemd/systemd
group=/sys/fs/cgroup/unified
[ -d $group ] || group=/sys/fs/cgroup
group=$group/tftp-e2e.$$
if [ "$(id -u)" -ne 0 ] || [ ! -x $systemd ] || ! mkdir "$group" 2>/dev/null || [ ! -e "$group/cgroup.procs" ]; then
	rmdir "$group" 2>/dev/null
	skip "a whole system: not root, no systemd, or no control groups"
	exit 0
fi
: >"$tmp/out"
: >"$tmp/console"

# What happens inside, as a service of the new system.
cat >"$tmp/inside" <<'END'
cd /src
failed=0
check() {
	local name=$1
	shift
	if "$@"; then echo "ok $name"; else echo "not ok $name ($*)"; fi
}
soon() {
	for _ in {1..600}; do
		"$@" && return
		sleep 0.1
	done
	return 1
}
show() { systemctl show -p "$1" --value tftpd; }
active() { systemctl --quiet is-active tftpd; }
run_make() { make --no-print-directory BUILD="$BUILD" "$@" >/run/make.log 2>&1 || { cat /run/make.log; return 1; }; }
get() { timeout 20 "$tftp" -q get "tftp://$1" /run/got 2>/run/err; }
says() { journalctl --quiet --no-pager -u tftpd | grep -qF -- "$1"; }
# What this machine may have of it already is not this system's.
rm -rf /srv/tftp /var/log/tftpd /etc/default/tftpd /etc/tftpd.networks
# What lies where programs are installed.
files() { find /etc /usr /lib /opt -xdev ! -type d -print | sort; }
tftp=/usr/local/bin/tftp
files >/run/before

check "make install succeeds" run_make install
check "there is a user" getent passwd tftp >/dev/null
check "who owns the directory" test "$(stat -c %U /srv/tftp)" = tftp
echo hello >/srv/tftp/file
check "one command starts it" systemctl --quiet enable --now tftpd
check "it runs" active
check "it serves on IPv4" get 127.0.0.1/file
check "it serves on IPv6" get "[::1]/file"
check "its own fences stand within the manager's" sh -c '! journalctl --quiet --no-pager -u tftpd | grep " here: "'
check "it says what it does" test "$(show StatusText | grep -c '^serving /srv/tftp on .*:69.*, [0-9]* transfers\?$')" = 1
pid=$(show MainPID)
check "it runs as its user" test "$(stat -c %U "/proc/$pid")" = tftp
check "it can gain no privileges" grep -q '^NoNewPrivs:[[:space:]]*1' "/proc/$pid/status"
check "a filter is in force" grep -q '^Seccomp:[[:space:]]*2' "/proc/$pid/status"
check "the journal says who got what" soon says "sent file=file peer=127.0.0.1:"
check "with a priority" test "$(journalctl -q -u tftpd -p 5..5 | grep -c 'serving /srv/tftp')" -ge 1
check "and without its mark" sh -c "! journalctl -q -u tftpd -o cat | grep -q '^<[0-9]>'"
timeout 20 $tftp -q put /srv/tftp/file tftp://127.0.0.1/new 2>/run/err
check "it is read-only" test $? = 69

check "reloading succeeds" systemctl reload tftpd
check "it is obeyed" soon says reloaded
check "by the same process" test "$(show MainPID)" = "$pid"

echo 'TFTPD_OPTIONS="--create --log /var/log/tftpd/log"' >>/etc/default/tftpd
check "one line and a restart" systemctl restart tftpd
check "allow uploads" timeout 20 $tftp -q put /srv/tftp/file tftp://127.0.0.1/new
check "which are whole" cmp -s /srv/tftp/file /srv/tftp/new
check "and logged to a file" soon grep -q 'received file=new' /var/log/tftpd/log
mv /var/log/tftpd/log /var/log/tftpd/log.1
systemctl reload tftpd
check "the log can be rotated" soon grep -q reloaded /var/log/tftpd/log

# Who may ask is read again with it.
echo 192.0.2.0/24 >/etc/tftpd.networks
echo 'TFTPD_OPTIONS="--create --log /var/log/tftpd/log --allow-write @/etc/tftpd.networks"' >>/etc/default/tftpd
systemctl restart tftpd
timeout 20 $tftp -q put /srv/tftp/file tftp://127.0.0.1/new 2>/run/err
check "a list of networks says who may write" test $? = 69
echo 127.0.0.0/8 >>/etc/tftpd.networks
check "it is reloaded" systemctl reload tftpd
check "and read again" soon timeout 20 $tftp -q put /srv/tftp/file tftp://127.0.0.1/new
echo nonsense >>/etc/tftpd.networks
systemctl reload tftpd
check "a mistake in it is named" soon grep -q 'tftpd.networks: line 3: "nonsense".*old lists stay in force' /var/log/tftpd/log
check "and harms nobody" timeout 20 $tftp -q put /srv/tftp/file tftp://127.0.0.1/new
rm /etc/tftpd.networks
sed -i '$d' /etc/default/tftpd
systemctl restart tftpd

pid=$(show MainPID)
kill -KILL "$pid"
restarted() { active && [ "$(show MainPID)" != "$pid" ]; }
check "it is started again when it dies" soon restarted
mkdir -p /run/systemd/system/tftpd.service.d
# The watchdog must not take a machine that is busy for a server that hangs.
printf '[Service]\nWatchdogSec=4\n' >/run/systemd/system/tftpd.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart tftpd
pid=$(show MainPID)
sleep 5
check "it is alive for the watchdog" test "$(show MainPID)" = "$pid"
kill -STOP "$pid"
check "it is started again when it hangs" soon restarted
rm -r /run/systemd/system/tftpd.service.d

head -c 20000000 /dev/urandom >/srv/tftp/large
systemctl daemon-reload
systemctl restart tftpd
perl -MIO::Socket::INET -e '
	my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1");
	$s->send("\0\1large\0octet\0", 0, pack_sockaddr_in(69, inet_aton("127.0.0.1")));
	my $from = $s->recv(my $data, 1000);
	$s->send("\0\4\0\1", 0, $from);
	sleep 100' &
running() { [[ "$(show StatusText)" == *", 1 transfer" ]]; }
check "systemctl status tells of a transfer" soon running
systemctl kill -s USR1 tftpd
check "a status can be had" soon grep -q 'running read file=large' /var/log/tftpd/log
before=$SECONDS
systemctl stop tftpd
# The transfer gets four; its client is waited for by thirty.
check "it stops within a few seconds ($((SECONDS - before)))" test $((SECONDS - before)) -le 20
check "cleanly" test "$(show Result)" = success
kill %1

systemctl --quiet disable tftpd
systemctl --quiet enable --now tftpd.socket
check "nothing runs yet" sh -c '! systemctl --quiet is-active tftpd'
check "the first request is answered" get 127.0.0.1/file
check "by the service" active
systemctl --quiet disable --now tftpd.socket tftpd.service

check "uninstalling keeps changed settings" run_make uninstall
check "and says so" grep -q '/etc/default/tftpd' /run/make.log
rm -f /etc/default/tftpd
check "make install again" run_make install

# Debian's settings of tftpd-hpa, as they are.
if /usr/local/sbin/tftpd --help | grep -q -- --secure; then
	cat >/etc/default/tftpd-hpa <<'HPA'
# /etc/default/tftpd-hpa

TFTP_USERNAME="tftp"
TFTP_DIRECTORY="/srv/tftp"
TFTP_ADDRESS=":69"
TFTP_OPTIONS="--secure"
HPA
	install -D -t /etc/systemd/system/tftpd.service.d /usr/local/share/doc/tftp-suite/tftpd-hpa.conf
	systemctl daemon-reload
	check "tftpd-hpa's settings start it" systemctl --quiet enable --now tftpd
	check "and it serves" get 127.0.0.1/file
	check "as its user" test "$(stat -c %U "/proc/$(show MainPID)")" = tftp
	rm -r /etc/systemd/system/tftpd.service.d /etc/default/tftpd-hpa
else
	echo "skip the settings of tftpd-hpa: this server does not have its options"
fi

check "make uninstall succeeds" run_make uninstall
check "it stops the service" sh -c '! systemctl --quiet is-active tftpd'
files >/run/after
left=$(comm -13 /run/before /run/after | grep -vE '^/etc/(passwd|group|g?shadow)-$' | paste -s)
check "it leaves nothing ($left)" test -z "$left"

# The package.
tftp=/usr/bin/tftp
if command -v dpkg >/dev/null && [ -e /src/"$PACKAGE" ]; then
	check "the package installs" dpkg -i /src/"$PACKAGE" >/run/dpkg.log 2>&1
	check "its service runs" active
	check "and serves" get 127.0.0.1/file
	check "its files are as they were packed" test -z "$(dpkg -V tftp-suite)"
	check "the package upgrades" dpkg -i /src/"$PACKAGE" >>/run/dpkg.log 2>&1
	check "its service runs on" active
	check "the package is purged" dpkg -P tftp-suite >>/run/dpkg.log 2>&1
	check "its service is stopped" sh -c '! systemctl --quiet is-active tftpd'
	files >/run/after
	left=$(comm -13 /run/before /run/after | grep -vE '^/etc/(passwd|group|g?shadow)-$' | paste -s)
	check "purging leaves nothing ($left)" test -z "$left"
else
	echo "skip the package: no dpkg here"
fi
echo end
END

package=
if command -v dpkg-deb >/dev/null; then
	package=$(MAKEFLAGS='' make --no-print-directory BUILD="${build#"$top"/}" deb) || not_ok "make deb"
	package=$(echo "$package" | tail -n 1)
	if command -v lintian >/dev/null; then
		said=$(lintian --fail-on error "$package" 2>&1) && status=0 || status=$?
		check "lintian finds no error ($(echo "$said" | grep '^E:' | head -n 1))" test $status = 0
	else
		skip "lintian is not here"
	fi
fi

# The new system's root directory, and what runs there. All mounts are in its own namespace and go with it.
cat >"$tmp/boot" <<'END'
set -e
mount --make-rprivate /
mount -t tmpfs -o size=500m none "$TMP/system"
cd "$TMP/system"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
cd root
mkdir -p src proc sys dev run tmp
mount --bind "$TOP" src
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
	: >dev/$node
	mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
: >dev/console
mount --bind "$TMP/console" dev/console
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
# Somebody may make a /srv/tftp outside at any time.
mount -t tmpfs -o mode=755 tmpfs srv
rm -rf etc/systemd/system/*.wants usr/local/sbin/*tftpd usr/local/bin/tftp var/log/journal
echo uninitialized >etc/machine-id
: >etc/fstab
# What would wait for hardware, or touch the kernel that is shared.
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
    systemd-timesyncd.service systemd-networkd.service dev-hugepages.mount dev-mqueue.mount systemd-logind.service \
    networking.service systemd-binfmt.service systemd-hwdb-update.service systemd-firstboot.service \
    systemd-remount-fs.service kmod-static-nodes.service systemd-random-seed.service systemd-modules-load.service \
    systemd-sysctl.service sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
    nftables.service systemd-machine-id-commit.service proc-sys-fs-binfmt_misc.automount; do
	ln -sf /dev/null etc/systemd/system/$unit
done
: >out
mount --bind "$TMP/out" out
cp "$TMP/inside" inside
cat >etc/systemd/system/inside.target <<UNIT
[Unit]
Requires=basic.target
After=basic.target
Wants=inside.service
UNIT
cat >etc/systemd/system/inside.service <<UNIT
[Unit]
After=basic.target
[Service]
Type=oneshot
Environment=BUILD=$BUILD PACKAGE=$PACKAGE LC_ALL=C
ExecStart=/bin/bash /inside
StandardOutput=append:/out
StandardError=append:/out
ExecStopPost=/bin/systemctl --force --force poweroff
TimeoutStartSec=600
UNIT
ip link set lo up
exec env -i container=private PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /lib/systemd/systemd --unit=inside.target --log-target=console --show-status=1
END
mkdir "$tmp/system"
(
	echo "$BASHPID" >"$group/cgroup.procs"
	TMP=$tmp TOP=$top BUILD=${build#"$top"/} PACKAGE=${package#"$top"/} exec timeout -s KILL 660 \
	    unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child bash "$tmp/boot" </dev/null >>"$tmp/console" 2>&1
)
if ! grep -q '^ok \|^not ok ' "$tmp/out" && ! grep -q 'Welcome to' "$tmp/console"; then
	skip "a whole system cannot be started in namespaces here: $(tail -n 1 "$tmp/console")"
else
	cat "$tmp/out"
	grep -q '^not ok ' "$tmp/out" && failed=1
	check "the system ran to its end" grep -q '^end$' "$tmp/out"
	[ $failed = 0 ] || tail -n 20 "$tmp/console"
fi
for _ in 1 2 3 4 5 6 7 8 9 10; do
	find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
	[ -d "$group" ] || break
	sleep 0.3
done
exit $failed
