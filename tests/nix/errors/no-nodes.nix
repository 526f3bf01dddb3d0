# expect: this model has no nodes, and no testScript
{ network = { }; }
