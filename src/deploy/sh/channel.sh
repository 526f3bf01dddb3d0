# Orders in on standard input, events out, for one attempt. Arguments: TOKEN SEEN (lines to leave out).
PATH=$PATH:/run/current-system/sw/bin:/usr/bin:/bin
dir=/run/diorama/$1
if [ ! -p "$dir/in" ]; then
  printf '@%s absent %s\n' "$1" "$(readlink -f /run/current-system)"
  exit 0
fi
tail -n "+$(($2 + 1))" -f "$dir/events" &
tail=$!
trap 'kill $tail 2>/dev/null' EXIT
trap 'exit 0' HUP TERM INT PIPE
while read -r order; do
  # Opened for both, so that it never waits for a supervisor that has ended.
  printf '%s\n' "$order" 1<>"$dir/in"
done
