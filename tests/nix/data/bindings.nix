# A file of bindings without braces.
/* and a
   longer comment */
network = {
  a = { };
  b = { };
};
