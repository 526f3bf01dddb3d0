# expect: node web: the option `services.htpd.enable' does not exist
# expect: errors/unknown-option.nix:5
# expect: Did you mean `services.httpd.enable'?
{
  web = { services.htpd.enable = true; };
}
