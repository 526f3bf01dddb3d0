# expect: `storage.targetPort' must be a port, not
# args: --arg clone false --arg infrastructure {storage={targetPort="22";};webserver={};}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
