# Unpacks one Debian package into $out without running anything of it: merged /usr, no setuid.
mkdir "$out"
dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$out" --no-same-owner --no-same-permissions \
  --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/info \
  --exclude=./usr/share/locale --exclude=./usr/share/lintian --exclude=./usr/share/bug \
  --transform='s,^\./bin\(/\|$\),./usr/bin\1,;s,^\./sbin\(/\|$\),./usr/sbin\1,;s,^\./lib\(/\|$\),./usr/lib\1,;s,^\./lib32\(/\|$\),./usr/lib32\1,;s,^\./lib64\(/\|$\),./usr/lib64\1,;s,^\./libx32\(/\|$\),./usr/libx32\1,'
# Directories that a package leaves unreadable for others are readable here: the store is public.
find "$out" -type d ! -perm -555 -exec chmod u+rwx,go+rx {} +
