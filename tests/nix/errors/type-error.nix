# expect: node web: the option `services.httpd.enable' must be a boolean
# expect: errors/type-error.nix
# expect: sets it to "yes"
{ web = { services.httpd.enable = "yes"; }; }
