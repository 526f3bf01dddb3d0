# users.users and users.groups, as /etc/passwd, /etc/group and /etc/shadow.
#
# Numbers: Debian's fixed ones below 100; system users without a uid get one from 400 to 899 by their name's hash, so
# that adding a user rarely moves another; normal users from 1000 in the order of their names, and on a host, whose
# files outlast its configuration, several of them must say theirs.
{ config, lib, diorama, ... }:
let
  inherit (lib) mkOption types;
  users = config.users.users;
  groups = config.users.groups;

  debianUsers = {
    daemon = [ 1 1 "/usr/sbin" ]; bin = [ 2 2 "/bin" ]; sys = [ 3 3 "/dev" ]; sync = [ 4 65534 "/bin" ]; games = [ 5 60 "/usr/games" ];
    man = [ 6 12 "/var/cache/man" ]; lp = [ 7 7 "/var/spool/lpd" ]; mail = [ 8 8 "/var/mail" ]; news = [ 9 9 "/var/spool/news" ];
    uucp = [ 10 10 "/var/spool/uucp" ]; proxy = [ 13 13 "/bin" ]; www-data = [ 33 33 "/var/www" ]; backup = [ 34 34 "/var/backups" ];
    nobody = [ 65534 65534 "/nonexistent" ]; messagebus = [ 100 100 "/nonexistent" ]; systemd-network = [ 998 998 "/" ];
    systemd-timesync = [ 997 997 "/" ]; sshd = [ 101 65534 "/run/sshd" ];
  };
  debianGroups = {
    root = 0; daemon = 1; bin = 2; sys = 3; adm = 4; tty = 5; disk = 6; lp = 7; mail = 8; news = 9; uucp = 10; man = 12; proxy = 13;
    kmem = 15; dialout = 20; fax = 21; voice = 22; cdrom = 24; floppy = 25; tape = 26; sudo = 27; audio = 29; dip = 30; www-data = 33;
    backup = 34; operator = 37; list = 38; irc = 39; src = 40; shadow = 42; utmp = 43; video = 44; sasl = 45; plugdev = 46; staff = 50;
    games = 60; users = 100; nogroup = 65534; messagebus = 101; systemd-journal = 999; systemd-network = 998; systemd-timesync = 997;
    input = 996; kvm = 995; render = 994; sgx = 993; crontab = 992; ssh = 991; netdev = 990; wheel = 989;
  };

  # Gives numbers to names that have none: the first free ones from where `first` says, in the names' order.
  allocate = first: given: names:
    (builtins.foldl'
      (state: name:
        let free = next: if builtins.elem next state.taken then free (next + 1) else next;
          number = free (if builtins.isInt first then state.next else first name); in
        { next = number + 1; taken = state.taken ++ [ number ]; numbers = state.numbers // { ${name} = number; }; })
      { next = if builtins.isInt first then first else 0; taken = builtins.attrValues given; numbers = { }; }
      names).numbers;
  byHash = name:
    let n = (builtins.fromTOML "n = 0x${builtins.substring 0 6 (builtins.hashString "sha256" name)}").n; in
    400 + n - (n / 500) * 500;

  numbers = { set, attribute, fixed }:
    let
      withNumber = lib.filterAttrs (name: entry: entry.${attribute} != null) set;
      given = fixed // builtins.mapAttrs (name: entry: entry.${attribute}) withNumber;
      without = builtins.filter (name: !(given ? ${name})) (builtins.attrNames set);
      normal = builtins.filter (name: set.${name}.isNormalUser or false) without;
      others = builtins.filter (name: !(set.${name}.isNormalUser or false)) without;
    in
    given // allocate 1000 given normal // allocate byHash given others;

  uids = numbers { set = users; attribute = "uid"; fixed = builtins.mapAttrs (name: entry: builtins.head entry) debianUsers // { root = 0; }; };
  gids = numbers { set = groups; attribute = "gid"; fixed = debianGroups; };
  gidOf = name: gids.${name} or (throw "users.groups has no group `${name}', which a user is to be in");

  members = name: lib.unique ((groups.${name}.members or [ ])
    ++ builtins.attrNames (lib.filterAttrs (user: entry: builtins.elem name entry.extraGroups) users));

  passwd = [ "root:x:0:0:root:${users.root.home}:${users.root.shell}" ]
    ++ lib.mapAttrsToList (name: entry: "${name}:x:${toString (builtins.head entry)}:${toString (builtins.elemAt entry 1)}:${name}:${builtins.elemAt entry 2}:/usr/sbin/nologin")
      (removeAttrs debianUsers (builtins.attrNames users))
    ++ lib.mapAttrsToList (name: user: "${name}:x:${toString uids.${name}}:${toString (gidOf user.group)}:${user.description}:${user.home}:${user.shell}")
      (removeAttrs users [ "root" ]);

  hash = name: user:
    if user.hashedPassword != null then user.hashedPassword
    else if user.password != null then builtins.throw "users.users.${name}.password would have to be hashed: give hashedPassword (mkpasswd makes one)"
    else "!";
  shadow = lib.mapAttrsToList (name: user: "${name}:${hash name user}:19000:0:99999:7:::") users
    ++ map (name: "${name}:*:19000:0:99999:7:::") (builtins.attrNames (removeAttrs debianUsers (builtins.attrNames users)));

  group = lib.mapAttrsToList (name: gid: "${name}:x:${toString gid}:${lib.concatStringsSep "," (members name)}") gids;

  lines = lib.concatMapStrings (line: "${line}\n");
  homes = lib.filterAttrs (name: user: user.createHome && name != "root") users;
  keys = lib.filterAttrs (name: user: user.openssh.authorizedKeys.keys != [ ] || user.openssh.authorizedKeys.keyFiles != [ ]) users;
in
{
  # Their older names.
  imports = [
    (lib.mkAliasOptionModule [ "users" "extraUsers" ] [ "users" "users" ])
    (lib.mkAliasOptionModule [ "users" "extraGroups" ] [ "users" "groups" ])
  ];

  options.users = {
    mutableUsers = mkOption { type = types.bool; default = false; description = "Accepted for NixOS' sake: /etc is made anew at every start."; };
    users = mkOption {
      default = { };
      description = "Accounts.";
      type = types.attrsOf (types.submodule ({ name, config, ... }: {
        options = {
          name = mkOption { type = types.str; default = name; description = "The account's name."; };
          uid = mkOption { type = types.nullOr types.int; default = null; description = "The account's number."; };
          description = mkOption { type = types.str; default = ""; description = "The full name."; };
          isNormalUser = mkOption { type = types.bool; default = false; description = "Whether a person uses it."; };
          isSystemUser = mkOption { type = types.bool; default = false; description = "Whether a service uses it."; };
          group = mkOption { type = types.str; default = if config.isNormalUser then "users" else "nogroup"; description = "The first group."; };
          extraGroups = mkOption { type = types.listOf types.str; default = [ ]; description = "Further groups."; };
          home = mkOption { type = types.str; default = if name == "root" then "/root" else if config.isNormalUser then "/home/${name}" else "/var/empty"; description = "The home directory."; };
          createHome = mkOption { type = types.bool; default = config.isNormalUser; description = "Whether the home directory is made."; };
          homeMode = mkOption { type = types.str; default = "0700"; description = "The home directory's permissions."; };
          shell = mkOption {
            type = types.coercedTo types.package (package: if package ? debianPackage then "/usr/bin/${package.debianPackage}" else "${package}") types.str;
            default = if config.isNormalUser || name == "root" then "/bin/bash" else "/usr/sbin/nologin";
            description = "The login shell.";
          };
          useDefaultShell = mkOption { type = types.bool; default = false; description = "Whether the shell is bash."; };
          hashedPassword = mkOption { type = types.nullOr types.str; default = null; description = "The password's hash, as mkpasswd prints it; empty: no password is asked for."; };
          password = mkOption { type = types.nullOr types.str; default = null; description = "A password in the clear, which this system refuses."; };
          initialHashedPassword = mkOption { type = types.nullOr types.str; default = null; description = "The same as hashedPassword here: accounts are made anew at every start."; };
          openssh.authorizedKeys.keys = mkOption { type = types.listOf types.singleLineStr; default = [ ]; description = "Public keys that may log in."; };
          openssh.authorizedKeys.keyFiles = mkOption { type = types.listOf types.path; default = [ ]; description = "Files of public keys that may log in."; };
          packages = mkOption { type = types.listOf types.package; default = [ ]; description = "Packages, which here all users get."; };
        };
        config = lib.mkMerge [
          (lib.mkIf (config.initialHashedPassword != null) { hashedPassword = lib.mkDefault config.initialHashedPassword; })
          (lib.mkIf config.useDefaultShell { shell = lib.mkDefault "/bin/bash"; })
        ];
      }));
    };
    groups = mkOption {
      default = { };
      description = "Groups.";
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          name = mkOption { type = types.str; default = name; description = "The group's name."; };
          gid = mkOption { type = types.nullOr types.int; default = null; description = "The group's number."; };
          members = mkOption { type = types.listOf types.str; default = [ ]; description = "Users in the group."; };
        };
      }));
    };
    motd = mkOption { type = types.nullOr types.lines; default = null; description = "The message shown after a login."; };
    idOf = mkOption { type = types.unspecified; internal = true; description = "Functions from names to numbers."; };
  };

  config = {
    assertions =
      let several = builtins.attrNames (lib.filterAttrs (name: user: user.isNormalUser && user.uid == null) users); in
      [{
        assertion = config.virtualisation.clone || builtins.length several < 2;
        message = "users.users: on a host ${lib.concatStringsSep ", " several} need a uid each: by their names' order alone, a further user would move the others' numbers, and their files would become somebody else's";
      }];
    users.users.root = { };
    users.idOf = { uid = name: uids.${name} or (throw "users.users has no user `${name}'"); gid = gidOf; };
    environment.systemPackages = lib.concatMap (user: user.packages) (builtins.attrValues users);
    environment.etc = {
      "passwd".text = lines passwd;
      "group".text = lines group;
      "shadow" = { text = lines shadow; mode = "0640"; gid = 42; };
      "gshadow" = { text = ""; mode = "0640"; gid = 42; };
      "motd".text = if config.users.motd == null then "" else config.users.motd;
    } // lib.mapAttrs' (name: user: lib.nameValuePair "ssh/authorized_keys.d/${name}" {
      text = lines (user.openssh.authorizedKeys.keys ++ map builtins.readFile user.openssh.authorizedKeys.keyFiles);
    }) keys;
    systemd.tmpfiles.rules = lib.mapAttrsToList
      (name: user: "d ${user.home} ${user.homeMode} ${toString uids.${name}} ${toString (gidOf user.group)} -")
      homes ++ [ "d /var/empty 0555 root root -" ];
  };
}
