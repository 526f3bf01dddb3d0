# The dependencies and aliases of a kernel's modules, which the package's own script would have made.
. "$own"
tree=$TMPDIR/tree
mkdir -p "$tree"
cp -rP --no-preserve=all "$linux/usr" "$tree/"
for modules in "$tree"/usr/lib/modules/*; do
  version=${modules##*/}
  own depmod "$kmod/usr/bin/kmod" -b "$tree/usr" "$version"
  mkdir -p "$out/usr/lib/modules/$version"
  for file in "$modules"/modules.*; do
    if [ ! -e "$linux/usr/lib/modules/$version/${file##*/}" ]; then cp "$file" "$out/usr/lib/modules/$version/"; fi
  done
done
