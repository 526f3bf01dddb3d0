# expect: node web: the option `services.httpd' is a group of options and cannot have the value true
# expect: errors/group-as-value.nix
{ web.services.httpd = true; }
