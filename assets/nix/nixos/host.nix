# What makes a NixOS machine a host of a network in production: where it goes and everyone's addresses, and nothing of
# the virtual machine. What a model says about its clone is accepted and means nothing here.
{ config, lib, nodes, ... }:
let
  inherit (lib) mkOption types;
  addresses = import ../lib/host-addresses.nix lib (builtins.attrValues nodes);
  seen = addresses.addressesSeen config;
  primary = family: let all = seen config family; in
    if all == [ ]
    then throw "node ${config.networking.hostName}: something in the model asks for its address (networking.primaryIPAddress), and as a host it has none that the model knows: give it one in networking.interfaces.NAME.${family}.addresses, in its module or in the infrastructure's"
    else builtins.head all;
  hosts = family: lib.concatMapStrings
    (node:
      let all = seen node family; in
      lib.optionalString (all != [ ])
        "${builtins.head all} ${lib.optionalString (node.networking.domain != null) "${node.networking.hostName}.${node.networking.domain} "}${node.networking.hostName}\n")
    (builtins.attrValues nodes);
  # Of the clone alone.
  ofTheClone = description: mkOption { type = types.anything; default = null; inherit description; };
in
{
  imports = [ ../modules/deployment.nix ] ++ lib.optionals (lib ? mkAliasOptionModule) [
    (lib.mkAliasOptionModule [ "services" "nfsd" "enable" ] [ "services" "nfs" "server" "enable" ])
    (lib.mkAliasOptionModule [ "services" "nfsd" "exports" ] [ "services" "nfs" "server" "exports" ])
  ];

  options = {
    virtualisation = lib.genAttrs
      [ "memorySize" "cores" "diskSize" "graphics" "vlans" "interfaces" "restrictNetwork" "useBootLoader" "qemu" "writableStore" ]
      (name: ofTheClone "The clone's ${name}.")
    // { forwardPorts = mkOption { type = types.anything; default = [ ]; description = "The clone's forwardPorts."; }; };
    networking = {
      primaryIPAddress = mkOption { type = types.str; readOnly = true; description = "The first IPv4 address of the host that no other has."; };
      primaryIPv6Address = mkOption { type = types.str; readOnly = true; description = "The first IPv6 address of the host that no other has."; };
      ipAddress = mkOption { type = types.str; readOnly = true; description = "The same as networking.primaryIPAddress."; };
    };
  };

  config.networking = {
    primaryIPAddress = primary "ipv4";
    primaryIPv6Address = primary "ipv6";
    ipAddress = config.networking.primaryIPAddress;
    extraHosts = hosts "ipv4" + hosts "ipv6";
  };
}
