# Copies one program to $out.
cp "$source" "$out"
chmod 755 "$out"
