# Merges unpacked packages into one tree and writes it as an erofs image: $out/image.
#
# Files are hard links to the store where the file system allows it, so an existing file is never
# written through: what is generated is removed first and made anew.
tree=$TMPDIR/tree
mkdir "$tree" "$out"
link=-l
set -- $packages
probe=$(find "$1/" -type f | head -n 1)
ln "$probe" "$TMPDIR/probe" 2>/dev/null || link=
count=$#
for package in $packages; do set -- "$@" "$package/."; done
shift "$count"
cp -rP $link --remove-destination --no-preserve=all "$@" "$tree/"
cd "$tree"
mkdir -p usr/bin etc
rm -rf boot var/cache

# What the packages' maintainer scripts would have set up in the tree.
alternative() { # LINK TARGET
  if [ -e "$2" ] && [ ! -e "$1" ]; then ln -s "${2##*/}" "$1"; fi
}
alternative usr/bin/awk usr/bin/mawk
alternative usr/bin/nawk usr/bin/mawk
alternative usr/bin/pager usr/bin/less
alternative usr/bin/which usr/bin/which.debianutils
alternative usr/bin/editor usr/bin/nano
alternative usr/bin/w usr/bin/w.procps
alternative usr/bin/lzma usr/bin/xz
alternative usr/bin/vi usr/bin/vim.basic
alternative usr/bin/vim usr/bin/vim.basic
alternative usr/bin/nc usr/bin/nc.openbsd
alternative usr/bin/nc usr/bin/nc.traditional
alternative usr/bin/ping usr/bin/ping.iputils
alternative usr/sbin/rmt usr/sbin/rmt-tar
if [ -d usr/share/ca-certificates ]; then
  mkdir -p etc/ssl/certs
  rm -f etc/ssl/certs/ca-certificates.crt
  find usr/share/ca-certificates -name '*.crt' | sort | while read -r certificate; do
    cat "$certificate"
    echo
  done > etc/ssl/certs/ca-certificates.crt
fi

# Python's byte code, made by the Python of the packages themselves with their own libraries.
if [ -n "${python:-}" ] && find usr -name '*.py' | grep -q .; then
  directories=
  for directory in usr/lib/python3* usr/share/python3 usr/share/*; do
    if [ -d "$directory" ] && [ -n "$(find "$directory" -name '*.py' | head -n 1)" ]; then
      directories="$directories $directory"
    fi
  done
  "$python" compile "$tree" $directories
fi

# The image's identity follows from the path it is built for, never from chance.
hash=$(printf %s "$out" | sha256sum | cut -c 1-32)
uuid=$(printf %s "$hash" | sed 's/^\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)/\1-\2-\3-\4-/')
mkfs.erofs $erofsOptions -T1 -U"$uuid" --all-root --quiet "$out/image" "$tree" >/dev/null
cd /
rm -rf "$tree"
