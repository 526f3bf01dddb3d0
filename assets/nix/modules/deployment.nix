# deployment.*: where a node is in production and how it is reached, for who has no infrastructure model of its own.
# The names are Colmena's, NixOps' and morph's.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  own = config.deployment;
  refused = description: mkOption { type = types.attrs; default = { }; inherit description; };
  accepted = description: mkOption { type = types.bool; default = false; inherit description; };
in
{
  # What other tools' networks ask for and cannot be had is refused, not forgotten.
  config.assertions = [
    {
      assertion = own.keys == { };
      message = "deployment.keys (${lib.concatStringsSep ", " (builtins.attrNames own.keys)}): secrets are not carried to hosts; bring them there by other means, and name the file";
    }
    {
      assertion = own.secrets == { };
      message = "deployment.secrets (${lib.concatStringsSep ", " (builtins.attrNames own.secrets)}): secrets are not carried to hosts; bring them there by other means, and name the file";
    }
    {
      assertion = own.targetEnv == "none";
      message = "deployment.targetEnv = \"${own.targetEnv}\": machines are not made in clouds here; make them with another tool, and name them with targetHost";
    }
    {
      assertion = own.preDeployChecks == { };
      message = "deployment.preDeployChecks: a plan makes the healthChecks before a deployment; say these there";
    }
  ];

  options.deployment = {
    keys = refused "Colmena's and NixOps' secrets, which are refused.";
    secrets = refused "morph's secrets, which are refused.";
    preDeployChecks = refused "morph's checks before a deployment, which are refused.";
    targetEnv = mkOption { type = types.str; default = "none"; description = "NixOps' kind of machine; only `none' means something here."; };
    hasFastConnection = accepted "Accepted for NixOps' sake; the line's speed is measured.";
    alwaysActivate = accepted "Accepted for NixOps' sake.";
    substituteOnDestination = accepted "Accepted for morph's sake.";
    tags = mkOption { type = types.listOf types.str; default = [ ]; description = "Words to select nodes by."; };
    targetHost = mkOption { type = types.nullOr types.str; default = null; example = "web.example.org"; description = "The host's name or address; the node's name when null."; };
    targetPort = mkOption { type = types.nullOr types.int; default = null; description = "SSH's port."; };
    targetUser = mkOption { type = types.nullOr types.str; default = null; description = "Who logs in; root when null."; };
    sshOptions = mkOption { type = types.listOf types.str; default = [ ]; example = [ "-J" "gate.example.org" ]; description = "Further words for ssh."; };
    privilegeEscalationCommand = mkOption { type = types.listOf types.str; default = [ "sudo" "-H" "--" ]; description = "What a user other than root becomes root with."; };
    buildOnTarget = mkOption { type = types.bool; default = false; description = "Whether the host builds its own system."; };
    after = mkOption { type = types.listOf types.str; default = [ ]; example = [ "database" ]; description = "Nodes that are activated before this one."; };
    healthChecks = mkOption {
      type = types.either (types.listOf types.attrs) types.attrs;
      default = [ ];
      example = [{ kind = "http"; port = 80; path = "/"; status = 200; body = "Welcome"; timeout = 30; }];
      description = "What must hold before a deployed system is kept: { command; }, { port; } or { kind = \"http\"; port; path; status; body; }, each with a timeout in seconds; or morph's set.";
    };
    allowLocalDeployment = mkOption { type = types.bool; default = false; description = "Accepted for Colmena's sake."; };
    replaceUnknownProfiles = mkOption { type = types.bool; default = true; description = "Accepted for Colmena's sake; the drift guard asks instead."; };
  };
}
