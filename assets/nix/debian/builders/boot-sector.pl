# Writes GRUB's first parts and a table with one partition: boot-sector.pl DISK BOOT_IMG CORE_IMG
use strict;
use warnings;

my ($disk, $boot_path, $core_path) = @ARGV;
my ($start, $sectors) = (2048, (-s $disk) / 512);
my ($boot, $core) = (slurp($boot_path), slurp($core_path));
die "boot.img has " . length($boot) . " bytes, not 512\n" if length $boot != 512;
die "core.img does not fit before the first partition\n" if length $core > ($start - 1) * 512;

# An entry: active, no cylinders, type Linux, first sector and length. A disk that is larger than the table can
# say is used as far as it can.
my $length = $sectors - $start;
$length = 0xffffffff if $length > 0xffffffff;
my $table = pack('C8VV', 0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff, $start, $length) . "\0" x 48;
substr($boot, 440, 72) = pack('V', 0x64696f72) . "\0\0" . $table . "\x55\xaa";

open my $file, '+<:raw', $disk or die "$disk: $!\n";
print {$file} $boot, $core or die "$disk: $!\n";
close $file or die "$disk: $!\n";

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}
