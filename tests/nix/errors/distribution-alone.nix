# expect: there is none; name one with --infrastructure
# args: --arg clone false --arg distribution {storage="t1";webserver="t2";}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
