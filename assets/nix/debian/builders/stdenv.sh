# Builds a package from source in a root of its own: made of $environment, the store and /build/HASH-NAME, where the
# source is. That path follows from the package, so it is the same in every build.
#
# Unprivileged users may make such a root in name spaces of their own.
id=${out##*/}
export id
build=$TMPDIR/build
root=$TMPDIR/root
mkdir -p "$build" "$root" "$TMPDIR/tmp"
export build root
if ! unshare --user --map-root-user --mount true 2>/dev/null; then
  echo "building from source needs user name spaces, which this machine does not allow to $(id -un)" >&2
  echo "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces)" >&2
  exit 1
fi
exec unshare --user --map-root-user --mount --propagation private /bin/sh -eu -c '
  mount -t tmpfs -o mode=0755 tmpfs "$root"
  cd "$root"
  mkdir -p usr etc proc dev tmp root "build/$id" wrappers ".$store"
  # The variable NAME belongs to the package.
  for entry in bin sbin lib lib64; do ln -s "usr/$entry" "$entry"; done
  for entry in usr etc; do
    mount --rbind "$environment/$entry" "$entry"
    # Root of the machine could write into the store otherwise.
    mount -o remount,bind,ro "$entry" 2>/dev/null || true
  done
  mount --rbind /proc proc
  mount --rbind /dev dev
  mount --rbind "$store" ".$store"
  mount --bind "$TMPDIR/tmp" tmp
  mount --bind "$build" "build/$id"
  exec chroot "$root" /usr/bin/env -u TMPDIR -u TEMPDIR -u TMP -u TEMP -u NIX_BUILD_TOP -u PWD -u OLDPWD \
    HOME="/build/$id" PATH=/wrappers:/usr/sbin:/usr/bin SHELL=/bin/bash /bin/bash -eu "$phases"
'
