# Debian packages as derivations: read from the lock, fetched as fixed outputs, unpacked one by one.
{ lib, build, lock, mirrors, system, coverage }:
let
  # Store names allow neither `%` nor `~`.
  storeName = builtins.replaceStrings [ "%3a" "%3A" "%" "~" ":" ] [ "-" "-" "-" "=" "-" ];

  repository = name: label:
    mirrors.repositories.${label} or (throw ''
      the lock file takes the package `${name}` from the repository "${label}", which is not among
      this machine's apt sources (${toString (builtins.attrNames mirrors.repositories)}).
      Add it to the apt sources, or lock the model again.'');

  # Names that nixpkgs uses for what Debian calls otherwise.
  aliases = {
    apacheHttpd = "apache2";
    gawk = "gawk";
    gnugrep = "grep";
    gnused = "sed";
    gnutar = "tar";
    inetutils = "inetutils-telnet";
    iproute = "iproute2";
    iputils = "iputils-ping";
    nfs-utils = "nfs-common";
    openssh = "openssh-client";
    python = "python3";
    util-linuxMinimal = "util-linux";
    utillinux = "util-linux";
    vim = "vim-tiny";
    netcat = "netcat-openbsd";
    dnsutils = "bind9-dnsutils";
    dig = "bind9-dnsutils";
  };

  package = name: {
    type = "derivation";
    inherit name;
    pname = name;
    outPath = build.usrOf name;
    debianPackage = name;
    version = lock.packages.${name}.version or "unlocked";
    outputName = "out";
    meta.mainProgram = name;
  };

  index = if mirrors.names == null then [ ] else builtins.fromJSON (builtins.readFile mirrors.names);
  known = lib.genAttrs (index ++ builtins.attrNames lock.packages) package;

  # The set of a lock that covers exactly these root packages, or null.
  setOf = roots:
    let
      wanted = normal roots;
      found = builtins.filter (set: set.roots == wanted) lock.sets;
    in
    if found == [ ] then null else builtins.head found;
  normal = roots: builtins.attrNames (lib.genAttrs roots (name: null));

  source = import ./stdenv.nix {
    inherit lib build system coverage;
    packages = { inherit normal coveringSet unpacked; };
  };

  # The names of a set of the lock that covers exactly these roots, or null.
  coveringSet = roots: let set = setOf roots; in if set == null then null else set.packages;

  unpacked = builtins.mapAttrs
    (name: entry: build.run "${storeName name}-${storeName entry.version}" ./builders/unpack.sh { deb = fetch name entry; })
    lock.packages;

  fetch = name: entry:
    import <nix/fetchurl.nix> {
      name = storeName (baseNameOf entry.path);
      url = repository name entry.repository + entry.path;
      inherit (entry) sha256;
    };
in
rec {
  inherit fetch unpacked;

  inherit normal;

  # Packages that every machine has besides a kernel; they make up the image that machines share.
  basePackages = [
    "base-files" "bash" "bsdutils" "busybox-static" "ca-certificates" "coreutils" "dash" "dbus" "debianutils" "diffutils" "dpkg"
    "e2fsprogs" "findutils" "grep" "gzip" "hostname" "iproute2" "iputils-ping" "kmod" "less" "libc-bin"
    "libpam-modules" "libpam-runtime" "login" "lz4" "mawk" "mount" "nano" "ncurses-base" "ncurses-bin" "netbase"
    "passwd" "perl-base" "procps" "sed" "systemd" "systemd-sysv" "tar" "tzdata" "udev" "util-linux"
  ];
  # Packages that make a disk bootable; nothing of them is on the disk but the boot loader.
  imageTools = [ "grub-common" "grub-pc-bin" ];
  kernelPackages = [ "linux-image-cloud-amd64" "linux-image-amd64" ];

  # The root packages of the shared image below a machine with these root packages.
  baseOf = roots: normal (basePackages ++ builtins.filter (name: builtins.elem name kernelPackages) roots);

  # The names of all packages that a list of root packages needs.
  closureOf = roots:
    let set = setOf roots; in
    if set == null then throw "the lock file does not cover the packages ${toString (normal roots)}; lock the model again"
    else set.packages;

  # What the lock does not cover yet of several lists of root packages, each once, and of the images below.
  missingSets = sets: lib.unique (builtins.filter (roots: setOf roots == null)
    (lib.concatMap (roots: [ (baseOf roots) (normal roots) ]) sets));

  # The same of sets that builds from source need.
  missingBuildSets = sets: lib.unique (builtins.filter (roots: setOf roots == null) (map normal sets));

  # One erofs image of packages, merged; `below` are the packages of the images it is stacked on.
  layer = name: names: below: trees:
    build.run "layer-${name}" ./builders/layer.sh {
      packages = map (package: unpacked.${package}) names ++ trees;
      below = map (package: unpacked.${package}) below;
      libc = unpacked.libc6;
      erofsOptions = "-zlz4";
      uuid = build.uuidOf (toString (names ++ map (package: lock.packages.${package}.sha256) names));
    };

  # A Python package that Debian does not have, as a tree: fetched by Debian's own pip from the index that
  # this machine's pip is configured with.
  wheel = { name, version, file, sha256 }:
    let
      tools = map (package: unpacked.${package} or (throw "the lock file has no ${package}, by which ${name} is fetched"))
        [ "python3.11-minimal" "libpython3.11-minimal" "libpython3.11-stdlib" "python3-pip" "ca-certificates" "libssl3" "libexpat1" "zlib1g" "libffi8" "libc6" "libbz2-1.0" "liblzma5" "libuuid1" "python3-setuptools" "python3-pkg-resources" "python3-distutils" "python3-wheel" ];
      fetched = build.run (storeName file) ./builders/fetch-wheel.sh {
        inherit name version file tools;
        outputHashMode = "flat";
        outputHashAlgo = "sha256";
        outputHash = sha256;
        impureEnvVars = [
          "HOME" "XDG_CONFIG_HOME" "PIP_CONFIG_FILE" "PIP_INDEX_URL" "PIP_EXTRA_INDEX_URL" "PIP_FIND_LINKS" "PIP_CERT" "PIP_PROXY"
          "PIP_TRUSTED_HOST" "PIP_DEFAULT_TIMEOUT" "http_proxy" "https_proxy" "all_proxy" "no_proxy" "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE"
        ];
      };
    in
    build.run "python3-${lib.toLower name}-${version}" ./builders/unpack-wheel.sh { wheel = fetched; busybox = unpacked.busybox-static; };

  pkgs = known // builtins.mapAttrs (alias: name: known.${name} or (package name)) aliases // {
    inherit lib;
    # What NixOS' boot.kernelPackages is set to; the kernel is Debian's.
    linuxPackages = { };
    runtimeShell = "/bin/bash";
    linuxPackages_latest = { };
    inherit (build) runCommand writeText writeTextDir writeTextFile writeScript writeShellScript writeScriptBin writeShellScriptBin;
    writers.writeBash = build.writeShellScript;
    system = "x86_64-linux";
    inherit (source) stdenv addCoverageInstrumentation;
    stdenvAdapters = { inherit (source) addCoverageInstrumentation; };
    fetchurl = { url, sha256, name ? baseNameOf url, executable ? false, ... }:
      import <nix/fetchurl.nix> { inherit url sha256 name executable; };
  };
}
