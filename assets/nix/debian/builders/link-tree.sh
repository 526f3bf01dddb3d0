# Makes a tree of symbolic links and copied files from lines of kind, path and source.
mkdir "$out"
tab=$(printf '\t')
while IFS=$tab read -r kind path source; do
  target=$out/$path
  mkdir -p "${target%/*}"
  if [ -e "$target" ] || [ -L "$target" ]; then
    echo "two sources want the path $path" >&2
    exit 1
  fi
  if [ "$kind" = copy ]; then cp "$source" "$target"; else ln -s "$source" "$target"; fi
done < "$entriesPath"
