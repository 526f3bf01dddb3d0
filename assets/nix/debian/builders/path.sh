# The commands of several packages in one directory: $out/bin.
mkdir -p "$out/bin"
for package in $packages; do
  for directory in bin sbin; do
    if [ ! -d "$package/$directory" ]; then continue; fi
    for program in "$package/$directory"/*; do
      if [ -e "$program" ] && [ ! -e "$out/bin/${program##*/}" ]; then ln -s "$program" "$out/bin/${program##*/}"; fi
    done
  done
done
