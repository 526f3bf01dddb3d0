# What a host is made of that a clone is not: its packages stay single store paths, so that a changed one travels
# alone. `/usr` is composed of them on the host itself (guest/host-compose-usr.sh); what Debian's maintainer scripts
# would have generated is a few small paths beside them.
{ lib, build, packages }:
let
  inherit (packages) unpacked closureOf;
  paths = map (name: unpacked.${name} or (throw "the lock file has no package ${name}; lock the model again"));

  perl = name: program: attrs: build.run name ./builders/perl.sh ({ inherit program; } // attrs);

  # Links that stand for Debian's alternatives, where the target is there and the link is not; the first one wins.
  alternatives = [
    "usr/bin/sh dash" "usr/bin/awk mawk" "usr/bin/nawk mawk" "usr/bin/pager less" "usr/bin/which which.debianutils"
    "usr/bin/editor nano" "usr/bin/w w.procps" "usr/bin/lzma xz" "usr/bin/vi vim.basic" "usr/bin/vim vim.basic"
    "usr/bin/nc nc.openbsd" "usr/bin/nc nc.traditional" "usr/bin/ping ping.iputils" "usr/sbin/rmt rmt-tar"
  ];

  # Packages whose Python code is compiled beforehand. Others' code runs as well, and starts a little later.
  isPython = name: builtins.match "python3.*|libpython3.*-(stdlib|minimal)" name != null;
  bytecodeOf = names: name: tree:
    build.run "bytecode-${name}" ./builders/host-bytecode.sh {
      package = tree;
      own = ./builders/own.sh;
      tools = paths (builtins.filter (tool: builtins.elem tool names) [ "libc6" "zlib1g" "libexpat1" "libssl3" "libffi8" ]);
      minimal = unpacked."libpython3.11-minimal";
      library = unpacked."libpython3.11-stdlib";
      python = unpacked."python3.11-minimal";
    };
in
rec {
  # The trees that are merged to a host's /usr and /etc, in order.
  treesOf = { names, kernelPackage, extraTrees }:
    let
      hasPython = builtins.elem "python3.11-minimal" names && builtins.elem "libpython3.11-stdlib" names;
      all = paths names ++ extraTrees;
    in
    all
    ++ [
      (perl "links" ./builders/host-links.pl { packages = all; alternatives = lib.concatStringsSep "\n" alternatives; })
      (build.run "modules-${kernelPackage}" ./builders/host-modules.sh {
        own = ./builders/own.sh;
        linux = unpacked.${kernelPackage};
        kmod = unpacked.kmod;
        tools = paths [ "libc6" "libkmod2" "libzstd1" "liblzma5" "libssl3" ];
      })
    ]
    ++ lib.optional (builtins.elem "ca-certificates" names)
      (build.run "certificates" ./builders/host-certificates.sh { package = unpacked.ca-certificates; })
    ++ lib.optionals hasPython (
      map (name: bytecodeOf names name unpacked.${name}) (builtins.filter isPython names)
      ++ map (tree: bytecodeOf names "extra" tree) extraTrees);

  # The trees' /etc below the system's own, as links.
  etcOf = trees: entries: perl "etc" ./builders/host-etc.pl {
    packages = trees;
    entries = lib.concatMapStrings (entry: "${entry.path}\t${entry.source}\n") entries;
    passAsFile = [ "entries" ];
  };

  # A bootable disk with a system, of a size in MiB.
  diskImage = { name, names, toplevel, size }:
    let
      uuid = build.uuidOf "${toplevel}";
    in
    build.run "disk-${name}" ./builders/disk-image.sh {
      self = ./builders/disk-image.sh;
      own = ./builders/own.sh;
      exportReferencesGraph = [ "graph" toplevel ];
      tools = paths (lib.unique (names ++ closureOf packages.imageTools));
      nix = unpacked.nix-bin;
      grub = unpacked.grub-pc-bin;
      grubTools = unpacked.grub-common;
      e2fsprogs = unpacked.e2fsprogs;
      grubMenu = ../../guest/host-grub.pl;
      bootSector = ./builders/boot-sector.pl;
      inherit toplevel size uuid;
    };
}
