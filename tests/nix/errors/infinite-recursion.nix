# args: --show-trace
# expect: infinite recursion encountered
# expect: while evaluating node a: the option `networking.domain'
# expect: errors/infinite-recursion.nix
{
  a = { b, ... }: { networking.domain = b.networking.domain + "x"; };
  b = { a, ... }: { networking.domain = a.networking.domain; };
}
