#!/usr/bin/perl
# What runs on a host at a switch, on directories of its own: /etc, the boot menu, /usr. Run: perl tests/guest/host.t
use strict;
use warnings;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

my $guest = "$FindBin::Bin/../../assets/guest";
my $base = tempdir(CLEANUP => 1);
my $etc = "$base/etc";
my ($uid, $gid) = ($>, (split ' ', $))[0]);
mkdir $etc;

sub put { my ($path, $text) = @_; make_path($path =~ s{/[^/]+$}{}r); open my $out, '>', $path or die "$path: $!"; print {$out} $text; close $out; return $path; }
sub get { my ($path) = @_; open my $in, '<', $path or return undef; local $/; return scalar <$in>; }
sub mode { return sprintf '%04o', (stat $_[0])[2] & 07777; }

# A system whose /etc has these files: PATH => TEXT, or [TEXT, MODE].
my $count = 0;
sub make_system {
    my (%files) = @_;
    my $dir = "$base/store/" . 'a' x 31 . ++$count . '-system-web';
    my $modes = '';
    mkdir $_ for "$base/store", $dir, "$dir-etc";
    for my $path (keys %files) {
        my ($text, $mode) = ref $files{$path} ? @{ $files{$path} } : ($files{$path});
        my $source = put("$base/store/" . ($mode ? unpack('H*', "$path$text") : "$count-$path"), $text);
        make_path("$dir-etc/$path" =~ s{/[^/]+$}{}r);
        symlink $source, "$dir-etc/$path" or die "$path: $!";
        $modes .= "$mode\t$uid\t$gid\t$path\n" if $mode;
    }
    symlink "$dir-etc", "$dir/etc";
    put("$dir/modes", $modes);
    return $dir;
}
sub activate { my ($system) = @_; return system $^X, "$guest/host-etc.pl", $system, $etc; }
# What a file of /etc leads to: its links are absolute.
sub through { my ($path) = @_; my $to = readlink "$etc/$path" // return undef; $to =~ s{^/etc/static}{readlink "$etc/static"}e; return get($to); }

put("$etc/mine", "unmanaged\n");
my $first = make_system('hosts' => "one\n", 'a/b/c' => "deep\n", 'gone' => "g\n", 'dir/x' => "x\n", 'flat' => "f\n",
    'shadow' => ["s\n", '0640'], 'resolv.conf' => ["r\n", '0644']);
is(activate($first), 0, 'an empty /etc');
is(through('hosts'), "one\n", 'a file is a link through static');
is(through('a/b/c'), "deep\n", 'in directories too');
is(mode("$etc/shadow"), '0640', 'a copy has its own permissions');
ok(!-l "$etc/shadow", 'and is a file');

symlink '../usr/lib/os-release', "$first-etc/os-release";
is(activate($first), 0, 'a relative link of a package');
is(readlink("$etc/os-release"), '../usr/lib/os-release', 'stays one, as it leads nowhere from the store');

put("$etc/resolv.conf", "written by a service\n");
my $second = make_system('hosts' => "two\n", 'a/b/d' => "other\n", 'dir' => "a file now\n", 'flat/y' => "a directory now\n",
    'shadow' => ["new\n", '0600'], 'resolv.conf' => ["r\n", '0644']);
is(activate($second), 0, 'the next system');
is(through('hosts'), "two\n", 'the same link leads to the new text');
ok(!-l "$etc/gone", 'what is gone is removed');
ok(!-l "$etc/a/b/c" && -l "$etc/a/b/d", 'in directories too');
is(through('dir'), "a file now\n", 'a directory becomes a file');
is(through('flat/y'), "a directory now\n", 'a file becomes a directory');
is(get("$etc/shadow"), "new\n", 'a changed copy is made again');
is(mode("$etc/shadow"), '0600', 'with its new permissions');
is(get("$etc/resolv.conf"), "written by a service\n", 'an unchanged one keeps what a service wrote');
is(get("$etc/mine"), "unmanaged\n", 'what is nobody\'s stays');
is(activate($second), 0, 'again');
is(get("$etc/mine"), "unmanaged\n", 'changes nothing');

# Killed after the list was written and before anything else: both systems' files are in it.
my $third = make_system('late' => "l\n");
my %listed = map { (split /\t/)[0] => 1 } split /\n/, get("$etc/.diorama-managed");
put("$etc/.diorama-managed", join '', map { "$_\t\n" } 'late', keys %listed);
is(activate($third), 0, 'a killed run is finished');
is_deeply([sort grep { !/^\.\.?$/ } do { opendir(my $h, $etc); readdir $h }], ['.diorama-managed', 'late', 'mine', 'static'], 'nothing is left over');

# --- The boot menu ---
my $profiles = "$base/profiles";
mkdir $profiles;
my @systems = map { my $dir = make_system(); symlink "/store/$_/vmlinuz", "$dir/kernel"; symlink "/store/$_/initrd", "$dir/initrd";
    put("$dir/kernel-params", "quiet\n"); put("$dir/usr-trees", ''); $dir } 1 .. 3;
symlink $systems[0], "$profiles/system-9-link";
symlink $systems[1], "$profiles/system-10-link";
symlink "$base/store/collected", "$profiles/system-3-link";
sub menu { my ($system) = @_; system($^X, "$guest/host-grub.pl", "$base/grub.cfg", $profiles, $system, 'UUID=u') == 0 or return ''; return get("$base/grub.cfg"); }
my $menu = menu($systems[0]);
like($menu, qr/^set default=generation-9$/m, 'the given system is the default');
is_deeply([$menu =~ /--id (\S+)/g], ['generation-10', 'generation-9'], 'generations from the newest on, without those that are gone');
like($menu, qr{^  linux /store/1/vmlinuz quiet root=UUID=u diorama\.system=\Q$systems[0]\E$}m, 'with its own kernel and words');
$menu = menu($systems[2]);
like($menu, qr/^set default=system$/m, 'a system outside the profile has an entry of its own');
is(scalar(() = $menu =~ /^menuentry/mg), 3, 'beside the generations');

# --- /usr ---
my $host = $systems[0];
put("$base/p1/usr/bin/a", "1\n");
put("$base/p1/usr/share/x", "x\n");
put("$base/p2/usr/bin/b", "2\n");
put("$base/p3/etc/only", '');
unlink "$host/usr-trees";
symlink put("$base/store/h4sh-usr-trees", join '', map { "$base/$_\n" } qw(p1 p2 p3)), "$host/usr-trees";
put("$base/root/var/diorama/usr/h4sh.new/half", '');
chomp(my $tree = `sh "$guest/host-compose-usr.sh" "$host" "$base/root"`);
is($tree, "$base/root/var/diorama/usr/h4sh", 'a tree is named by its packages');
is(get("$tree/bin/a") . get("$tree/bin/b"), "1\n2\n", 'packages are merged');
is((stat "$tree/share/x")[1], (stat "$base/p1/usr/share/x")[1], 'as hard links');
ok(!-e "$tree/half" && !-e "$tree.new", 'what was half made is gone');
is(system("sh '$guest/host-compose-usr.sh' '$host' '$base/root' >/dev/null"), 0, 'again');

done_testing();
