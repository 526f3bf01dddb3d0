# expect: node web: the option `networking.domain' has different values
# expect: errors/conflict.nix': "a"
# expect: lib.mkForce
{ defaults.networking.domain = "b"; web.networking.domain = "a"; }
