#!/bin/bash
# In a machine: makes running programs write their coverage data, and prints all of it as a tar archive.
#
#   collect flush    only the counters of what the package set's compiler instrumented
#   collect          these, then every hook's flush and toLcov, then the archive on standard output
#
#   gcov/uUID/build/…   counters      lcov/NAME.info   tracefiles      sources/…   the files these name
#   problems            one a line
signal=62
directory=/var/lib/coverage
hooks=/etc/diorama/coverage/hooks
work=$(mktemp -d /run/coverage.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
: > "$work/problems"

# Instrumented programs have a thread of the name "gcov-dump N", where N counts how often it wrote.
flush() {
  local comm word count pid asked=() told=' '
  for comm in /proc/[0-9]*/task/[0-9]*/comm; do
    { read -r word count < "$comm"; } 2>/dev/null || continue
    [ "$word" = gcov-dump ] || continue
    asked+=("$comm $count")
    pid=${comm#/proc/}
    pid=${pid%%/*}
    case $told in *" $pid "*) continue ;; esac
    told="$told$pid "
    kill -"$signal" "$pid" 2>/dev/null
  done
  local deadline=$((SECONDS + 30)) entry before
  for entry in "${asked[@]}"; do
    comm=${entry% *}
    before=${entry##* }
    while { read -r word count < "$comm"; } 2>/dev/null && [ "$count" = "$before" ]; do
      if [ "$SECONDS" -ge "$deadline" ]; then
        pid=${comm#/proc/}
        echo "process ${pid%%/*} ($(tr '\0' ' ' < "/proc/${pid%%/*}/cmdline")) did not write its counters" >> "$work/problems"
        break
      fi
      sleep 0.05
    done
  done
}

flush
if [ "${1:-}" = flush ]; then
  cat "$work/problems" >&2
  sync
  exit 0
fi
mkdir -p "$work/lcov"
while IFS=$'\t' read -r name flush convert; do
  "$flush" > "$work/log" 2>&1 < /dev/null ||
    echo "the hook $name: its flush failed: $(tail -n 1 "$work/log")" >> "$work/problems"
  "$convert" > "$work/lcov/$name.info" 2> "$work/log" < /dev/null ||
    echo "the hook $name: its toLcov failed: $(tail -n 1 "$work/log")" >> "$work/problems"
done < "$hooks"
# What tracefiles name is known in this machine alone.
mkdir "$work/sources"
cat "$work"/lcov/*.info 2>/dev/null | sed -n 's/^SF:\(\/.*\)$/\1/p' | sort -u |
  while IFS= read -r file; do
    if [ -f "$file" ]; then
      mkdir -p "$work/sources${file%/*}"
      cp -L "$file" "$work/sources$file"
    fi
  done
# Programs that a hook has stopped have written their counters on the way out.
counters=()
mkdir -p "$directory"
for user in "$directory"/u[0-9]*; do
  if [ -d "$user/build" ]; then counters+=("${user##*/}/build"); fi
done
# A directory with nothing to take from it is an error to tar.
if [ "${#counters[@]}" -gt 0 ]; then counters=(-C "$directory" "${counters[@]}"); fi
tar -cf - --format=gnu --ignore-failed-read --transform='s,^u\([0-9]*\)/build,gcov/u\1/build,' \
  -C "$work" problems lcov sources "${counters[@]}"
status=$?
# A program that still runs may have written a file meanwhile, which tar only remarks on.
[ "$status" -le 1 ]
