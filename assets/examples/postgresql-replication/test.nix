# The replicated database with a test: `diorama test test.nix`.
#
# What is written arrives; a link that was cut is caught up with; the primary loses its power and the standby takes its
# place, with everything that was ever told to be written.
args:
import ./network.nix args // {
  name = "postgresql-replication";

  testScript = ''
    import shlex

    def sql(statement):
        return f"psql -X -U postgres -Atc {shlex.quote(statement)}"

    def has(words):
        return sql("select word from words") + f" | paste -sd, | grep -qx {','.join(words)}"

    start_all()

    with subtest("the standby follows the primary"):
        primary.wait_for_unit("postgresql.service")
        standby.wait_for_unit("postgresql.service", timeout=1200)
        primary.succeed(sql("create table words (word text)"), sql("insert into words values ('one')"))
        standby.wait_until_succeeds(has(["one"]), timeout=120)
        t.assertEqual(standby.succeed(sql("select pg_is_in_recovery()")).strip(), "t")

    with subtest("the standby takes no orders"):
        standby.fail(sql("insert into words values ('wrong')"))

    with subtest("a cut link is caught up with"):
        link(primary, standby).both().cut()
        primary.succeed(sql("insert into words values ('two')"))
        standby.succeed(has(["one"]))
        network.heal()
        standby.wait_until_succeeds(has(["one", "two"]), timeout=300)

    with subtest("the standby takes the place of a primary that lost its power"):
        primary.crash()
        standby.succeed(sql("select pg_promote()"))
        standby.wait_until_succeeds(sql("insert into words values ('three')"), timeout=120)
        standby.succeed(has(["one", "two", "three"]))
  '';
}
