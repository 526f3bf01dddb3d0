# expect: the distribution names `storag', which is no node of the network. Did you mean `storage
# args: --arg clone false --arg infrastructure {t1={};t2={};} --arg distribution {storag="t1";webserver="t2";}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
