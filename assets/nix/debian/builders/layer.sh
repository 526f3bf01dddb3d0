# Merges unpacked packages into one tree and writes it as an erofs image: $out/image.
#
# Files are hard links to the store where the file system allows it, so an existing file is never
# written through: what is generated is removed first and made anew.
#
# The tree is made below $out, for links cannot lead to another file system, and removed at the end.
mkdir "$out"
tree=$out/tree
mkdir "$tree"
set -- $packages
probe=$(find "$1/" -type f | head -n 1)
if ln "$probe" "$out/probe" 2>/dev/null; then
  rm -f "$out/probe"
  count=$#
  for package in $packages; do set -- "$@" "$package/."; done
  shift "$count"
  cp -rPl --remove-destination --no-preserve=all "$@" "$tree/"
else
  # A build user may not link to files of others.
  for package in $packages; do
    cp -rP --remove-destination --preserve=links --no-preserve=ownership,timestamps "$package/." "$tree/"
    find "$tree" -type d ! -perm -200 -exec chmod u+w {} +
  done
fi
cd "$tree"
mkdir -p usr/bin etc
rm -rf boot var/cache

# What the packages' maintainer scripts would have set up in the tree.
alternative() { # LINK TARGET
  if [ -e "$2" ] && [ ! -e "$1" ]; then ln -s "${2##*/}" "$1"; fi
}
alternative usr/bin/sh usr/bin/dash
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
# PostgreSQL's programs, which Debian wraps to choose among versions.
for program in usr/lib/postgresql/*/bin/*; do
  if [ -e "$program" ] && [ ! -e "usr/bin/${program##*/}" ]; then ln -s "../../$program" "usr/bin/${program##*/}"; fi
done
if [ -d usr/share/ca-certificates ]; then
  mkdir -p etc/ssl/certs
  rm -f etc/ssl/certs/ca-certificates.crt
  find usr/share/ca-certificates -name '*.crt' | sort | while read -r certificate; do
    cat "$certificate"
    echo
  done > etc/ssl/certs/ca-certificates.crt
fi

# Programs of the packages themselves run here with their own libraries and nothing of the host's.
libraries=$tree/usr/lib/x86_64-linux-gnu
for package in ${below:-}; do
  if [ -d "$package/usr/lib/x86_64-linux-gnu" ]; then libraries=$libraries:$package/usr/lib/x86_64-linux-gnu; fi
done
own() { # NAME FILE ARGUMENT...
  name=$1
  shift
  "$libc/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --argv0 "$name" --library-path "$libraries" "$@"
}

for modules in usr/lib/modules/*; do
  if [ -d "$modules/kernel" ]; then own depmod usr/bin/kmod -b "$tree/usr" "${modules##*/}" 2>/dev/null; fi
done

# Python's byte code, which is valid whatever the time stamps say.
if [ -e usr/bin/python3.11 ]; then
  PYTHONHOME=$tree/usr PYTHONDONTWRITEBYTECODE=1 own python3.11 usr/bin/python3.11 -m compileall -q -j 2 \
    --invalidation-mode unchecked-hash -s "$tree" -p / \
    $(for d in usr/lib/python3.11 usr/lib/python3 usr/share; do if [ -d "$d" ]; then echo "$d"; fi; done) >/dev/null || true
fi

mkfs.erofs $erofsOptions -T1 -U"$uuid" --all-root --quiet "$out/image" "$tree" >/dev/null
cd /
rm -rf "$tree"
