# larder, a small key-value store in C, built from source by this model: its server on one machine, its client on
# another, and a report in Python that asks it.
#
#   $ diorama test --coverage --out out network.nix
#
# shows which lines of it the test has executed: on each machine, and in sum more than on either.
{ pkgs, ... }:
let
  # The stdenv decides how it is built: this one instruments it when coverage is asked for.
  larder = { stdenv ? pkgs.addCoverageInstrumentation pkgs.stdenv }: stdenv.mkDerivation {
    pname = "larder";
    version = "1.0";
    src = ./src;
    doCheck = true;
  };
  program = larder { };
in
{
  defaults.virtualisation.memorySize = 256;

  nodes = {
    server = {
      networking.firewall.allowedTCPPorts = [ 7411 ];
      users.users.larder = { isSystemUser = true; group = "larder"; };
      users.groups.larder = { };
      systemd.services.larderd = {
        description = "Keys and values for the network";
        wantedBy = [ "multi-user.target" ];
        serviceConfig = {
          User = "larder";
          StateDirectory = "larder";
          ExecStart = "${program}/bin/larderd -c ${pkgs.writeText "larderd.conf" ''
            [listen]
            address = 0.0.0.0
            port = 7411
            clients = 50

            [journal]
            file = /var/lib/larder/journal
            compact-after = 1000

            [store]
            memory = 4m
          ''}";
          Restart = "on-failure";
        };
      };
    };

    client = { server, ... }: {
      environment.systemPackages = [
        program
        (pkgs.writeShellScriptBin "larder-report" ''exec ${pkgs.python3}/bin/python3 ${./report.py} --host ${server.networking.hostName} "$@"'')
      ];
      # Python programs whose names match are measured without a change to them.
      coverage.python.include = [ "*report.py" ];
    };
  };

  testScript = ''
    larder = "larder -H server "

    start_all()
    server.wait_for_unit("larderd.service")
    client.wait_until_succeeds(larder + "ping", timeout=300)

    with subtest("values are kept"):
        client.succeed(larder + "set greeting hello")
        t.assertEqual(client.succeed(larder + "get greeting"), "hello\n")
        client.succeed(larder + "append greeting ' world'", larder + "add visits 41", larder + "add visits")
        t.assertEqual(client.succeed(larder + "get greeting"), "hello world\n")
        t.assertEqual(client.succeed(larder + "keys '*'").split(), ["greeting", "visits"])
        client.succeed("seq 1000 | " + larder + "set numbers -")
        t.assertEqual(len(client.succeed(larder + "get numbers").split()), 1000)

    with subtest("what is not allowed is refused"):
        client.fail(larder + "new greeting again")
        client.fail(larder + "add greeting")
        t.assertEqual(client.execute(larder + "get nothing")[0], 4)
        t.assertEqual(client.execute(larder + "get")[0], 2)

    with subtest("changes are announced"):
        watcher = client.spawn(larder + "-n 2 -w 300s -j watch 'news:*'")
        client.wait_until_succeeds(larder + "stats | grep 'clients 2'", timeout=120)
        client.succeed(larder + "set news:1 text 2s")
        t.assertEqual(watcher.wait(), 0)
        t.assertIn('{"event":"end","key":"news:1"}', watcher.output)

    with subtest("values outlive the server's end and a power cut"):
        server.succeed("systemctl reload-or-restart larderd.service")
        client.wait_until_succeeds(larder + "get visits | grep 42", timeout=120)
        client.succeed(larder + "-j stats", larder + "compact")
        server.succeed("sync")
        server.crash()
        client.fail(larder + "-w 2s get visits")
        server.start()
        client.wait_until_succeeds(larder + "-w 10s get visits | grep 42", timeout=300)

    with subtest("the report sums it up"):
        t.assertIn("greeting", client.succeed("larder-report"))
        client.fail("larder-report --host nowhere")
  '';
}
