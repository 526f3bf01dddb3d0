# What nixpkgs' own tests say to have somebody logged in on the display (nixos/tests/common/auto.nix).
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.test-support.displayManager.auto;
in
{
  options.test-support.displayManager.auto = {
    enable = mkOption { type = types.bool; default = false; description = "Whether somebody is logged in on the display without being asked."; };
    user = mkOption { type = types.str; default = "root"; description = "Who."; };
  };
  config = lib.mkIf cfg.enable {
    services.displayManager.autoLogin = { enable = true; inherit (cfg) user; };
  };
}
