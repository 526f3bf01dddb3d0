# expect: node web: the option `virtualisation.forwardPorts.[definition 1-entry 1].host.port' must be
# expect: sets it to 0
# expect: errors/forward-port-zero.nix
{ web.virtualisation.forwardPorts = [{ host.port = 0; guest.port = 80; }]; }
