# expect: `storage' is mapped to `t3', which is no machine of the infrastructure model. Did you mean `t1' or `t2'
# args: --arg clone false --arg infrastructure {t1={};t2={};} --arg distribution {storage="t3";webserver="t2";}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
