# expect: does not say where `webserver' goes; map it to a machine of the infrastructure model, such as webserver = [ infrastructure.t1 ]
# args: --arg clone false --arg infrastructure {t1={};t2={};} --arg distribution {storage=["t1"];}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
