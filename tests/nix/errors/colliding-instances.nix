# expect: the nodes `web1' (an instance of `web') and `web1' have the same host name
{ replicate, ... }: {
  web = replicate 2 { };
  web1 = { };
}
