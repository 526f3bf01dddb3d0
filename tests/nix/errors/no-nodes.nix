# expect: this model has no nodes
{ network = { }; }
