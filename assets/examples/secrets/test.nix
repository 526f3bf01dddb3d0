# The service has its password before it starts, and after every start of its machine: `diorama test test.nix`.
args:
{
  name = "secrets";
  nodes = import ./network.nix;

  testScript = ''
    look = "stat -c %U:%G:%a /run/keys /run/keys/password"

    with subtest("the service reads its password"):
        machine.wait_for_unit("reader.service")
        machine.wait_for_unit("password-key.service")
        t.assertEqual(machine.succeed(look), "root:keys:750\nwww-data:keys:400\n")
        first = machine.succeed("cat /run/keys/password")

    with subtest("without the password it ends"):
        machine.succeed("mv /run/keys/password /run/keys/away")
        machine.wait_until_fails("systemctl is-active password-key.service", timeout=60)
        machine.wait_until_fails("systemctl is-active reader.service", timeout=60)
        machine.succeed("mv /run/keys/away /run/keys/password")
        machine.wait_for_unit("password-key.service", timeout=60)

    with subtest("it is there again after a start"):
        machine.shutdown()
        machine.start()
        machine.wait_for_unit("reader.service")
        t.assertEqual(machine.succeed("cat /run/keys/password"), first)
  '';
}
