# expect: syntax error
# expect: errors/syntax-error.nix:4
{
  web = { services.httpd.enable = };
}
