# expect: errors/colliding-names.nix:5
# expect: the nodes `Web' and `web' have the same host name
{
  Web = { };
  web = { };
}
