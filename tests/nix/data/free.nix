# No `with` but in comments: with a node as a free variable.
{ a = { }; b = { networking.domain = a.networking.ipAddress; }; }
