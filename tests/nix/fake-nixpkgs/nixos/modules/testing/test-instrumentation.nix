# nixpkgs' back door, of which the seam needs nothing but that it is there.
{ }
