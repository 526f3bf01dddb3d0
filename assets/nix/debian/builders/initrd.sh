# Makes the initial ramdisk: a static busybox, the init script and the modules it loads, in order.
root=$TMPDIR/root
mkdir -p "$root/bin" "$root/modules" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/sysroot" "$out"
cp "$busybox/usr/bin/busybox" "$root/bin/busybox"
cp "$init" "$root/init"
chmod 755 "$root/init" "$root/bin/busybox"
tree=$(echo "$linux"/usr/lib/modules/*)

# The modules' dependencies, from their own headers (a package that was never configured has no
# modules.dep). `depends=` lists direct ones; a depth-first walk puts them in loading order.
find "$tree/kernel" -name '*.ko' | sort > "$TMPDIR/all"
: > "$root/modules/order"
file_of() { grep -m1 "/$(echo "$1" | sed 's/[-_]/[-_]/g')\.ko\$" "$TMPDIR/all" || true; }
load() {
  file=$(file_of "$1")
  # What has no file is built into the kernel.
  [ -n "$file" ] || return 0
  ! grep -qx "${file##*/}" "$root/modules/order" || return 0
  for dependency in $(tr '\0' '\n' < "$file" | sed -n 's/^depends=//p' | tr ',' ' '); do
    load "$dependency"
  done
  file=$(file_of "$1")
  cp "$file" "$root/modules/"
  echo "${file##*/}" >> "$root/modules/order"
}
for module in $modules; do load "$module"; done

cd "$root"
perl "$newc" > "$out/initrd"
