#!/usr/bin/perl
# Switches this host to the system that the program belongs to: switch-to-configuration switch|boot|test|dry-activate
#
#   switch        the boot menu, then what `test` does       boot   the boot menu alone, for the next start
#   test          /usr, /etc, users and units, now           dry-activate   only says what `test` would do
#
# Exit status, as on NixOS: 1 nothing was done (a check before the switch, or the boot menu), 2 the activation script
# failed, 4 the host switched and units failed, 100 the system can only be started, not switched to.
#
# Whatever is to be done is written to /run/diorama/switch before anything changes; a run that was killed is finished
# by the next one. Rolling back is the same with the old system's program.
use strict;
use warnings;
use Fcntl qw(:flock);
use POSIX ();

$ENV{PATH} = '/usr/sbin:/usr/bin';
$ENV{LC_ALL} = 'C';
# The connection that started this may end; the switch does not.
$SIG{HUP} = $SIG{PIPE} = 'IGNORE';
$| = 1;

my $action = $ARGV[0] // '';
my ($system) = $0 =~ m{^(.*)/bin/[^/]+$};
$system = real($system // '.');
my $lists = '/run/diorama/switch';
my $units = '/etc/systemd/system';
# How long jobs are waited for; some wait for other machines, and go on by themselves.
my $patience = ($ENV{DIORAMA_SWITCH_WAIT} // '') =~ /^(\d+)$/ ? $1 : 120;
# Restarted, these would take what runs along.
my %never = map { $_ => 1 } qw(dbus.service dbus.socket systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket);

refuse('usage: switch-to-configuration switch|boot|test|dry-activate') if $action !~ /^(switch|boot|test|dry-activate)$/;
refuse('only root can switch the system') if $> != 0;
refuse("$system is not the system of a host") if !-e "$system/usr-trees";
refuse('this machine does not run a host that was made by diorama (it has no /run/current-system/usr-trees)')
    if !-e '/run/current-system/usr-trees';
refuse_clone();
mkdir '/run/diorama';
open my $lock, '>', '/run/diorama/switch.lock' or refuse("/run/diorama/switch.lock: $!");
flock $lock, LOCK_EX | LOCK_NB or refuse('another switch is under way');

my $dry = $action eq 'dry-activate';
# A dry run changes nothing, and looks for files in the packages one by one.
my $tree = $dry ? undef : composed($system);
my (@packages, %found);

if ($action eq 'switch' || $action eq 'boot') {
    my ($root) = slurp('/proc/cmdline') =~ /(?:^| )root=(\S+)/;
    refuse('the kernel was started without root=') if !defined $root;
    # What the menu speaks of is on the disk before the menu is.
    run('sync');
    run("$system/boot-menu", '/boot/grub/grub.cfg', '/nix/var/nix/profiles', $system, $root) == 0
        or refuse('the boot menu could not be written');
    sweep();
    exit 0 if $action eq 'boot';
}

# --- What is to be done ----------------------------------------------------------------------------------------------

my %active = active_units();
my %todo = map { $_ => {} } qw(stop start restart reload skip);
my $old_etc = real('/etc/static');
my $new_etc = real("$system/etc");
my $changed = changed_packages();

for my $name (sort keys %active) {
    my $state = $active{$name};
    (my $file = $name) =~ s/@[^.]*\./@./;
    next if $state->{active} !~ /^(active|activating|reloading)$/ || $never{$name};
    my $old = unit_text($old_etc, \&old_usr, $file);
    # What this system did not set up is somebody else's: scopes, transient units, the kernel's devices.
    next if !defined $old;
    my $new = unit_text($new_etc, \&new_usr, $file);
    if (!defined $new) {
        $todo{stop}{$name} = 1 if $name !~ /\.slice$/;
        next;
    }
    if ($name =~ /\.target$/) {
        $todo{start}{$name} = 1 if $new !~ /^RefuseManualStart\s*=\s*(1|yes|true|on)\s*$/mi;
        next;
    }
    next if $name =~ /\.(slice|device|scope)$/;
    my $what = compare($old, $new);
    $what = 'restart' if $what eq 'same' && $name =~ /\.service$/ && uses_changed($name, $new);
    next if $what eq 'same';
    decide($name, $new, $what);
}
$todo{start}{real_default()} = 1;

if ($dry) {
    say_list('would stop the following units', $todo{stop});
    say_list('would NOT restart the following changed units', $todo{skip});
    say_list('would reload the following units', $todo{reload});
    say_list('would restart the following units', $todo{restart});
    say_list('would start the following units', new_units());
    say_reboot('would be');
    exit 0;
}

# What an earlier switch was killed over comes along.
for my $kind (qw(start restart reload)) { $todo{$kind}{$_} = 1 for lines("$lists/$kind"); }
mkdir $lists;
for my $kind (qw(start restart reload)) { write_list("$lists/$kind", $todo{$kind}); }

# --- Doing it -------------------------------------------------------------------------------------------------------

my $status = 0;
my $fresh = new_units();
say_list('stopping the following units', $todo{stop});
say_list('NOT restarting the following changed units', $todo{skip});
run('systemctl', 'stop', '--', sort keys %{ $todo{stop} }) if %{ $todo{stop} };

print STDERR "activating the configuration...\n";
# Without its /usr the system is not switched to, and what was stopped starts as it was.
if (!mount_usr($tree)) { $status = 2; }
else {
    if (run("$system/activate", $system) != 0) { $status = 2; print STDERR "the activation script failed\n"; }
    replace_link($system, '/run/current-system');
}

my $reexec = inode('/proc/1/exe') ne inode("$tree/lib/systemd/systemd");
run('systemctl', $reexec ? 'daemon-reexec' : 'daemon-reload') == 0 or $status ||= 4;
run('systemctl', 'reset-failed');
# 65 and 73 are lines that could not be followed, which are logged.
run('systemd-tmpfiles', '--create');

say_list('reloading the following units', $todo{reload});
run('systemctl', 'reload', '--', sort keys %{ $todo{reload} }) if %{ $todo{reload} };
unlink "$lists/reload";
my @restart = sort keys %{ $todo{restart} };
say_list('restarting the following units', $todo{restart});
run('systemctl', 'restart', '--no-block', '--', @restart) if @restart;
unlink "$lists/restart";
say_list('starting the following units', $fresh);
run('systemctl', 'start', '--no-block', '--', sort keys %{ $todo{start} });
my $waiting = settle();
unlink "$lists/start";

my @failed = failed_units();
if (@failed) {
    $status ||= 4;
    print STDERR "warning: the following units failed: @failed\n";
    print STDERR "$_\n" for output('systemctl', 'status', '--no-pager', '--full', '--lines=5', '--', @failed);
}
print STDERR "still starting: $waiting\n" if length $waiting;
say_reboot('is');
exit $status;

# --- Checks before ---------------------------------------------------------------------------------------------------

sub refuse { print STDERR "switch-to-configuration: $_[0]\n"; exit 1; }

# A second lock on what the evaluation refuses already: what opens a clone to everybody.
sub refuse_clone {
    my $etc = real("$system/etc");
    refuse('the system has the root shell of a clone (diorama-agent.service)') if -l "$etc/systemd/system/diorama-agent.service";
    for my $unit (glob "$etc/systemd/system/getty*.service") {
        refuse("the system has a console that logs in by itself ($unit)") if slurp($unit) =~ /^ExecStart=.*--autologin/m;
    }
    for my $line (lines("$etc/shadow")) {
        my ($user, $password) = split /:/, $line;
        refuse("the system's account $user has an empty password") if defined $password && $password eq '';
    }
    refuse('the system starts from disks that it shares with others') if slurp("$system/kernel-params") =~ /diorama\.layers=/;
}

sub tree_of {
    my ($of) = @_;
    my ($hash) = (readlink("$of/usr-trees") // '') =~ m{/([0-9a-z]+)-[^/]*$} or refuse("$of has no usr-trees");
    return "/var/diorama/usr/$hash";
}

# The system's /usr, which is made beside the old one: nothing changes yet.
sub composed {
    my ($of) = @_;
    run_quiet("$of/compose-usr", $of) == 0 or refuse('/usr could not be composed (is the disk full?)');
    return tree_of($of);
}

# --- Units ----------------------------------------------------------------------------------------------------------

sub active_units {
    my %found;
    for my $line (output('systemctl', 'list-units', '--all', '--full', '--plain', '--no-legend')) {
        my ($name, $load, $active, $sub) = split ' ', $line;
        $found{$name} = { active => $active, sub => $sub } if defined $sub;
    }
    return %found;
}

sub old_usr { return "/usr/$_[0]"; }

# Where the new system has a file of /usr.
sub new_usr {
    my ($path) = @_;
    return "$tree/$path" if defined $tree;
    return $found{$path} //= do {
        @packages = reverse lines("$system/usr-trees") if !@packages;
        my ($in) = grep { lstat "$_/usr/$path" } @packages;
        defined $in ? "$in/usr/$path" : "/nonexistent/$path";
    };
}

# The file that a path of a system leads to: its /etc is `etc`, and `usr` says where a file of its /usr is.
sub resolve {
    my ($etc, $usr, $path) = @_;
    for (1 .. 12) {
        $path =~ s{^/etc/static/|^/etc/}{$etc/};
        $path = $usr->($1) if $path =~ m{^/usr/(.*)};
        return $path if !-l $path;
        my $to = readlink $path;
        $to = ($path =~ s{[^/]+$}{}r) . $to if $to !~ m{^/};
        $path = $to;
    }
    return $path;
}

# A unit's text with its drop-ins, or nothing when the system has no such unit.
sub unit_text {
    my ($etc, $usr, $name) = @_;
    my $path = resolve($etc, $usr, "$units/$name");
    return undef if !-f $path;
    my $text = slurp($path);
    my $drops = resolve($etc, $usr, "$units/$name.d");
    for my $drop (sort glob "$drops/*.conf") { $text .= "\n" . slurp(resolve($etc, $usr, $drop)); }
    return $text;
}

sub parse {
    my ($text) = @_;
    my ($section, %found) = ('');
    $text =~ s/\\\n/ /g;
    for my $line (split /\n/, $text) {
        next if $line =~ /^\s*([#;].*)?$/;
        if ($line =~ /^\s*\[(.*)\]\s*$/) { $section = $1; }
        elsif ($line =~ /^\s*([^=]+?)\s*=\s*(.*?)\s*$/) { push @{ $found{$section}{$1} }, $2; }
    }
    return \%found;
}

sub setting {
    my ($text, $section, $key) = @_;
    my $values = parse($text)->{$section}{$key};
    return $values ? $values->[-1] : '';
}

# Whether two texts of a unit differ in what it does: same, reload or restart.
sub compare {
    return 'same' if $_[0] eq $_[1];
    my ($old, $new) = map { parse($_) } @_;
    my %quiet = map { $_ => 1 } qw(Description Documentation OnFailure OnSuccess OnFailureJobMode IgnoreOnIsolate StopWhenUnneeded
        RefuseManualStart RefuseManualStop AllowIsolate CollectMode SourcePath Before After Wants Upholds
        X-RestartIfChanged X-StopIfChanged X-ReloadIfChanged);
    my $result = 'same';
    for my $section (keys %{ { %$old, %$new } }) {
        next if $section eq 'Install';
        for my $key (keys %{ { %{ $old->{$section} // {} }, %{ $new->{$section} // {} } } }) {
            next if $section eq 'Unit' && $quiet{$key};
            my ($a, $b) = map { join "\0", @{ $_->{$section}{$key} // [] } } $old, $new;
            next if $a eq $b;
            return 'restart' if !($section eq 'Unit' && $key eq 'X-Reload-Triggers') && !($section eq 'Mount' && $key eq 'Options');
            $result = 'reload';
        }
    }
    return $result;
}

sub decide {
    my ($name, $new, $what) = @_;
    my $no = sub { return setting($new, 'Unit', $_[0]) =~ /^(0|no|false|off)$/i };
    my $yes = sub { return setting($new, 'Unit', $_[0]) =~ /^(1|yes|true|on)$/i };
    if ($what eq 'reload' || $yes->('X-ReloadIfChanged')) { $todo{reload}{$name} = 1; }
    elsif ($no->('X-RestartIfChanged') || $yes->('RefuseManualStop') || $yes->('X-OnlyManualStart')) { $todo{skip}{$name} = 1; }
    elsif ($no->('X-StopIfChanged') || $name !~ /\.service$/) { $todo{restart}{$name} = 1; }
    else { $todo{stop}{$name} = 1; $todo{start}{$name} = 1; }
}

# Units that the new system's targets want and that do not run.
sub new_units {
    my %wanted;
    for my $link (glob "$new_etc/systemd/system/*.target.wants/* $new_etc/systemd/system/*.target.requires/*") {
        my ($target, $name) = $link =~ m{/([^/]+)\.(?:wants|requires)/([^/]+)$};
        push @{ $wanted{$target} }, $name;
    }
    my (%found, %seen);
    my @targets = grep { ($active{$_}{active} // '') eq 'active' } keys %wanted;
    while (defined(my $target = shift @targets)) {
        next if $seen{$target}++;
        for my $name (@{ $wanted{$target} }) {
            next if ($active{$name}{active} // '') =~ /^(active|activating)$/;
            # Others of the old system did not run either: their condition failed, or they were done.
            $found{$name} = 1 if !defined unit_text($old_etc, \&old_usr, $name);
            push @targets, $name if $name =~ /\.target$/;
        }
    }
    return \%found;
}

sub real_default { return ((readlink "$new_etc/systemd/system/default.target") // 'multi-user.target') =~ s{.*/}{}r; }

# --- Packages --------------------------------------------------------------------------------------------------------

# What of the languages that load files by name has changed; of others the mapped files tell.
sub changed_packages {
    my %old = map { $_ => 1 } lines('/run/current-system/usr-trees');
    my %new = map { $_ => 1 } lines("$system/usr-trees");
    my @different = grep { !$old{$_} || !$new{$_} } keys %{ { %old, %new } };
    my %changed;
    for my $package (@different) {
        $changed{any} = 1;
        $changed{python} = 1 if there("$package/usr/lib/python3*");
        $changed{perl} = 1 if there("$package/usr/{share,lib/x86_64-linux-gnu}/perl*");
    }
    return \%changed;
}

# Whether a service runs programs or libraries that are not the new system's.
sub uses_changed {
    my ($name, $text) = @_;
    return 0 if !$changed->{any};
    my %show = map { split /=/, $_, 2 } output('systemctl', 'show', '-p', 'MainPID', '-p', 'ControlGroup', '--', $name);
    # Sessions that a service leaves running at its end are not the service.
    my @pids = setting($text, 'Service', 'KillMode') eq 'process' || !length($show{ControlGroup} // '')
        ? ($show{MainPID} // 0)
        : map { lines($_) } "/sys/fs/cgroup$show{ControlGroup}/cgroup.procs";
    for my $pid (grep { $_ > 0 } @pids) {
        my %seen;
        for my $line (lines("/proc/$pid/maps")) {
            my (undef, undef, undef, undef, $inode, $path) = split ' ', $line, 6;
            next if !defined $path || $path !~ m{^/usr/(.+)$} || $seen{$path}++;
            my $now = (stat new_usr($1))[1];
            return 1 if !defined $now || $now != $inode;
            return 1 if $changed->{python} && $path =~ /python3/;
            return 1 if $changed->{perl} && $path =~ m{/perl};
        }
    }
    return 0;
}

# Mounts the tree at /usr, read-only, over what is there: programs that run keep their files, new ones get the new.
sub mount_usr {
    my ($to) = @_;
    return 1 if inode('/usr') eq inode($to);
    # The kernel that runs may need its modules still.
    my $kernel = (POSIX::uname())[2];
    if (!-e "$to/lib/modules/$kernel" && -e "/usr/lib/modules/$kernel") {
        my $booted = tree_of(real('/run/booted-system'));
        mkdir "$to/lib/modules";
        symlink "$booted/lib/modules/$kernel", "$to/lib/modules/$kernel";
    }
    my $stage = '/run/diorama/usr';
    mkdir $stage;
    # A bind mount becomes read-only in a second step, and a copy of it has been so from the start.
    # Private, so that what is mounted over /usr the next time does not appear over the tree as well.
    my $staged = run('mount', '--bind', $to, $stage) == 0 && run('mount', '--make-private', $stage) == 0
        && run('mount', '-o', 'remount,bind,ro', $stage) == 0
        && run('mount', '--bind', $stage, '/usr') == 0;
    my $done = $staged && inode('/usr') eq inode($to);
    run('umount', $stage);
    print STDERR "/usr could not be mounted\n" if !$done;
    return $done;
}

# Removes trees of systems that nothing leads to any more.
sub sweep {
    my @systems = ($system, map { real($_) } grep { -e $_ } '/run/current-system', '/run/booted-system', glob '/nix/var/nix/profiles/system-*-link');
    my %kept = map { tree_of($_) => 1 } grep { -e "$_/usr-trees" } @systems;
    for my $old (glob '/var/diorama/usr/*') {
        next if $kept{$old} || !-d $old;
        run('rm', '-rf', '--', $old);
    }
}

# --- Afterwards ------------------------------------------------------------------------------------------------------

# Waits for systemd's jobs; gives those that go on.
sub settle {
    my $end = time + $patience;
    while (1) {
        my @jobs = map { (split ' ', $_)[1] } grep { /\S/ && !/^No jobs/ } output('systemctl', 'list-jobs', '--no-legend', '--plain');
        # The unit that runs this very program has a job as long as it runs.
        @jobs = grep { defined $_ && !/^(run-|diorama-)/ } @jobs;
        return '' if !@jobs;
        return join ' ', grep { !/\.target$/ } @jobs if time >= $end;
        select undef, undef, undef, 0.3;
    }
}

sub failed_units {
    my %now = active_units();
    my @failed;
    for my $name (sort keys %now) {
        if ($now{$name}{active} eq 'failed') { push @failed, $name; }
        elsif ($now{$name}{sub} eq 'auto-restart') {
            my ($status) = map { (split /=/, $_, 2)[1] } output('systemctl', 'show', '-p', 'ExecMainStatus', '--', $name);
            push @failed, $name if ($status // '0') ne '0';
        }
    }
    return @failed;
}

sub say_reboot {
    my ($verb) = @_;
    my @parts = grep { slurp_link("/run/booted-system/$_") ne slurp_link("$system/$_") } qw(kernel initrd kernel-params);
    my $note = '/run/diorama/reboot-due';
    if (!@parts) { unlink $note unless $dry; return; }
    print STDERR "a reboot $verb due: the machine runs with another " . join(' and ', @parts) . "\n";
    if (!$dry && open my $out, '>', $note) { print {$out} "@parts\n"; }
}

sub say_list {
    my ($words, $set) = @_;
    print STDERR "$words: " . join(', ', sort keys %$set) . "\n" if %$set;
}

# --- Small things ----------------------------------------------------------------------------------------------------

# A store path that a chain of links leads to.
sub real {
    my ($path) = @_;
    for (1 .. 12) {
        return $path if !-l $path;
        my $to = readlink $path;
        $path = $to =~ m{^/} ? $to : ($path =~ s{[^/]+$}{}r) . $to;
    }
    return $path;
}

sub there { my ($pattern) = @_; my @found = glob $pattern; return scalar @found; }
sub slurp_link { my ($path) = @_; return readlink($path) // ''; }
sub inode { my ($path) = @_; my @s = stat $path; return @s ? "$s[0]:$s[1]" : ''; }

sub replace_link {
    my ($to, $path) = @_;
    unlink "$path.new";
    symlink $to, "$path.new" or die "$path.new: $!\n";
    rename "$path.new", $path or die "$path: $!\n";
}

sub lines {
    my ($path) = @_;
    open my $in, '<', $path or return;
    chomp(my @lines = <$in>);
    return @lines;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return scalar(<$in>) // '';
}

sub write_list {
    my ($path, $set) = @_;
    open my $out, '>', "$path.new" or refuse("$path.new: $!");
    print {$out} "$_\n" for sort keys %$set;
    close $out or refuse("$path.new: $!");
    rename "$path.new", $path or refuse("$path: $!");
}

sub run { return system { $_[0] } @_; }

# What a program prints is for other programs, unless it is an error.
sub run_quiet {
    my @words = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        exec { $words[0] } @words or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return $?;
}

sub output {
    my @words = @_;
    open my $in, '-|', @words or return;
    chomp(my @lines = <$in>);
    close $in;
    return @lines;
}
