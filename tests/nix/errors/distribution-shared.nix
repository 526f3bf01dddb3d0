# expect: distributions/shared.nix:1: `storage' and `webserver' go to the same machine, `t1'
# args: --arg clone false --arg infrastructure {t1={};t2={};} --arg distribution ./data/distributions/shared.nix
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
