# Writes the text to $out, or below it when a destination is given.
target=$out$destination
mkdir -p "$(dirname "$target")"
cp "$textPath" "$target"
chmod 644 "$target"
