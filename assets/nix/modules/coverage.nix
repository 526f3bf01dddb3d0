# Coverage: what counts in a machine is written where it can be collected, at the end of a test and before the
# machine goes off.
#
#   /var/lib/coverage/uUID/build/…   counters of what the package set's compiler instrumented, by user
#   /var/lib/coverage/…              whatever the hooks of coverage.hooks keep there
{ config, lib, diorama, ... }:
let
  inherit (diorama) build;
  inherit (lib) mkOption types;
  cfg = config.coverage;

  hookLines = lib.concatStrings (lib.mapAttrsToList
    (name: hook: "${name}\t${build.writeScript "coverage-flush-${name}" "#!/bin/bash\n${hook.flush}\n"}\t${build.writeScript "coverage-${name}" "#!/bin/bash\nset -eu -o pipefail\n${hook.toLcov}\n"}\n")
    cfg.hooks);
  collect = build.runCommand "coverage-collect" { source = ../../guest/coverage.sh; } ''
    mkdir "$out"
    cp "$source" "$out/collect"
    chmod +x "$out/collect"
  '';

  # Every Python begins with `sitecustomize', which starts the measurement where the settings are named.
  pythonStart = build.writeTextFile {
    name = "coverage-python";
    destination = "/sitecustomize.py";
    text = ''
      try:
          import coverage
          coverage.process_startup()
      except ImportError:
          pass
    '';
  };
  pythonData = "/var/lib/coverage/python";
  pythonSettings = build.writeText "coveragerc" ''
    [run]
    parallel = true
    sigterm = true
    data_file = ${pythonData}/data
    include =
    ${lib.concatMapStrings (pattern: "    ${pattern}\n") cfg.python.include}
  '';
in
{
  options.coverage = {
    enable = mkOption {
      type = types.bool;
      default = false;
      defaultText = "whether the evaluation asks for coverage: `diorama test --coverage`, or `coverage = true` in Nix";
      description = "Whether this machine keeps coverage data for collection.";
    };
    hooks = mkOption {
      default = { };
      example = lib.literalExpression ''
        {
          python = {
            environment.COVERAGE_FILE = "/var/lib/coverage/python/data";
            flush = "systemctl stop app";
            toLcov = "cd /var/lib/coverage/python && python3-coverage combine -q && python3-coverage lcov -q -o -";
          };
        }
      '';
      description = "Coverage data of other kinds than the package set's compiler makes, by name.";
      type = types.attrsOf (types.submodule {
        options = {
          environment = mkOption { type = types.attrsOf types.str; default = { }; description = "Variables that tell programs where to keep their data; every service and every command of a test has them."; };
          flush = mkOption { type = types.lines; default = ""; example = "systemctl stop app"; description = "Shell commands, run in the machine at the end of the test, that make running programs write their data."; };
          toLcov = mkOption { type = types.lines; example = "coverage lcov -q -o -"; description = "Shell commands, run in the machine after that, that print the data as an lcov tracefile. The source files it names are collected from the machine too."; };
        };
      });
    };
    python.include = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "/srv/app/*" ];
      description = "Patterns for the files of Python programs to be measured. The programs need no change: every python3 of the machine's services and of a test's commands begins with Debian's python3-coverage.";
    };
    notes = mkOption { type = types.listOf types.str; internal = true; description = "Where the compiler's notes on instrumented packages are."; };
    collect = mkOption { type = types.listOf types.str; internal = true; description = "The command that prints a tar archive of the machine's coverage data."; };
  };

  config = lib.mkMerge [
    {
      coverage.notes = map
        (package: builtins.appendContext package.notes { ${package.drv}.outputs = [ "notes" ]; })
        config.system.build.coverageNotes;
      coverage.collect = [ "/bin/bash" "/etc/diorama/coverage/collect" ];
    }
    # Without coverage too, so that clones have the same package images and one lock is good for both.
    (lib.mkIf (config.virtualisation.clone && cfg.python.include != [ ]) {
      environment.systemPackages = [ diorama.pkgs.python3-coverage ];
    })
    (lib.mkIf (cfg.enable && cfg.python.include != [ ]) {
      systemd.tmpfiles.rules = [ "d ${pythonData} 1777 root root" ];
      coverage.hooks.python = {
        environment = { COVERAGE_PROCESS_START = "${pythonSettings}"; PYTHONPATH = "${pythonStart}"; };
        toLcov = ''
          unset COVERAGE_PROCESS_START PYTHONPATH
          cd ${pythonData}
          # A machine on which no such program ran has no data.
          if ! ls data.* >/dev/null 2>&1; then exit 0; fi
          python3-coverage combine --rcfile=${pythonSettings} --keep --quiet >&2
          python3-coverage lcov --rcfile=${pythonSettings} --quiet --ignore-errors -o lcov.info >&2
          cat lcov.info
        '';
      };
    })
    (lib.mkIf cfg.enable {
      environment.etc."diorama/coverage/collect".source = "${collect}/collect";
      environment.etc."diorama/coverage/hooks".text = hookLines;
      # Before anything starts that counts.
      system.activation = ''
        /bin/mkdir -p /var/lib/coverage
        /bin/chmod 1777 /var/lib/coverage
      '';
      systemd.globalEnvironment = lib.mkMerge (lib.mapAttrsToList (_: hook: hook.environment) cfg.hooks);
      environment.variables = lib.mkMerge (lib.mapAttrsToList (_: hook: hook.environment) cfg.hooks);
      # Stopped first when the machine goes off, for what was counted outlives it on the state disk.
      systemd.services.coverage = {
        description = "Coverage data on the disk when the machine goes off";
        wantedBy = [ "multi-user.target" ];
        after = [ "multi-user.target" ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "/bin/true";
          ExecStop = "/bin/bash /etc/diorama/coverage/collect flush";
          TimeoutStopSec = 60;
        };
      };
    })
  ];
}
