#!/bin/sh
# usage: mini.sh OUT [KERNEL.deb]
#
# Builds the smallest guest that the end-to-end tests boot: OUT/kernel and OUT/initrd, made of Debian's
# cloud kernel, Debian's static busybox and, for the root shell's agent, this host's perl. Both packages are
# fetched through apt, the kernel only when it is not given.
#
# The guest reads its kernel command line: mini.name=NAME mini.ip=ADDRESS/BITS (for eth1). It answers
# pings there, serves its name over HTTP on port 80, shows a login prompt on ttyS0 and runs the agent;
# with mini.shell=backdoor, a root shell on hvc0 as NixOS's tests have it instead, and with
# mini.perl=no, it has no perl that the shell could find.
set -eu

out=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ $# -gt 1 ]; then
    deb=$2
else
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || { echo "no kernel: run apt-get update" >&2; exit 1; }
    (cd "$work" && apt-get download -q "$package" >&2)
    deb=$(ls "$work"/linux-image-*.deb)
fi
(cd "$work" && apt-get download -q busybox-static >&2)
dpkg-deb -x "$work"/busybox-static_*.deb "$work/busybox"
dpkg-deb -x "$deb" "$work/kernel"
cp "$work"/kernel/boot/vmlinuz-* "$out/kernel.new"

root=$work/root
mkdir -p "$root/usr/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/etc" "$root/lib/modules" "$root/www" "$root/sbin" "$root/root" "$root/var"
ln -s usr/bin "$root/bin"
cp "$work/busybox/bin/busybox" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
    [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
done
ln -s ../usr/bin/busybox "$root/sbin/init"
ln -s bin/busybox "$root/init"

modules=$(find "$work/kernel/lib/modules" -mindepth 1 -maxdepth 1)
# In the order of their dependencies.
for name in failover net_failover virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_net virtio_console virtio_blk; do
    file=$(find "$modules" -name "$name.ko*" | head -n 1)
    [ -n "$file" ] || continue
    case $file in
    *.xz) xz -dc "$file" >"$root/lib/modules/$name.ko" ;;
    *) cp "$file" "$root/lib/modules/$name.ko" ;;
    esac
    echo "$name" >>"$root/etc/modules"
done

perl=$(command -v perl)
cp -L "$perl" "$root/usr/bin/perl"
# The backdoor is bash; busybox has bash's name for itself too.
rm -f "$root/usr/bin/bash"
cp -L /bin/bash "$root/usr/bin/bash"
for program in "$perl" /bin/bash; do ldd "$program"; done | grep -o '/[^ ]*' | sort -u | while read -r lib; do
    mkdir -p "$root$(dirname "$lib")"
    cp -L "$lib" "$root$lib"
done
base=$(perl -e 'print grep { /perl-base$/ } @INC')
mkdir -p "$root$base"
cp -rL "$base/." "$root$base"
rm -rf "$root$base/unicore"
cp "$here/../../assets/guest/agent.pl" "$root/bin/agent.pl"

cat >"$root/etc/inittab" <<'INITTAB'
::sysinit:/etc/rc
ttyS0::respawn:/bin/getty -L 115200 ttyS0 vt100
::respawn:/etc/shell
::shutdown:/bin/sync
INITTAB
cat >"$root/etc/shell" <<'SHELL'
#!/bin/sh
# Debian's agent, or a back door in the manner of NixOS's tests.
export PATH=/bin:/sbin:/usr/bin
case " $(cat /proc/cmdline) " in
*" mini.shell=backdoor "*) ;;
*) exec /usr/bin/perl /bin/agent.pl ;;
esac
export USER=root HOME=/root DISPLAY=:0.0 PAGER=
cd /tmp
exec </dev/hvc0 >/dev/hvc0
exec 2>/dev/ttyS0
echo "connecting to host..." >&2
stty -F /dev/hvc0 raw -echo
echo "Spawning backdoor root shell..."
PS1= exec env bash --norc /dev/hvc0
SHELL
chmod 755 "$root/etc/shell"
echo 'root::0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
cat >"$root/etc/rc" <<'RC'
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
while read -r m; do insmod "/lib/modules/$m.ko"; done </etc/modules
name=mini
for p in $(cat /proc/cmdline); do
    case $p in
    mini.name=*) name=${p#*=} ;;
    mini.ip=*) ip=${p#*=} ;;
    mini.perl=no) rm /usr/bin/perl ;;
    esac
done
hostname "$name"
echo "$name" >/www/index.html
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
if [ -n "$ip" ]; then
    ip addr add "$ip" dev eth1
    ip link set eth1 up
fi
httpd -h /www
RC
chmod 755 "$root/etc/rc"

(cd "$root" && find . | "$root/bin/busybox" cpio -o -H newc -R 0:0 >"$out/initrd.new")
mv "$out/initrd.new" "$out/initrd"
mv "$out/kernel.new" "$out/kernel"
