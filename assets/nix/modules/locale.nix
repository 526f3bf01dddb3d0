# Time zone and language.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    time.timeZone = mkOption { type = types.nullOr types.str; default = null; example = "Europe/Amsterdam"; description = "The time zone; UTC when null."; };
    i18n.defaultLocale = mkOption { type = types.enum [ "C.UTF-8" "C" "POSIX" ]; default = "C.UTF-8"; description = "The language; the package images hold only C.UTF-8."; };
  };
  config.environment.etc = {
    "localtime".source = "/usr/share/zoneinfo/${if config.time.timeZone == null then "Etc/UTC" else config.time.timeZone}";
    "timezone".text = "${if config.time.timeZone == null then "Etc/UTC" else config.time.timeZone}\n";
    "locale.conf".text = "LANG=${config.i18n.defaultLocale}\n";
    "default/locale".text = "LANG=${config.i18n.defaultLocale}\n";
    "mtab".source = "/proc/self/mounts";
  };
}
