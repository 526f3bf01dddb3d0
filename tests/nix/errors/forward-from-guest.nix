# expect: node web: virtualisation.forwardPorts: `from = "guest"'
{ web.virtualisation.forwardPorts = [{ from = "guest"; host.port = 8080; guest.port = 80; }]; }
