# Runs a program of the packages with its own libraries and nothing of the host's: own NAME FILE ARGUMENT...
libraries=
for package in $tools; do
  if [ -d "$package/usr/lib/x86_64-linux-gnu" ]; then libraries=$libraries:$package/usr/lib/x86_64-linux-gnu; fi
done
loader=
for package in $tools; do
  if [ -e "$package/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" ]; then loader=$package/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2; fi
done
own() {
  name=$1
  shift
  "$loader" --argv0 "$name" --library-path "${libraries#:}" "$@"
}
