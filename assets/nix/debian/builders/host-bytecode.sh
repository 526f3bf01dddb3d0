# A package's Python byte code, which is valid whatever the time stamps say; nothing but the byte code.
. "$own"
mkdir "$out"
cd "$package"
mkdir "$TMPDIR/sources"
find usr/lib/python3* usr/share -name '*.py' 2>/dev/null | sort | while read -r file; do
  mkdir -p "$TMPDIR/sources/${file%/*}"
  cp --no-preserve=all "$file" "$TMPDIR/sources/$file"
done
cd "$TMPDIR/sources"
if [ -d usr ]; then
  # Some files are for other versions of Python and do not compile; the others do.
  PYTHONHOME=$minimal/usr PYTHONPATH=$library/usr/lib/python3.11 PYTHONDONTWRITEBYTECODE=1 \
    own python3.11 "$python/usr/bin/python3.11" -m compileall -q \
    --invalidation-mode unchecked-hash -s "$TMPDIR/sources" -p / usr >/dev/null || true
  find usr -name '*.pyc' | while read -r file; do
    mkdir -p "$out/${file%/*}"
    cp "$file" "$out/$file"
  done
fi
