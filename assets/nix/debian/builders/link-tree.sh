# Makes a tree of symbolic links from lines of path and source.
mkdir "$out"
tab=$(printf '\t')
while IFS=$tab read -r path source; do
  target=$out/$path
  mkdir -p "${target%/*}"
  if [ -e "$target" ] || [ -L "$target" ]; then
    echo "two sources want the path $path" >&2
    exit 1
  fi
  ln -s "$source" "$target"
done < "$entriesPath"
