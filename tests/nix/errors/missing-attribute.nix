# expect: attribute 'ipAdress' missing
# expect: errors/missing-attribute.nix:4
{
  a = { b, ... }: { networking.domain = b.networking.ipAdress; };
  b = { };
}
