#!/bin/busybox sh
# The first process of a host: finds the root disk, lets it grow, composes /usr, starts systemd.
#
# Kernel parameters: root=UUID=… or a device, diorama.system=PATH (the complete system). When that system is not
# on the disk, the profile's is started, so that a boot loader that knows too much still leads somewhere.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc -o nosuid,noexec,nodev proc /proc
mount -t sysfs -o nosuid,noexec,nodev sysfs /sys
mount -t devtmpfs -o mode=0755,nosuid devtmpfs /dev
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run

stop() {
  echo
  echo "diorama: $*"
  echo "diorama: the machine starts again in 30 seconds."
  sleep 30
  reboot -f
}

system=
root=
read -r line < /proc/cmdline
for word in $line; do
  case $word in
    diorama.system=*) system=${word#*=} ;;
    root=*) root=${word#*=} ;;
  esac
done
while read -r module; do
  insmod "/modules/$module" 2>/dev/null || echo "diorama: cannot load $module"
done < /modules/order

# Disks appear when their driver has looked at them, which takes a moment on real ones.
device=
attempt=0
while [ "$attempt" -lt 300 ]; do
  case $root in
    UUID=* | LABEL=*) device=$(findfs "$root" 2>/dev/null) ;;
    *) device=$root ;;
  esac
  if [ -b "$device" ]; then break; fi
  attempt=$((attempt + 1))
  usleep 100000
done
[ -b "$device" ] || stop "there is no disk with the root file system ($root)."

# A disk that was made larger: the first partition, when it is the only one, grows to the disk's end. Its file
# system follows once the system runs (grow-root.service).
grow() {
  partition=/sys/class/block/${device##*/}
  [ -e "$partition/partition" ] || return 0
  disk=$(readlink -f "$partition")
  disk=${disk%/*}
  disk=${disk##*/}
  read -r number < "$partition/partition"
  read -r start < "$partition/start"
  read -r length < "$partition/size"
  read -r sectors < "/sys/class/block/$disk/size"
  # An MBR counts in 32 bits.
  [ "$sectors" -le 4294967295 ] || sectors=4294967295
  wanted=$((sectors - start))
  [ "$number" = 1 ] && [ "$wanted" -gt $((length + 2048)) ] || return 0
  table=$(dd if="/dev/$disk" bs=1 skip=446 count=66 2>/dev/null | hexdump -v -e '1/1 "%02x"')
  # One entry of type 83 and nothing behind it, or somebody else's table is left alone.
  case $table in
    ????????83*55aa) ;;
    *) return 0 ;;
  esac
  rest=${table#????????????????????????????????}
  [ -z "$(echo "${rest%55aa}" | tr -d 0)" ] || return 0
  printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $((wanted & 255)) $((wanted >> 8 & 255)) $((wanted >> 16 & 255)) $((wanted >> 24 & 255)))" |
    dd of="/dev/$disk" bs=1 seek=458 conv=notrunc 2>/dev/null
  sync
  blockdev --rereadpt "/dev/$disk" && : > /run/diorama/grow-root
}
mkdir -p /run/diorama
grow

mount -t ext4 -o noatime "$device" /sysroot || stop "cannot mount the root file system ($device)."
# The store's links are absolute.
ln -s /sysroot/nix /nix
if [ ! -e "$system/usr-trees" ]; then
  profile=$(readlink /sysroot/nix/var/nix/profiles/system)
  fallback=$(readlink "/sysroot/nix/var/nix/profiles/${profile##*/}")
  [ -e "$fallback/usr-trees" ] || stop "neither the system $system nor a profile is on the disk."
  echo "diorama: the system $system is not on the disk; starting the profile's, $fallback"
  system=$fallback
fi

cd /sysroot || stop "no root directory."
for directory in dev proc sys run usr etc var/lib var/log var/tmp tmp root home mnt opt srv boot; do
  [ -d "$directory" ] || mkdir -p "$directory"
done
chmod 1777 tmp var/tmp
chmod 700 root
for name in bin sbin lib lib64; do [ -L "$name" ] || ln -s "usr/$name" "$name"; done
[ -L var/run ] || ln -s /run var/run
[ -L var/lock ] || ln -s /run/lock var/lock

tree=$(sh "$system/compose-usr" "$system" /sysroot) || stop "cannot compose /usr (is the disk full?)."
mount --bind "$tree" usr || stop "cannot mount /usr."
mount -o remount,bind,ro usr
ln -s "$system" /run/current-system
ln -s "$system" /run/booted-system
mount --move /run run
mount --move /proc proc
mount --move /sys sys
mount --move /dev dev
chroot /sysroot "$system/activate" "$system" || echo "diorama: the activation script failed"

# Only listed units exist, and nothing generates more.
export SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/run/systemd/transient:/run/systemd/generator
export SYSTEMD_GENERATOR_PATH=
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
exec /bin/busybox switch_root /sysroot /usr/lib/systemd/systemd
