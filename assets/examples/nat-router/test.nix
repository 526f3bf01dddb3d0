# The router with a test: `diorama test test.nix`.
#
# What the topology promises is asked for from both sides, then the inner link is cut, and then the router forgets to
# route. Three small machines: about half a minute when they are alone on a machine without KVM.
args:
import ./network.nix args // {
  name = "nat-router";

  testScript = ''
    start_all()
    page = "curl -sf -m 20 http://{}/ | grep 'This is {}.'"
    nothing = "curl -sf -m 5 http://{}/"

    with subtest("the client reaches the server through the router"):
        server.wait_for_unit("nginx.service")
        client.wait_until_succeeds(page.format("server", "server"), timeout=300)

    with subtest("the server has seen the router alone"):
        answer = client.succeed("curl -sfi -m 20 http://server/")
        t.assertIn("Asked-By: " + server.succeed("getent ahostsv4 router").split()[0], answer)

    with subtest("the server does not reach the client"):
        client.wait_for_unit("nginx.service")
        client.succeed(page.format("localhost", "client"))
        server.fail(nothing.format("client"))
        server.fail("ping -c 1 -W 3 client")

    with subtest("but the port that the router hands on"):
        server.wait_until_succeeds(page.format("router:8080", "client"), timeout=60)

    with subtest("a cut link shows on both sides, its end too"):
        link(router, client).cut()
        client.fail(nothing.format("server"))
        server.fail(nothing.format("router:8080"))
        router.succeed(page.format("server", "server"))
        network.heal()
        client.wait_until_succeeds(page.format("server", "server"), timeout=120)

    with subtest("a router that does not route"):
        router.succeed("sysctl -w net.ipv4.ip_forward=0")
        client.fail(nothing.format("server"))
        router.succeed("sysctl -w net.ipv4.ip_forward=1")
        client.wait_until_succeeds(page.format("server", "server"), timeout=60)
  '';
}
