# All certificates in one file, as Debian's update-ca-certificates makes it.
mkdir -p "$out/etc/ssl/certs"
find "$package/usr/share/ca-certificates" -name '*.crt' | sort | while read -r certificate; do
  cat "$certificate"
  echo
done > "$out/etc/ssl/certs/ca-certificates.crt"
