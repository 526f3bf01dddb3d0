# Makes a bootable disk: $out/disk.qcow2. Nothing is mounted and nobody is root.
#
#   sector 0        GRUB's boot.img and the partition table
#   sectors 1 …     GRUB's core.img, which finds its menu on the first partition
#   from 1 MiB on   an ext4 file system with the system's closure, its profile and the menu
. "$own"

# Where everything that is copied belongs to root. Without name spaces for users the files would be the builder's.
if [ "${inside:-}" != 1 ] && [ "$(id -u)" != 0 ]; then
  if ! unshare --user --map-root-user true 2>/dev/null; then
    echo "making a disk needs user name spaces, which this machine does not allow to $(id -un)" >&2
    echo "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces)" >&2
    exit 1
  fi
  inside=1 exec unshare --user --map-root-user /bin/sh -eu "$self"
fi

tree=$TMPDIR/tree
mkdir -p "$tree/nix/store" "$tree/nix/var/nix/profiles" "$tree/nix/var/nix/gcroots" "$tree/boot/grub" "$out"
: > "$TMPDIR/registration"
# The graph's records: path, deriver, number of references, references.
while read -r path; do
  read -r deriver
  read -r count
  cp -rP --no-preserve=ownership,timestamps "$path" "$tree/nix/store/"
  own nix-store "$nix/usr/bin/nix-store" --dump "$path" > "$TMPDIR/nar"
  {
    echo "$path"
    sha256sum "$TMPDIR/nar" | cut -d ' ' -f 1
    stat -c %s "$TMPDIR/nar"
    echo
    echo "$count"
  } >> "$TMPDIR/registration"
  while [ "$count" -gt 0 ]; do
    read -r reference
    echo "$reference" >> "$TMPDIR/registration"
    count=$((count - 1))
  done
done < graph
rm -f "$TMPDIR/nar"
cp "$TMPDIR/registration" "$tree/nix/var/nix/registration"
ln -s "$toplevel" "$tree/nix/var/nix/profiles/system-1-link"
ln -s system-1-link "$tree/nix/var/nix/profiles/system"
ln -s /nix/var/nix/profiles "$tree/nix/var/nix/gcroots/profiles"
ln -s /run/current-system "$tree/nix/var/nix/gcroots/current-system"
ln -s /run/booted-system "$tree/nix/var/nix/gcroots/booted-system"
chmod 755 "$tree" "$tree/nix" "$tree/nix/store" "$tree/boot" "$tree/boot/grub"
perl "$grubMenu" "$tree/boot/grub/grub.cfg" "$tree/nix/var/nix/profiles" "$toplevel" "UUID=$uuid"

modules=$grub/usr/lib/grub/i386-pc
own grub-mkimage "$grubTools/usr/bin/grub-mkimage" -O i386-pc -d "$modules" -p '(hd0,msdos1)/boot/grub' \
  -o "$TMPDIR/core.img" biosdisk part_msdos ext2 normal configfile linux serial terminal echo search search_fs_uuid \
  test reboot halt ls cat minicmd

disk=$TMPDIR/disk.raw
truncate -s "${size}M" "$disk"
perl "$bootSector" "$disk" "$modules/boot.img" "$TMPDIR/core.img"
# Fixed times and identities; without features that GRUB cannot read.
E2FSPROGS_FAKE_TIME=1 own mke2fs "$e2fsprogs/usr/sbin/mke2fs" -q -F -t ext4 -L system -U "$uuid" -m 1 \
  -O ^metadata_csum_seed,^orphan_file -E "offset=1048576,hash_seed=$uuid,root_owner=0:0" \
  -d "$tree" "$disk" $(((size - 1) * 1024))k
qemu-img convert -f raw -O qcow2 "$disk" "$out/disk.qcow2"
chmod -R u+w "$tree"
rm -rf "$tree" "$disk"
