# expect: does not say where `webserver' is
# args: --arg clone false --arg infrastructure {storage={hostName="s";};}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
