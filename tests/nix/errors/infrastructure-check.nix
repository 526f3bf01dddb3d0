# expect: a health check of the kind `http' has no `pat'
# args: --arg clone false --arg infrastructure {storage={healthChecks=[{kind="http";pat="/";}];};webserver={};}
{
  network = {
    storage = { ... }: { };
    webserver = { ... }: { };
  };
}
