# The paper's Quake test: `diorama test test.nix`. The players join, their displays are photographed, one of them loses
# the network for a while and gets it back.
args:
import ./network.nix args // {
  name = "quake";

  testScript = ''
    import re

    players = {client1: "Foo", client2: "Bar"}
    # As small and plain as the game can be drawn, and silent.
    plain = (
        "+set r_fullscreen 0 +set r_mode 0 +set r_picmip 4 +set r_vertexLight 1 +set r_dynamiclight 0"
        " +set s_initsound 0 +set com_introplayed 1 +set com_maxfps 10 +set cl_renderer opengl1"
    )

    def pings():
        """What the server says of its players: their round trips in milliseconds by name; 999 is silence."""
        ask = r"exec 3<>/dev/udp/127.0.0.1/27960; printf '\377\377\377\377getstatus' >&3; timeout 20 dd bs=8192 count=1 <&3 2>/dev/null"
        return {name: int(ping) for ping, name in re.findall(r'^-?\d+ (\d+) "(.*)"$', server.succeed(ask), re.M)}

    def entered(name):
        return f"grep -q '{name}.*entered the game' /tmp/log"

    start_all()

    with subtest("the server waits for players"):
        server.wait_for_unit("quake3-server")
        server.wait_until_succeeds(entered("Grunt"), timeout=600)

    with subtest("two players enter the game"):
        for client, name in players.items():
            client.wait_for_unit("xserver")
            client.execute(f"openarena {plain} +set name {name} +connect server > /tmp/game.log 2>&1 &")
        for client, name in players.items():
            server.wait_until_succeeds(entered(name), timeout=900)
            client.wait_for_window("OpenArena|ioquake3")

    with subtest("they see it"):
        retry(lambda _: all(pings().get(name, 999) < 999 for name in players.values()), timeout=300)
        for client in players:
            client.screenshot(client.name)

    with subtest("one of them loses the network, and gets it back"):
        network.isolate(client1)
        retry(lambda _: pings()["Foo"] == 999, timeout=60)
        t.assertLess(pings()["Bar"], 999)
        client1.screenshot("outage")
        network.heal()
        retry(lambda _: pings()["Foo"] < 999, timeout=120)
        server.fail("grep -q 'Foo.*timed out' /tmp/log")
  '';
}
