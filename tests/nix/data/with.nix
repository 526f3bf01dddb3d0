let pkgs.a = "the package"; in
{ a = { }; b = { networking.domain = with pkgs; a; }; }
