# expect: `my.web' cannot be a node's name
{ "my.web" = { }; }
