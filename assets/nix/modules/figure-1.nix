# Option names of 2010, as the paper's Figure 1 writes them, led to today's.
{ lib, ... }:
{
  imports = [
    (lib.mkAliasOptionModule [ "services" "nfsd" "enable" ] [ "services" "nfs" "server" "enable" ])
    (lib.mkAliasOptionModule [ "services" "nfsd" "exports" ] [ "services" "nfs" "server" "exports" ])
  ];
}
