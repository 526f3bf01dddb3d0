# Makes one report of tests that have passed: $out/index.html, beside what each test left, and the sum of their
# coverage when they have any.
umask 022
mkdir -p "$out/nix-support"
products=$out/nix-support/hydra-build-products
rows=
covered=
set -- $names
for test in $tests; do
  name=$1
  shift
  # Two tests of one name stay apart.
  directory=$name
  number=2
  while [ -e "$out/$directory" ]; do
    directory=$name-$number
    number=$((number + 1))
  done
  cp -rP "$test" "$out/$directory"
  chmod -R u+w "$out/$directory"
  rm -rf "$out/$directory/nix-support"
  log=log.ndjson
  for page in report.html index.html; do
    if [ -e "$test/$page" ]; then log=$page; fi
  done
  # The script itself is a test case too, without a subtest's name.
  cases=$(grep -c '<testcase ' "$test/junit.xml" || true)
  rows="$rows<tr><td><a href=\"$directory/$log\">$directory</a></td><td>$cases</td><td><a href=\"$directory/junit.xml\">junit.xml</a></td></tr>"
  echo "report junit $out $directory/junit.xml" >> "$products"
  if [ -e "$test/coverage/total.info" ]; then covered="$covered $test"; fi
done
coverage=
if [ -n "$covered" ]; then
  cp "$program" "$TMPDIR/diorama"
  chmod 0700 "$TMPDIR/diorama"
  HOME=$TMPDIR "$TMPDIR/diorama" coverage --out "$out/coverage" $covered
  coverage='<p><a href="coverage/html/index.html">Coverage</a> of all tests, by file and by machine</p>'
  echo "report coverage $out/coverage/html" >> "$products"
fi
cat > "$out/index.html" <<END
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Test report</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}td,th{text-align:left;padding:.2em 1em .2em 0}</style></head>
<body><h1>Test report</h1><table><tr><th>Test, passed</th><th>Cases</th><th></th></tr>$rows</table>$coverage</body></html>
END
echo "report report $out index.html" >> "$products"
