# Merges the packages' /etc with the system's own, as a tree of links: a file of the system comes before one of a
# package, a later package before an earlier one.
use strict;
use warnings;

my %file;
for my $package (split / /, $ENV{packages}) { collect("$package/etc", ''); }
sub collect {
    my ($tree, $base) = @_;
    opendir my $handle, "$tree/$base" or return;
    for my $name (grep { !/^\.\.?$/ } readdir $handle) {
        my $path = length $base ? "$base/$name" : $name;
        if (-d "$tree/$path" && !-l "$tree/$path") { collect($tree, $path); }
        else { $file{$path} = -l "$tree/$path" ? readlink "$tree/$path" : "$tree/$path"; }
    }
}

open my $entries, '<', $ENV{entriesPath} or die "$ENV{entriesPath}: $!\n";
my %own;
while (my $line = <$entries>) {
    chomp $line;
    my ($path, $source) = split /\t/, $line, 2;
    die "two sources want the path $path\n" if exists $own{$path};
    $own{$path} = $source;
}
# What is a file here cannot be a directory there.
for my $path (keys %file) {
    my $at = $path;
    while ($at =~ s{/[^/]+$}{}) { delete $file{$path} if exists $own{$at}; }
}
for my $path (keys %own) {
    my $at = $path;
    while ($at =~ s{/[^/]+$}{}) { delete $file{$at}; }
}
%file = (%file, %own);

mkdir $ENV{out} or die "$ENV{out}: $!\n";
for my $path (sort keys %file) {
    my $at = $ENV{out};
    my @parts = split m{/}, $path;
    my $name = pop @parts;
    for my $part (@parts) { $at .= "/$part"; mkdir $at unless -d $at; }
    symlink $file{$path}, "$at/$name" or die "$at/$name: $!\n";
}
