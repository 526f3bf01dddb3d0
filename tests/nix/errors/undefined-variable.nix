# expect: undefined variable 'webserver'
# expect: errors/undefined-variable.nix:4
{
  a = { ... }: { networking.domain = webserver.networking.hostName; };
}
