# expect: `storage' is mapped to no machine; give it one of the infrastructure model: `t1' and `t2'
# args: --arg clone false --arg infrastructure {t1={};t2={};} --arg distribution {storage=[];webserver="t2";}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
