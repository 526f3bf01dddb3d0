# A machine's secrets as the program reads them, and the texts among them, which go a way of their own.
#
# Invariant: no text is in what `keysOf` gives, so it may be in manifests, records and derivations.
lib:
let
  inherit (builtins) mapAttrs;
  deploymentOf = config: config.deployment or { };
  source = key:
    if key.text != null then { kind = "text"; }
    else if key.keyCommand != null then { kind = "command"; command = key.keyCommand; }
    else { kind = "file"; path = key.keyFile; };
  ofKey = _: key: { inherit (key) path user group permissions uploadAt; source = source key; };
  ofSecret = _: secret: {
    path = secret.destination;
    inherit (secret.owner) user group;
    inherit (secret) permissions uploadAt mkDirs action;
    source = { kind = "file"; path = secret.source; };
  };
in
{
  keysOf = config:
    let
      deployment = deploymentOf config;
      keys = mapAttrs ofKey (deployment.keys or { }) // mapAttrs ofSecret (deployment.secrets or { });
    in
    lib.optionalAttrs (keys != { }) { inherit keys; };

  textsOf = configs: lib.filterAttrs (_: texts: texts != { }) (mapAttrs
    (_: config: mapAttrs (_: key: key.text) (lib.filterAttrs (_: key: key.text != null) ((deploymentOf config).keys or { })))
    configs);
}
