# expect: nodes a and b: all have the host name `web' (networking.hostName)
{ a.networking.hostName = "web"; b.networking.hostName = "Web"; }
