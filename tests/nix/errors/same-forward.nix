# expect: nodes a and b: all ask for the host's port tcp 8080 (virtualisation.forwardPorts)
{ defaults.virtualisation.forwardPorts = [{ host.port = 8080; guest.port = 80; }]; a = { }; b = { }; }
