# expect: which is no node of the network. Did you mean `storage
# args: --arg clone false --arg infrastructure {storag={};webserver={};}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
