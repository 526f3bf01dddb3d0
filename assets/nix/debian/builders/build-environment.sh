# Merges unpacked packages into the tree that builds from source see as their /usr and /etc.
mkdir "$out"
for package in $packages; do
  cp -rP --remove-destination --preserve=links --no-preserve=ownership,timestamps "$package/." "$out/"
  find "$out" -type d ! -perm -200 -exec chmod u+w {} +
done
cd "$out"
mkdir -p usr/bin etc
rm -rf boot var usr/share/bash-completion usr/share/bug

# What the packages' maintainer scripts would have set up.
alternative() { # LINK TARGET
  if [ -e "$2" ] && [ ! -e "$1" ]; then ln -s "${2##*/}" "$1"; fi
}
alternative usr/bin/sh usr/bin/bash
alternative usr/bin/awk usr/bin/gawk
alternative usr/bin/cc usr/bin/gcc
alternative usr/bin/c++ usr/bin/g++
alternative usr/bin/python usr/bin/python3
cat > etc/passwd <<'END'
root:x:0:0:root:/build:/bin/sh
nobody:x:65534:65534:nobody:/:/usr/sbin/nologin
END
cat > etc/group <<'END'
root:x:0:
nogroup:x:65534:
END
