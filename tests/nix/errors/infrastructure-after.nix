# expect: it is to come after `webserve', which is no node of the network. Did you mean `webserver
# args: --arg clone false --arg infrastructure {storage={after=["webserve"];};webserver={};}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
