# expect: attribute 't3' missing
# expect: distributions/absent.nix:1
# expect: Did you mean one of t1 or t2?
# args: --arg clone false --arg infrastructure {t1={};t2={};} --arg distribution ./data/distributions/absent.nix
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
