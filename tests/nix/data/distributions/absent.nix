{ infrastructure }: { storage = [ infrastructure.t3 ]; webserver = [ infrastructure.t1 ]; }
