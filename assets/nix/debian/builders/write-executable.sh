# Writes the text as an executable to $out, or below it when a destination is given.
target=$out$destination
mkdir -p "$(dirname "$target")"
cp "$textPath" "$target"
chmod 755 "$target"
