# expect: node web: the option `virtualisation.forwardPorts.[definition 1-entry 1].guest.port' is used but has no value
{ web.virtualisation.forwardPorts = [{ host.port = 8080; }]; }
