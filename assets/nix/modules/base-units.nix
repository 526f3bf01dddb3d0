# The upstream units that every machine has. Each unit costs boot time: what is not needed is not listed.
{ ... }:
{
  systemd.upstreamUnits = [
    "basic.target" "sysinit.target" "local-fs.target" "local-fs-pre.target" "remote-fs.target" "remote-fs-pre.target"
    "multi-user.target" "graphical.target" "sockets.target" "timers.target" "paths.target" "slices.target" "swap.target"
    "shutdown.target" "umount.target" "final.target" "poweroff.target" "reboot.target" "halt.target"
    "systemd-poweroff.service" "systemd-reboot.service" "systemd-halt.service"
    "rescue.target" "emergency.target" "rescue.service" "emergency.service"
    "network.target" "network-pre.target" "network-online.target" "nss-lookup.target" "nss-user-lookup.target"
    "time-set.target" "time-sync.target" "getty.target" "user.slice" "rpcbind.target"
    "systemd-journald.service" "systemd-journald.socket" "systemd-journald-dev-log.socket"
    "systemd-tmpfiles-setup.service" "systemd-ask-password-console.path" "systemd-ask-password-console.service"
    "dbus.service" "dbus.socket"
    # Started when somebody asks, by hand or over D-Bus (hostnamectl).
    "systemd-hostnamed.service" "dbus-org.freedesktop.hostname1.service" "systemd-tmpfiles-clean.service"
  ];
  systemd.upstreamWants = [
    "sysinit.target.wants/systemd-journald.service"
    "sysinit.target.wants/systemd-tmpfiles-setup.service"
    "sockets.target.wants/systemd-journald.socket"
    "sockets.target.wants/systemd-journald-dev-log.socket"
    "sockets.target.wants/dbus.socket"
    "multi-user.target.wants/getty.target"
  ];

  environment.etc = {
    "systemd/journald.conf".text = ''
      [Journal]
      Storage=volatile
      RuntimeMaxUse=16M
      Audit=no
    '';
    # Rules of the packages' own that would only cost time, or keep users out.
    "tmpfiles.d/systemd-nologin.conf".source = "/dev/null";
    "tmpfiles.d/x11.conf".source = "/dev/null";
    "tmpfiles.d/home.conf".source = "/dev/null";
    "tmpfiles.d/etc.conf".source = "/dev/null";
    "tmpfiles.d/provision.conf".source = "/dev/null";
    "tmpfiles.d/systemd-network.conf".source = "/dev/null";
  };
}
