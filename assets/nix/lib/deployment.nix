# From a network evaluated for production to what is deployed where; src/deploy/model.rs reads it.
#
# What the infrastructure says about a host comes before what its own configuration says (deployment.*).
lib:
{ network, infrastructure }:
let
  inherit (builtins) mapAttrs filter elem head;
  inherit (lib) optionalAttrs showValue;
  infrastructures = import ./infrastructure.nix lib;
  errors = import ./errors.nix lib;
  drvsOf = import ./drvs-of.nix;
  inherit (import ./keys.nix lib) keysOf;
  toplevelOf = config: "${config.system.build.toplevel}";

  sudoOf = value:
    if value == true then [ "sudo" "-H" "--" ]
    else if value == false || value == null then [ ]
    else if builtins.isString value then filter (w: w != "") (lib.splitString " " value)
    else value;

  target = node: config:
    let
      given = infrastructure.${node}.fields;
      own = config.deployment or { };
      choose = field: other: default: given.${field} or (let v = own.${other} or null; in if v == null then default else v);
      hostName = choose "hostName" "targetHost" node;
      platform = network.platformOf node;
      system = given.system or platform;
      user = choose "targetUser" "targetUser" "root";
      after = choose "after" "after" [ ];
      strangers = filter (n: !(elem n network.names)) after;
    in
    if strangers != [ ] then
      throw "node ${node}: it is to come after `${head strangers}', which is no node of the network.${errors.didYouMean (errors.nearest (head strangers) network.names)}"
    else if system != platform then
      throw "node ${node}: the infrastructure says that its host is ${showValue 1 system}, and its system is built for ${platform} here"
    else {
      inherit hostName system after;
      toplevel = toplevelOf config;
      addresses = given.addresses or [ ];
      targetUser = user;
      targetPort = choose "targetPort" "targetPort" null;
      sshOptions = choose "sshOptions" "sshOptions" [ ];
      # Root needs nobody's leave.
      sudo = if given ? sudo then sudoOf given.sudo else if user == "root" then [ ] else sudoOf (own.privilegeEscalationCommand or true);
      tags = lib.unique (given.tags or [ ] ++ own.tags or [ ]);
      buildOnTarget = choose "buildOnTarget" "buildOnTarget" false;
      healthChecks = infrastructures.checks node (choose "healthChecks" "healthChecks" [ ]);
    } // keysOf config;
in
{
  deployment = builtins.seq network.sane {
    version = 1;
    network = { inherit (network) name; system = network.system.name; }
      // optionalAttrs (network.description != null) { inherit (network) description; };
    nodes = mapAttrs target network.configs;
  };
  realise = mapAttrs (_: config: drvsOf (toplevelOf config)) network.configs;
}
