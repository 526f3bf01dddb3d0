# In place of nixpkgs' lib.
import ../../../../assets/nix/lib // { isNixpkgs = true; }
