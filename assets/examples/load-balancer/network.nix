# A reverse proxy and its back ends: the proxy is on the outer network and on a private one, the back ends on the
# private one alone. One configuration makes all back ends, and the proxy maps over the list of them.
{ lib, replicate, ... }:
{
  network = {
    webserver = replicate 3 ({ pkgs, name, instance, ... }: {
      virtualisation.vlans = [ 2 ];
      virtualisation.memorySize = 192;
      services.nginx.enable = true;
      services.nginx.virtualHosts.default = {
        default = true;
        root = pkgs.runCommand "site" { } ''
          mkdir "$out"
          echo "<html><body>This is ${name}, back end number ${toString instance}.</body></html>" > "$out/index.html"
        '';
      };
      # Reached by the proxy, not from the host.
      networking.firewall.enable = true;
      networking.firewall.interfaces.eth1.allowedTCPPorts = [ 80 ];
    });

    proxy = { webserver, ... }: {
      virtualisation.vlans = [ 1 2 ];
      virtualisation.memorySize = 192;
      networking.firewall.allowedTCPPorts = [ 80 ];
      services.nginx.enable = true;
      services.nginx.recommendedProxySettings = true;
      services.nginx.upstreams.cluster.servers = lib.listToAttrs (map
        (machine: lib.nameValuePair "${machine.networking.hostName}:80" { max_fails = 1; fail_timeout = "5s"; })
        webserver);
      services.nginx.virtualHosts.default = {
        default = true;
        locations."/".proxyPass = "http://cluster";
        locations."/".extraConfig = "proxy_connect_timeout 1s;";
      };
    };

    client = { pkgs, ... }: {
      virtualisation.memorySize = 192;
      environment.systemPackages = [ pkgs.curl ];
    };
  };
}
