#!/bin/sh
# Composes a system's /usr as a tree of hard links to its packages, and prints where: compose-usr SYSTEM [ROOT]
#
# Runs in the initrd, where `cp` is busybox's and the disk is mounted at ROOT, and on the running host. A tree is
# made beside its name and renamed, so one that has its name is whole.
set -eu
system=$1
root=${2-}
list=$(readlink "$system/usr-trees")
name=${list##*/}
tree=$root/var/diorama/usr/${name%%-*}
if [ ! -d "$tree" ]; then
  mkdir -p "$root/var/diorama/usr"
  rm -rf "$tree.new"
  mkdir "$tree.new"
  set --
  while read -r package; do
    if [ -d "$package/usr" ]; then set -- "$@" "$package/usr/."; fi
  done < "$list"
  # One call for all packages: called for each it takes fifteen times as long.
  if ! cp -alf "$@" "$tree.new/"; then
    rm -rf "$tree.new"
    exit 1
  fi
  chmod 755 "$tree.new"
  mv "$tree.new" "$tree"
fi
echo "$tree"
