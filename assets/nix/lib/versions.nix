# Parts of version numbers, under nixpkgs' names.
rec {
  splitVersion = builtins.splitVersion;
  part = n: v: let p = splitVersion v; in if builtins.length p > n then builtins.elemAt p n else "";
  major = part 0;
  minor = part 1;
  patch = part 2;
  majorMinor = v: "${major v}.${minor v}";
}
