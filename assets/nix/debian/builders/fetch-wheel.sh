# Fetches one Python package with Debian's pip, run from its unpacked packages with its own libraries.
tree=$TMPDIR/tree
mkdir "$tree" "$TMPDIR/download"
for package in $tools; do cp -rP --no-preserve=all "$package/usr" "$tree/"; done
chmod +x "$tree"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
cat "$tree"/usr/share/ca-certificates/mozilla/*.crt > "$TMPDIR/certificates"
# The machine's own certificates go first, for there may be a company's among them.
if [ -z "${PIP_CERT:-}" ]; then
  if [ -s /etc/ssl/certs/ca-certificates.crt ]; then PIP_CERT=/etc/ssl/certs/ca-certificates.crt; else PIP_CERT=$TMPDIR/certificates; fi
  export PIP_CERT
fi
PYTHONHOME=$tree/usr PYTHONPATH=$tree/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1 \
  "$tree/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$tree/usr/lib/x86_64-linux-gnu" \
  "$(echo "$tree"/usr/bin/python3.*)" -m pip download --quiet --no-deps --no-cache-dir --disable-pip-version-check \
  --only-binary :all: --dest "$TMPDIR/download" "$name==$version" || {
  echo "pip could not fetch $name $version from the index this machine's pip is configured with" >&2
  exit 1
}
cp "$TMPDIR/download/$file" "$out"
