#!/usr/bin/perl
# Makes /etc what a system says: host-etc.pl SYSTEM [ETC]
#
# /etc/static leads to the system's tree and is switched by one rename; every file of the tree is a link through
# it, or a copy where it has permissions of its own. What is not in the tree is left alone. A list of what is
# ours is written before anything changes, so that a run that was killed is finished by the next.
use strict;
use warnings;

my ($system, $etc) = @ARGV;
$etc //= '/etc';
my $tree = readlink("$system/etc") // die "$system has no etc\n";
my $record = "$etc/.diorama-managed";

# Directories that are one link: their files change together.
my %whole = map { $_ => 1 } qw(systemd/system);

my %mode;
for my $line (lines("$system/modes")) {
    my ($mode, $uid, $gid, $path) = split /\t/, $line, 4;
    $mode{$path} = [oct $mode, $uid, $gid];
}

my (@files, %source);
collect('');
my %old = map { my ($path, $from) = split /\t/, $_, 2; $path => $from // '' } lines($record);
my %now = map { $_ => $source{$_} } @files;
write_record({ %old, %now });
replace_link("$tree", "$etc/static");

for my $path (@files) {
    parents($path);
    if (my $mode = $mode{$path}) { copy($path, @$mode); }
    else {
        my $to = link_of($path);
        replace_link($to, "$etc/$path") if (readlink("$etc/$path") // '') ne $to;
    }
}
for my $path (sort { $b cmp $a } grep { !exists $now{$_} } keys %old) {
    # A parent that became one link holds nothing of its own any more.
    next if grep { my $parent = $_; $path =~ m{^\Q$parent\E/} } keys %now;
    unlink "$etc/$path" if -l "$etc/$path" || -f _;
    while ($path =~ s{/[^/]+$}{}) { rmdir "$etc/$path" or last; }
}
write_record(\%now);

# A package's own relative link, such as ../usr/lib/os-release, leads somewhere from /etc and nowhere from the store.
sub link_of {
    my ($path) = @_;
    my $to = readlink("$tree/$path") // '';
    return length $to && $to !~ m{^/} ? $to : "/etc/static/$path";
}

# The leaves below a directory of the tree.
sub collect {
    my ($base) = @_;
    my $directory = "$tree/$base";
    opendir my $handle, $directory or die "$directory: $!\n";
    for my $name (sort grep { !/^\.\.?$/ } readdir $handle) {
        my $path = length $base ? "$base/$name" : $name;
        if (-d "$tree/$path" && !-l "$tree/$path" && !$whole{$path}) { collect($path); }
        else {
            push @files, $path;
            # A copy is made again only when what it comes from has changed, for services write to some.
            $source{$path} = $mode{$path} ? readlink("$tree/$path") // '' : '';
        }
    }
}

sub copy {
    my ($path, $mode, $uid, $gid) = @_;
    my $target = "$etc/$path";
    if (-f $target && !-l $target && ($old{$path} // '') eq $source{$path} && length $source{$path}) {
        chmod $mode, $target;
        chown $uid, $gid, $target;
        return;
    }
    my $text = slurp("$tree/$path");
    open my $out, '>:raw', "$target.new" or die "$target.new: $!\n";
    chmod $mode & 0600, "$target.new";
    print {$out} $text or die "$target.new: $!\n";
    close $out or die "$target.new: $!\n";
    chown $uid, $gid, "$target.new";
    chmod $mode, "$target.new";
    clear($target);
    rename "$target.new", $target or die "$target: $!\n";
}

sub replace_link {
    my ($to, $path) = @_;
    unlink "$path.new";
    symlink $to, "$path.new" or die "$path.new: $!\n";
    clear($path);
    rename "$path.new", $path or die "$path: $!\n";
}

# A directory where a file is to be: ours when nothing but our own links is in it.
sub clear {
    my ($path) = @_;
    return if -l $path || !-d $path;
    remove_links($path);
    return if rmdir $path;
    my $kept = "$path.before-diorama";
    rename $path, $kept or die "$path is a directory in the way: $!\n";
    warn "$path was a directory with files of its own; it is $kept now\n";
}

sub remove_links {
    my ($directory) = @_;
    opendir my $handle, $directory or return;
    for my $name (grep { !/^\.\.?$/ } readdir $handle) {
        my $path = "$directory/$name";
        if (-l $path) { unlink $path if readlink($path) =~ m{^(/etc/static|/nix/store)/}; }
        elsif (-d $path) { remove_links($path); rmdir $path; }
    }
}

sub parents {
    my ($path) = @_;
    my $at = $etc;
    my @parts = split m{/}, $path;
    pop @parts;
    for my $part (@parts) {
        $at .= "/$part";
        next if -d $at && !-l $at;
        unlink $at;
        mkdir $at, 0755 or die "$at: $!\n";
    }
}

sub write_record {
    my ($entries) = @_;
    open my $out, '>:raw', "$record.new" or die "$record.new: $!\n";
    print {$out} "$_\t$entries->{$_}\n" for sort keys %$entries;
    close $out or die "$record.new: $!\n";
    rename "$record.new", $record or die "$record: $!\n";
}

sub lines {
    my ($path) = @_;
    open my $in, '<:raw', $path or return;
    chomp(my @lines = <$in>);
    return @lines;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar(<$in>) // '';
}
