# Writes the closure of a store path as an erofs image whose root is the store: $out/image.
tree=$TMPDIR/tree
mkdir "$tree" "$out"
# The graph lists every path of the closure at the start of its record; nothing else begins with the
# store's own name and exists.
grep "^$store/" graph | sort -u | while read -r path; do
  [ -e "$path" ] || [ -L "$path" ] || continue
  cp -rP --no-preserve=ownership,timestamps "$path" "$tree/"
done
mkfs.erofs -T1 -U"$uuid" --all-root --quiet "$out/image" "$tree" >/dev/null
chmod -R u+w "$tree"
rm -rf "$tree"
