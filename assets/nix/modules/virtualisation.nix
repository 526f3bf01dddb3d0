# What a clone's machine is made of: memory, disks, interfaces and forwards, under the names of NixOS' VM module.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  topology = import ../lib/topology.nix lib;
  cfg = config.virtualisation;
  node = cfg.test.nodeName;
  refuse = message: throw "node ${node}: ${message}";
  checkVlan = option: vlan:
    if vlan >= 1 && vlan <= topology.maxVlan then vlan
    else refuse "${option} names VLAN ${toString vlan}; VLANs go from 1 to ${toString topology.maxVlan}, for their addresses are 192.168.VLAN.N";

  endpoint = what: types.submodule {
    options = {
      address = mkOption { type = types.str; default = ""; description = "Address of the ${what}; empty means 127.0.0.1 on the host and the machine's own in the guest."; };
      port = mkOption { type = types.ints.between 1 65535; description = "Port of the ${what}."; };
    };
  };
in
{
  options.virtualisation = {
    memorySize = mkOption { type = types.ints.between 16 1048576; default = 384; description = "Memory of the machine in MiB."; };
    cores = mkOption { type = types.ints.between 1 255; default = 1; description = "Number of virtual CPUs."; };
    diskSize = mkOption {
      type = types.nullOr (types.ints.between 16 16777216);
      default = 4096;
      description = "Size in MiB of the sparse disk that keeps the machine's state; null gives it none.";
    };
    useBootLoader = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the machine starts from a disk of its own, through its BIOS and boot loader, as the host does that it stands for; it has then none of what opens a clone.";
    };
    virtualNetwork = mkOption {
      type = types.bool;
      default = true;
      internal = true;
      description = "Whether the machine is on the virtual networks, whose addresses follow from the model.";
    };
    graphics = mkOption { type = types.bool; default = false; description = "Whether the machine has a display."; };
    restrictNetwork = mkOption { type = types.bool; default = false; description = "Whether eth0 leads nowhere but to forwarded ports."; };
    qemu.options = mkOption { type = types.listOf types.str; default = [ ]; example = [ "-device virtio-rng-pci" ]; description = "Further arguments for QEMU; each is split into words at blanks."; };
    vlans = mkOption {
      type = types.listOf types.int;
      default = if cfg.interfaces == { } then [ 1 ] else [ ];
      defaultText = lib.literalExpression "[ 1 ], or [ ] when virtualisation.interfaces names some";
      example = [ 1 2 ];
      description = "The virtual networks the machine is on: eth1 is on the first, eth2 on the second.";
      apply = map (checkVlan "virtualisation.vlans");
    };
    interfaces = mkOption {
      default = { };
      example = { lan = { vlan = 2; assignIP = false; }; };
      description = "Interfaces by name, beside those of virtualisation.vlans.";
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          vlan = mkOption { type = types.int; apply = checkVlan "virtualisation.interfaces.${name}.vlan"; description = "The virtual network it is on."; };
          assignIP = mkOption { type = types.bool; default = false; description = "Whether it gets the address 192.168.VLAN.N."; };
          name = mkOption { type = types.str; default = name; description = "Its name in the machine."; };
        };
      }));
    };
    allInterfaces = mkOption {
      internal = true;
      readOnly = true;
      type = types.raw;
      description = "All interfaces on virtual networks, in the machine's order.";
    };
    forwardPorts = mkOption {
      default = [ ];
      example = [{ host.port = 2222; guest.port = 22; }];
      description = "Ports of the host that lead into the machine.";
      type = types.listOf (types.submodule {
        options = {
          from = mkOption { type = types.enum [ "host" "guest" ]; default = "host"; description = "Which side listens; only the host can."; };
          proto = mkOption { type = types.enum [ "tcp" "udp" ]; default = "tcp"; description = "Transport."; };
          host = mkOption { type = endpoint "host's end"; default = { }; description = "Where the host listens."; };
          guest = mkOption { type = endpoint "machine's end"; default = { }; description = "Where the machine is reached."; };
        };
      });
    };
    test = {
      nodeName = mkOption { type = types.str; internal = true; readOnly = true; description = "The node's name in the model."; };
      scriptReferences = mkOption { type = types.str; default = ""; internal = true; description = "The store paths that the test script names, which a clone has."; };
      nodeNumber = mkOption { type = types.int; internal = true; readOnly = true; description = "The node's place among the sorted names, from 1."; };
    };
  };

  config = {
    virtualisation.allInterfaces = topology.interfaces cfg.test.nodeNumber cfg.vlans cfg.interfaces;
    assertions = map
      (f: {
        assertion = f.from == "host";
        message = "virtualisation.forwardPorts: `from = \"guest\"' is not supported, for a clone's guest reaches the host's loopback through 10.0.2.2 already";
      })
      cfg.forwardPorts;
  };
}
