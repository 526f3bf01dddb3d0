#!/bin/busybox sh
# The first process of a guest: finds the disks, mounts the system, starts systemd.
#
# Kernel parameters: diorama.system=PATH (the complete system), diorama.store=PATH (where its closure
# is mounted), diorama.layers=N (package images layer0 … layerN-1, the later ones on top).
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc -o nosuid,noexec,nodev proc /proc
mount -t sysfs -o nosuid,noexec,nodev sysfs /sys
mount -t devtmpfs -o mode=0755,nosuid devtmpfs /dev
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run

stop() {
  echo
  echo "diorama: $*"
  echo "diorama: the machine stops here."
  sleep 1
  poweroff -f
}

system=
store=/nix/store
layers=1
read -r line < /proc/cmdline
for word in $line; do
  case $word in
    diorama.system=*) system=${word#*=} ;;
    diorama.store=*) store=${word#*=} ;;
    diorama.layers=*) layers=${word#*=} ;;
  esac
done

while read -r module; do
  insmod "/modules/$module" || echo "diorama: cannot load $module"
done < /modules/order

# Sets `device` to the disk with a serial number. Here and below the shell's own commands are preferred:
# every process costs a hundredth of a second in an emulated machine.
disk() {
  for entry in /sys/block/*/serial; do
    serial=
    read -r serial < "$entry"
    if [ "$serial" = "$1" ]; then
      entry=${entry%/serial}
      device=/dev/${entry##*/}
      return
    fi
  done
  device=
}

lower_usr=
lower_etc=
layer=0
while [ "$layer" -lt "$layers" ]; do
  disk "layer$layer"
  [ -n "$device" ] || stop "the package image layer$layer is not attached."
  mkdir -p "/run/diorama/layer$layer"
  mount -t erofs -o ro "$device" "/run/diorama/layer$layer" || stop "cannot mount $device, the package image layer$layer."
  lower_usr=/run/diorama/layer$layer/usr${lower_usr:+:$lower_usr}
  lower_etc=/run/diorama/layer$layer/etc${lower_etc:+:$lower_etc}
  layer=$((layer + 1))
done
disk closure
[ -n "$device" ] || stop "the image of the system's closure is not attached."
mkdir -p "$store" /run/diorama
mount -t erofs -o ro "$device" "$store" || stop "cannot mount $device, the image of the system's closure."
[ -e "$system/etc" ] || stop "the closure does not hold the system $system."

mkdir -p /usr
if [ "$layers" = 1 ]; then
  mount --bind /run/diorama/layer0/usr /usr
else
  mount -t overlay -o "ro,lowerdir=$lower_usr" overlay /usr || stop "cannot stack the package images."
fi

# The state disk is made on the first boot only: a disk that holds anything unknown is left alone.
state=/dev/vda
disk layer0
if [ "$device" = "$state" ] || [ ! -b "$state" ]; then
  mount -t tmpfs -o mode=0755 tmpfs /sysroot
else
  magic=$(dd if="$state" bs=1 skip=1080 count=2 2>/dev/null | hexdump -e '2/1 "%02x"')
  if [ "$magic" != 53ef ]; then
    if dd if="$state" bs=64k count=16 2>/dev/null | tr -d '\0' | head -c 1 | grep -q .; then
      stop "the state disk ($state) holds no ext4 file system and is not empty, so it is not touched. Start with --fresh to begin with an empty one."
    fi
    for name in bin sbin lib lib64; do [ -e "/$name" ] || ln -s "usr/$name" "/$name"; done
    [ -e /lib64 ] || ln -s usr/lib64 /lib64
    LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 \
      /usr/sbin/mkfs.ext4 -q -F -m 0 -L state -O ^resize_inode -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$state" ||
      stop "cannot make a file system on the state disk ($state)."
  fi
  mount -t ext4 -o noatime "$state" /sysroot || stop "cannot mount the state disk ($state)."
fi

cd /sysroot || stop "no root directory."
if [ ! -d var/lock ] && [ ! -L var/lock ]; then
  mkdir -p dev proc sys run usr etc var/lib var/log var/tmp tmp root home mnt opt srv
  chmod 1777 tmp var/tmp
  chmod 700 root
  for name in bin sbin lib lib64; do [ -L "$name" ] || ln -s "usr/$name" "$name"; done
  ln -s /run var/run
  ln -s /run/lock var/lock
fi
[ -d ".$store" ] || mkdir -p ".$store"

mkdir -p /run/diorama/etc /run/diorama/etc-work
mount -t overlay -o "lowerdir=$system/etc:$lower_etc,upperdir=/run/diorama/etc,workdir=/run/diorama/etc-work" overlay etc ||
  stop "cannot mount /etc."
ln -s "$system" /run/current-system
ln -s "$system" /run/booted-system
if [ ! -s var/lib/machine-id ]; then
  tr -d - < /proc/sys/kernel/random/uuid > var/lib/machine-id
fi
read -r id < var/lib/machine-id
echo "$id" > etc/machine-id
# Files of /etc with permissions or owners of their own are copied to the upper layer.
while read -r mode user group path; do
  [ "$user$group" = 00 ] || chown "$user:$group" "etc/$path"
  chmod "$mode" "etc/$path"
done < "$system/modes"
mount --move /usr usr
mount --move "$store" ".$store"
mount --move /run run
mount --move /proc proc
mount --move /sys sys
mount --move /dev dev
# A link into the store, which leads somewhere only from within the system.
if [ -L "/sysroot$system/activate" ] || [ -x "/sysroot$system/activate" ]; then
  chroot /sysroot "$system/activate" || echo "diorama: the activation script failed"
fi

# Only listed units exist, and nothing generates more.
export SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/run/systemd/transient:/run/systemd/generator
export SYSTEMD_GENERATOR_PATH=
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
exec /bin/busybox switch_root /sysroot /usr/lib/systemd/systemd
