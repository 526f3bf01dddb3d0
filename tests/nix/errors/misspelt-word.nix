# expect: warning: 
# expect: `defualts' means nothing here. Did you mean `defaults'?
# expect: node web: the option `nothing' does not exist
{ defualts = { }; nodes.web.nothing = 1; }
