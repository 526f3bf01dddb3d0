#!/usr/bin/perl
# Writes the boot loader's menu: host-grub.pl MENU PROFILES SYSTEM ROOT
#
# One entry for every generation of the profile, the newest first, and SYSTEM the one that starts by itself. The
# menu is written beside, flushed and renamed: the machine finds the old one or the new one.
use strict;
use warnings;
use IO::Handle;

my ($menu, $profiles, $system, $root) = @ARGV;
die "usage: host-grub.pl MENU PROFILES SYSTEM ROOT\n" unless defined $root;

my %generation;
if (opendir my $handle, $profiles) {
    for my $name (readdir $handle) {
        next unless $name =~ /^system-(\d+)-link$/;
        my $to = readlink "$profiles/$name";
        $generation{$1} = $to if defined $to && -e "$to/usr-trees";
    }
}

my @entries = map { ["generation-$_", "generation $_", $generation{$_}] } sort { $b <=> $a } keys %generation;
my ($default) = grep { $_->[2] eq $system } @entries;
if (!$default) {
    $default = ['system', 'not in the profile', $system];
    unshift @entries, $default;
}

my $text = <<"END";
# Written by diorama at every switch; changes here are lost.
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=1
set default=$default->[0]
END
for my $entry (@entries) {
    my ($id, $title, $path) = @$entry;
    my $kernel = readlink("$path/kernel") // die "$path has no kernel\n";
    my $initrd = readlink("$path/initrd") // die "$path has no initrd\n";
    my $words = slurp("$path/kernel-params");
    chomp $words;
    (my $name = $path) =~ s{.*/[0-9a-z]{32}-(system-)?}{};
    $text .= <<"END";
menuentry '$name: $title' --id $id {
  linux $kernel $words root=$root diorama.system=$path
  initrd $initrd
}
END
}

open my $out, '>:raw', "$menu.new" or die "$menu.new: $!\n";
print {$out} $text or die "$menu.new: $!\n";
$out->flush or die "$menu.new: $!\n";
$out->sync or die "$menu.new: $!\n";
close $out or die "$menu.new: $!\n";
rename "$menu.new", $menu or die "$menu: $!\n";
(my $directory = $menu) =~ s{/[^/]+$}{};
if (open my $handle, '<', $directory) {
    $handle->sync;
    # GRUB reads the file system without its journal: what is in the journal is written to its place
    # (EXT4_IOC_CHECKPOINT). Elsewhere than on ext4 this does nothing.
    my $flags = pack 'L', 0;
    ioctl $handle, 0x4004662b, $flags;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar(<$in>) // '';
}
