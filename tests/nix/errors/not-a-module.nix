# expect: errors/not-a-module.nix:3
# expect: the node `web' must be a module (a function, a set or a path), not 5
{ web = 5; }
