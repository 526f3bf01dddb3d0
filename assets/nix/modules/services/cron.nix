# Commands at times of the day, as timers: crontab lines that need no cron daemon.
{ config, lib, ... }:
let
  inherit (lib) mkOption mkEnableOption types imap1;
  cfg = config.services.cron;

  days = [ "Sun" "Mon" "Tue" "Wed" "Thu" "Fri" "Sat" "Sun" ];
  shortcuts = {
    "@hourly" = "hourly"; "@daily" = "daily"; "@midnight" = "daily"; "@weekly" = "weekly"; "@monthly" = "monthly"; "@yearly" = "yearly";
  };
  # One field of a crontab in systemd's words: `*/5` counts from zero, a list and a range stay.
  field = start: f:
    let every = builtins.match "[*]/([0-9]+)" f; in
    if f == "*" then "*"
    else if every != null then "${start}/${builtins.head every}"
    else builtins.replaceStrings [ "-" ] [ ".." ] f;
  day = f: builtins.concatStringsSep "," (map
    (part:
      let ends = lib.splitString "-" part; one = d: if builtins.match "[0-7]" d != null then builtins.elemAt days (lib.toInt d) else d; in
      builtins.concatStringsSep ".." (map one ends))
    (lib.splitString "," f));
  parse = line:
    let
      short = builtins.match "[[:space:]]*(@[a-z]+)[[:space:]]+([^[:space:]]+)[[:space:]]+(.+)" line;
      long = builtins.match "[[:space:]]*([^[:space:]]+)[[:space:]]+([^[:space:]]+)[[:space:]]+([^[:space:]]+)[[:space:]]+([^[:space:]]+)[[:space:]]+([^[:space:]]+)[[:space:]]+([^[:space:]]+)[[:space:]]+(.+)" line;
      at = builtins.elemAt;
    in
    if short != null && shortcuts ? ${at short 0} then { when = shortcuts.${at short 0}; user = at short 1; command = at short 2; }
    else if long != null then {
      when = "${lib.optionalString (at long 4 != "*") "${day (at long 4)} "}*-${field "1" (at long 3)}-${field "1" (at long 2)} ${field "0" (at long 1)}:${field "0" (at long 0)}:00";
      user = at long 5;
      command = at long 6;
    }
    else throw "services.cron.systemCronJobs: ${builtins.toJSON line} is not a crontab line: MINUTE HOUR DAY MONTH WEEKDAY USER COMMAND";
in
{
  options.services.cron = {
    enable = mkEnableOption "commands at times of the day";
    mailto = mkOption { type = types.nullOr types.str; default = null; description = "Accepted for NixOS' sake: what commands print goes to the journal, and nobody gets mail."; };
    systemCronJobs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "*/5 * * * * root date >> /tmp/now" ];
      description = "Lines as in /etc/crontab: MINUTE HOUR DAY MONTH WEEKDAY USER COMMAND.";
    };
  };

  config = lib.mkIf (cfg.enable || cfg.systemCronJobs != [ ]) {
    systemd.services = builtins.listToAttrs (imap1
      (i: line:
        let job = parse line; in
        lib.nameValuePair "cron-${toString i}" {
          description = "cron: ${job.command}";
          startAt = job.when;
          script = job.command;
          serviceConfig = { Type = "oneshot"; User = job.user; };
        })
      cfg.systemCronJobs);
  };
}
