# Runs a test script against a clone of a network: $out has the reports. Fails when the script fails.
#
# Builders have no home and may not write anywhere else, and any number of them run at once: every directory of the
# program is this build's own.
top=$TMPDIR
run=$top/r
# A socket's path has at most 107 bytes, of which the program needs 71.
if [ "${#run}" -gt 36 ]; then
  run=$(mktemp -d /tmp/diorama.XXXXXX)
fi
mkdir -p -m 0700 "$run"
trap 'rm -rf "$run"' EXIT
# The program ends its machines when it is told to stop, and it has to be told.
trap 'kill -TERM "$child" 2>/dev/null; wait "$child"; exit 1' INT TERM HUP

cp "$program" "$top/diorama"
chmod 0700 "$top/diorama"
cp "$manifestPath" "$top/manifest.json"
cp "$testScriptPath" "$top/testScript.py"
export HOME="$top" XDG_RUNTIME_DIR="$run" TMPDIR="$top"
export DIORAMA_RUNTIME_DIR="$run" DIORAMA_STATE_DIR="$top/state" DIORAMA_CACHE_DIR="$top/cache" DIORAMA_DATA_DIR="$top/data"
unset DIORAMA_SESSION DIORAMA_ASSETS
cd "$top"
"$top/diorama" test "$top/manifest.json" --script "$top/testScript.py" --out "$out" $arguments </dev/null &
child=$!
status=0
wait "$child" || status=$?
if [ "$status" != 0 ]; then
  echo "the test failed (status $status); \`nix-build --keep-failed' keeps what a build leaves, and \`diorama test' runs it outside of one" >&2
  exit 1
fi

# What continuous builders show of it.
mkdir -p "$out/nix-support"
for page in index.html report.html; do
  if [ -e "$out/$page" ]; then echo "report testlog $out $page" >> "$out/nix-support/hydra-build-products"; fi
done
echo "report junit $out junit.xml" >> "$out/nix-support/hydra-build-products"
if [ -e "$out/coverage/html/index.html" ]; then
  echo "report coverage $out/coverage/html" >> "$out/nix-support/hydra-build-products"
fi
