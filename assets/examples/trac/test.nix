# The Trac network with a test: `diorama test test.nix`.
#
# Everything that can go wrong between the three machines is asked for: the page, the data behind it, a commit that
# travels through the file server to the source browser, and an outage of the database.
{
  inherit (import ./network.nix) network;
  name = "trac";

  testScript = ''
    import shlex

    def page(path, words):
        """A command that asks the web server for a page, from within, and looks for words on it."""
        ask = f"exec 3<>/dev/tcp/localhost/80; printf 'GET {path} HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; cat <&3"
        return f"timeout 30 bash -c {shlex.quote(ask)} > /tmp/page; grep -q {shlex.quote(words)} /tmp/page"

    start_all()

    with subtest("the front page is served"):
        webserver.wait_until_succeeds(page("/", "Project Foobar"), timeout=1200)

    with subtest("its data is in PostgreSQL on another machine"):
        sql = "psql -d foobar -Atc 'select count(*) from wiki'"
        t.assertGreater(int(postgresql.succeed(f"su - postgres -c {shlex.quote(sql)}")), 0)

    with subtest("its repository is on the file server"):
        t.assertEqual(webserver.succeed("findmnt -no SOURCE,FSTYPE /repos").split(), ["storage:/repos", "nfs4"])

    with subtest("a commit is seen in the source browser"):
        owner = webserver.succeed("stat -c %U /repos/foobar").strip()
        commit = "svnmucc -m 'A commit of the test' -U file:///repos/foobar put /etc/hostname trunk/hello"
        webserver.succeed(f"su -s /bin/sh {owner} -c {shlex.quote(commit)}")
        webserver.wait_until_succeeds(page("/browser/trunk", "hello"), timeout=300)
        storage.succeed("test -e /repos/foobar/db/current")

    with subtest("an outage of the database, and its end"):
        link(webserver, postgresql).cut()
        webserver.fail(page("/wiki", "Project Foobar"))
        network.heal()
        webserver.wait_until_succeeds(page("/wiki", "Project Foobar"), timeout=600)
  '';
}
