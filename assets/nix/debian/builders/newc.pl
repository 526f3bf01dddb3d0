# Writes the tree in the current directory as a newc cpio archive: sorted names, owner root, one time.
use strict;
use warnings;
binmode STDOUT;
my ($offset, $inode) = (0, 0);

sub put { my ($bytes) = @_; print $bytes; $offset += length $bytes; }
sub pad { put("\0" x ((4 - $offset % 4) % 4)); }

sub entry {
    my ($name, $mode, $links, $data) = @_;
    put(sprintf '070701' . '%08X' x 13, ++$inode, $mode, 0, 0, $links, 1, length $data, 0, 0, 0, 0, length($name) + 1, 0);
    put("$name\0");
    pad();
    put($data);
    pad();
}

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar(<$file>) // '';
}

sub walk {
    my ($directory) = @_;
    opendir my $handle, $directory or die "$directory: $!\n";
    for my $name (sort grep { !/^\.\.?$/ } readdir $handle) {
        my $path = $directory eq '.' ? $name : "$directory/$name";
        if (-l $path) { entry($path, 0120777, 1, readlink $path); }
        elsif (-d $path) { entry($path, 0040755, 2, ''); walk($path); }
        else { entry($path, -x $path ? 0100755 : 0100644, 1, slurp($path)); }
    }
}

walk('.');
entry('TRAILER!!!', 0, 1, '');
put("\0" x ((512 - $offset % 512) % 512));
