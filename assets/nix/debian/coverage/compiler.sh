# Calls the compiler so that what it makes counts the lines that are executed, and links what writes the counters.
# Optimisation would move lines into each other.
files= linking=1
for argument; do
  case $argument in
    -c | -S | -E | -M | -MM | -r | -nostdlib | -nostartfiles | -fsyntax-only) linking= ;;
    -*) ;;
    *) files=1 ;;
  esac
done
if [ -z "$files" ]; then exec "$real" "$@"; fi
if [ -n "$linking" ]; then set -- "$@" /wrappers/dump.o; fi
exec "$real" "$@" --coverage -O0 -fprofile-update=atomic
