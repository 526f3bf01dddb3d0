# expect: its host is "aarch64-linux"
# args: --arg clone false --arg infrastructure {storage={system="aarch64-linux";};webserver={};}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
