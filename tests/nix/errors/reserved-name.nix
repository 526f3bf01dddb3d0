# expect: errors/reserved-name.nix:4
# expect: no node may be called `config'
{ network = {
  config = { };
}; }
