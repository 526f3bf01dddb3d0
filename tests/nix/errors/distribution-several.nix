# expect: distributions/several.nix:1: `storage' is mapped to 2 machines, `t1' and `t2'
# args: --arg clone false --arg infrastructure {t1={};t2={};} --arg distribution ./data/distributions/several.nix
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
