{ outputs = { ... }: { packages = { }; deploy.nodes.web = { hostname = "w"; profiles = { }; }; }; }
