{ infrastructure }: { storage = [ infrastructure.t1 infrastructure.t2 ]; webserver = [ infrastructure.t1 ]; }
