# expect: node a: the module in
# expect: errors/missing-argument.nix
# expect: asks for the argument `postgresq', which is neither a node
# expect: Did you mean `postgresql'?
{
  a = { postgresq, ... }: { networking.domain = postgresq.networking.hostName; };
  postgresql = { };
}
