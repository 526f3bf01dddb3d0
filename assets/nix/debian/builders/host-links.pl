# What the packages' maintainer scripts would have set up below /usr: links that depend on which packages are there.
use strict;
use warnings;

my @packages = split / /, $ENV{packages};
sub there { my ($path) = @_; return grep { -e "$_/$path" || -l "$_/$path" } @packages; }

my %link;
for my $pair (split /\n/, $ENV{alternatives}) {
    my ($path, $target) = split / /, $pair;
    $link{$path} = $target if !exists $link{$path} && !there($path) && there($path =~ s{[^/]+$}{$target}r);
}
# PostgreSQL's programs, which Debian wraps to choose among versions.
for my $program (map { my $package = $_; map { substr $_, 1 + length $package } glob "$package/usr/lib/postgresql/*/bin/*" } @packages) {
    (my $name = $program) =~ s{.*/}{};
    $link{"usr/bin/$name"} //= $program =~ s{^usr}{..}r unless there("usr/bin/$name");
}
mkdir "$ENV{out}";
mkdir "$ENV{out}/$_" for qw(usr usr/bin usr/sbin);
for my $path (sort keys %link) { symlink $link{$path}, "$ENV{out}/$path" or die "$path: $!\n"; }
