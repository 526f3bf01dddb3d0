# In place of nixpkgs' package set.
{ system, ... }: { hello = derivation { name = "hello"; inherit system; builder = "/bin/sh"; }; isNixpkgs = true; }
