# The load balancer with a test: `diorama test test.nix`.
#
# All back ends answer; one loses its power, then one loses its link to the proxy, and the proxy goes on answering with
# the others; both come back.
args:
import ./network.nix args // {
  name = "load-balancer";

  testScript = ''
    backends = [webserver1, webserver2, webserver3]

    def answers(times=9):
        """Who answered, of requests one after another; every one of them has to be answered."""
        ask = f"for i in $(seq {times}); do curl -sSf -m 30 http://proxy/; done"
        pages = client.succeed(ask)
        return {m.name for m in backends if f"This is {m.name}," in pages}

    def all_answer(_last_try):
        return answers() == {m.name for m in backends}

    start_all()

    with subtest("every back end answers through the proxy"):
        for machine in [proxy, *backends]:
            machine.wait_for_unit("nginx.service")
        client.wait_until_succeeds("curl -sf -m 30 http://proxy/", timeout=300)
        retry(all_answer, timeout=300)

    with subtest("the client does not reach the back ends itself"):
        client.fail("curl -sf -m 5 http://webserver1/")

    with subtest("a back end loses its power, and nobody notices"):
        webserver2.crash()
        t.assertLessEqual(answers(), {"webserver1", "webserver3"})

    with subtest("another is cut off, and nobody notices"):
        link(proxy, webserver3).cut()
        t.assertLessEqual(answers(), {"webserver1"})

    with subtest("they come back"):
        network.heal()
        webserver2.start()
        webserver2.wait_for_unit("nginx.service")
        retry(all_answer, timeout=300)
  '';
}
