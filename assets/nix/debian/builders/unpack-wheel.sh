# Unpacks a wheel of pure Python as Debian's Python finds it.
target=$out/usr/lib/python3/dist-packages
mkdir -p "$target"
"$busybox/usr/bin/busybox" unzip -q "$wheel" -d "$target"
