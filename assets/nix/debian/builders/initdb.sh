# Makes an empty database cluster with the packages' own PostgreSQL, once here instead of slowly in every
# emulated machine: $out/usr/share/diorama/postgresql-VERSION.tar. Where it cannot run, $out stays without
# it, and the machine makes its cluster itself.
mkdir -p "$out/usr/share/diorama"
bin=$postgresql/usr/lib/postgresql/$version/bin
libraries=
for package in $packages; do
  # The host's own C library loads the programs, so its own copy must stay.
  case $package in *-libc6-*) continue ;; esac
  if [ -d "$package/usr/lib/x86_64-linux-gnu" ]; then libraries=$libraries:$package/usr/lib/x86_64-linux-gnu; fi
done
# It refuses to run as root; a user name space makes it believe it does not.
if [ "$(id -u)" = 0 ]; then as="unshare --user --map-user=1000 --map-group=1000"; else as=; fi
if LD_LIBRARY_PATH=${libraries#:} $as "$bin/initdb" -U postgres --no-sync --locale=C.UTF-8 --encoding=UTF8 \
  --auth=peer --wal-segsize=4 -D "$TMPDIR/data" >"$TMPDIR/log" 2>&1; then
  tar -C "$TMPDIR/data" --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner \
    -cf "$out/usr/share/diorama/postgresql-$version.tar" .
else
  cat "$TMPDIR/log" >&2
fi
rm -rf "$TMPDIR/data"
