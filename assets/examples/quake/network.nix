# A game server and two players: the paper's example of a test with a display (its Figure 7), with OpenArena, the free
# game of Quake's engine that Debian has.
#
# The clients run an X server and nothing else; the test starts the game. Half a gigabyte of packages is fetched once,
# and everything is drawn in software: what two cores are busy with for minutes.
{ replicate, ... }:
{
  meta.description = "A Quake server and two players";

  nodes = {
    server = { pkgs, ... }: {
      virtualisation.memorySize = 384;
      users.users.quake = { isSystemUser = true; home = "/var/lib/quake"; createHome = true; };
      networking.firewall.allowedUDPPorts = [ 27960 ];
      systemd.services.quake3-server = {
        description = "OpenArena's server";
        wantedBy = [ "multi-user.target" ];
        after = [ "network.target" ];
        environment.HOME = "/var/lib/quake";
        serviceConfig = {
          User = "quake";
          StandardOutput = "append:/tmp/log";
          StandardError = "inherit";
          Restart = "on-failure";
          ExecStart = "${pkgs.openarena-server}/games/openarena-server"
            + " +set dedicated 1 +set sv_pure 0 +set g_gametype 0 +set timelimit 0 +map oa_dm1 +addbot grunt";
        };
      };
    };

    client = replicate 2 ({ pkgs, ... }: {
      virtualisation.memorySize = 640;
      virtualisation.resolution = { x = 640; y = 480; };
      services.xserver.enable = true;
      environment.systemPackages = [ pkgs.openarena ];
    });
  };
}
