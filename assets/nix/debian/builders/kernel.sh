# Extracts the uncompressed kernel, which QEMU boots by its PVH note half a second faster than the
# bzImage: $out/kernel (the bzImage itself when its payload cannot be read), and $out/version.
mkdir "$out"
image=$(echo "$linux"/boot/vmlinuz-*)
printf '%s\n' "${image##*/vmlinuz-}" > "$out/version"

# The boot protocol's header says where the compressed kernel is.
perl -e '
  binmode STDOUT;
  open my $file, "<:raw", $ARGV[0] or die "$ARGV[0]: $!\n";
  local $/;
  my $image = <$file>;
  my $sectors = ord(substr $image, 0x1f1, 1) || 4;
  my ($offset, $length) = unpack "VV", substr $image, 0x248, 8;
  print substr $image, ($sectors + 1) * 512 + $offset, $length;
' "$image" > "$TMPDIR/payload"
case $(head -c 4 "$TMPDIR/payload" | od -An -tx1 | tr -d ' \n') in
  fd377a58) command=xz ;;
  28b52ffd) command=zstd ;;
  1f8b08*) command=gzip ;;
  02214c18) command="$libc/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path $libc/usr/lib/x86_64-linux-gnu:$liblz4/usr/lib/x86_64-linux-gnu $lz4/usr/bin/lz4" ;;
  *) command=false ;;
esac
# The uncompressed size that follows the payload makes the command complain of trailing bytes.
$command -dc < "$TMPDIR/payload" > "$out/kernel" 2>/dev/null || true
if [ "$(head -c 4 "$out/kernel" | od -An -tx1 | tr -d ' \n')" != 7f454c46 ]; then
  cp "$image" "$out/kernel.new"
  mv -f "$out/kernel.new" "$out/kernel"
fi
