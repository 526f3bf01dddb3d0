{ infrastructure }: { storage = [ infrastructure.t1 ]; webserver = [ infrastructure.t1 ]; }
