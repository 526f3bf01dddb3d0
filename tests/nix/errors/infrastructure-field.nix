# expect: has no field `hostNam'. Did you mean `hostName
# args: --arg clone false --arg infrastructure {storage={hostNam="s";};webserver={};}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
