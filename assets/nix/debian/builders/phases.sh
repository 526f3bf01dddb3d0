# The phases of a build from source, with nixpkgs' names and meanings: unpack, patch, configure, build, check,
# install, fixup. Each is a variable with commands, or what is here; before and after it the commands of preNAME and
# postNAME. Lists such as makeFlags are words.
set -o pipefail
cd "/build/$id"

has() { [ -n "${!1:-}" ]; }

unpack() {
  if has sourceRoot; then :; else sourceRoot=source; fi
  if ! has src; then
    mkdir -p "$sourceRoot"
  elif [ -d "$src" ]; then
    cp -rP "$src" "$sourceRoot"
  else
    mkdir -p .unpacking
    tar -xf "$src" -C .unpacking --no-same-owner
    # One directory in the archive, as is the custom, or its content.
    set -- .unpacking/*
    if [ "$#" = 1 ] && [ -d "$1" ]; then mv "$1" "$sourceRoot"; else mv .unpacking "$sourceRoot"; fi
  fi
  chmod -R u+w "$sourceRoot"
}
patches_() {
  local file
  for file in ${patches:-}; do
    echo "applying ${file##*/}"
    patch -p1 < "$file"
  done
}
configure() {
  if [ -x ./configure ]; then ./configure "--prefix=$out" ${configureFlags:-}; fi
}
makefile() { [ -e Makefile ] || [ -e makefile ] || [ -e GNUmakefile ] || has makefile; }
build() { if makefile; then make "-j${NIX_BUILD_CORES:-1}" ${makeFlags:-} ${buildFlags:-}; fi; }
check() { if makefile; then make ${makeFlags:-} ${checkFlags:-} "${checkTarget:-check}"; fi; }
install_() { if makefile; then make "prefix=$out" "PREFIX=$out" ${makeFlags:-} ${installFlags:-} install; fi; }
fixup() {
  # Counting needs the names of lines.
  if has dontStrip || has notes; then return; fi
  local directory
  for directory in bin sbin lib libexec; do
    if [ -d "$out/$directory" ]; then
      find "$out/$directory" -type f -exec sh -c 'for f; do strip -S "$f" 2>/dev/null || true; done' sh {} +
    fi
  done
}

phase() { # VARIABLE FUNCTION
  local name=${1%Phase} before after skip
  before=pre${name^} after=post${name^} skip=dont${name^}
  if has "$skip"; then return; fi
  echo "--- $name"
  eval "${!before:-}"
  if has "$1"; then eval "${!1}"; else "$2"; fi
  eval "${!after:-}"
}

# A compiler that instruments what it builds, as the words `gcc`, `cc` and so on.
if has notes; then
  # A copy, so that what is built does not remember the store's.
  cp "$dumper" /wrappers/dump.c
  gcc -O2 -fPIC -Wall -c -o /wrappers/dump.o /wrappers/dump.c
  for compiler in gcc cc g++ c++ c89 c99 x86_64-linux-gnu-gcc x86_64-linux-gnu-g++; do
    real=/usr/bin/$compiler
    if [ ! -e "$real" ]; then continue; fi
    { printf '#!/bin/bash\nreal=%s\n' "$real"; cat "$wrapper"; } > "/wrappers/$compiler"
    chmod +x "/wrappers/$compiler"
  done
fi

phase unpackPhase unpack
if [ -n "${sourceRoot:-}" ]; then cd "$sourceRoot"; else cd source; fi
source=$PWD
phase patchPhase patches_
phase configurePhase configure
cd "$source"
phase buildPhase build
if has doCheck; then
  touch "/tmp/checking"
  phase checkPhase check
  # The package's own tests are no part of what is measured.
  cd "/build/$id"
  find . -name '*.gcno' -newer /tmp/checking -delete
fi
cd "$source"
phase installPhase install_
phase fixupPhase fixup
if [ ! -e "$out" ]; then
  echo "the build has installed nothing: there is no $out" >&2
  exit 1
fi

# What counters mean: the compiler's notes beside the sources, and the gcov of the same compiler.
if has notes; then
  mkdir -p "$notes/bin"
  echo "$id" > "$notes/id"
  echo "/build/$id" > "$notes/directory"
  echo "$name" > "$notes/name"
  cd "/build/$id"
  find . -type f \( -name '*.gcno' -o -name '*.[chCH]' -o -name '*.cc' -o -name '*.cpp' -o -name '*.cxx' -o -name '*.c++' \
    -o -name '*.hh' -o -name '*.hpp' -o -name '*.hxx' -o -name '*.inc' -o -name '*.inl' -o -name '*.l' -o -name '*.y' \) -print0 |
    while IFS= read -r -d '' file; do
      mkdir -p "$notes/tree/${file%/*}"
      cp -p "$file" "$notes/tree/$file"
    done
  libraries=$environment/usr/lib/x86_64-linux-gnu
  printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$libraries/ld-linux-x86-64.so.2" "$libraries" \
    "$environment/usr/bin/gcov" > "$notes/bin/gcov"
  chmod +x "$notes/bin/gcov"
fi
