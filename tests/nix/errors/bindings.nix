# expect: node web: the option `services.htpd' does not exist; `
# expect: errors/bindings.nix:4' sets it.
network = {
  web = { services.htpd = 5; };
};
