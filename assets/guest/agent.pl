# The guest's end of the root shell of a clone: runs commands for the host over a virtio serial port.
#
#   agent.pl [PATH [TOKEN]]   PATH: the port (a socket in tests), instead of looking for diorama.agent
#
# With a TOKEN the port is a console in raw mode, which does not tell when a host comes or goes: the agent
# says TOKEN! when it begins, and whenever it reads the token, wherever that is, a new host has come. What
# follows is skipped up to that host's SYNC. Commands then get the agent's own environment.
#
# The protocol is in docs/architecture.md. One select loop serves the port and all commands; what a command
# may send is bounded by its window, what waits for the port by $OUT_LIMIT, so memory is bounded whatever
# the commands do. Perl alone, no modules: Debian's perl-base is in every guest, and loading costs boot time.
#
# Invariant: bytes leave in whole frames, except that SYNC drops whatever was still to be sent.
use strict;
use warnings;

use constant {
    SYNC => 1, HELLO => 2, EXEC => 3, STDIN_ => 4, SIGNAL => 5, RESIZE => 6, WINDOW => 7,
    STDOUT_ => 8, STDERR_ => 9, EXIT => 10, FAIL => 11, STDIN_ACK => 12,
};
my $VERSION   = 1;
my $MAX_FRAME = 65536;
my $CHUNK     = 32768;
my $OUT_LIMIT = 131072;

# Numbers of Linux's interface on x86-64, to load no module for them.
use constant {
    O_NONBLOCK => 04000, F_SETFL => 4, WNOHANG => 1,
    TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430, TIOCSWINSZ => 0x5414, TIOCSCTTY => 0x540E,
    SYS_SETSID => 112,
};

my $port;
my ($in, $out) = ('', '');
my %commands;    # by the host's id
my @orphans;     # output handles of commands that have ended, which something they left may still write to
my %pids;        # process id => command id; absent for commands that a SYNC ended
my $partial_since;
my $token = $ARGV[1];
my ($tail, $deaf) = ('', 0);    # the end of what was read, in which a token may begin; whether a SYNC is awaited

# A child's end wakes the loop also while it does something else than wait in select.
pipe my $wake_read, my $wake_write or die "pipe: $!\n";
nonblocking($_) for $wake_read, $wake_write;
$SIG{CHLD} = sub { syswrite $wake_write, 'x' };
$SIG{PIPE} = 'IGNORE';

open_port(@ARGV);
greet() if defined $token;
serve();

sub nonblocking { my ($handle) = @_; fcntl $handle, F_SETFL, O_NONBLOCK or die "fcntl: $!\n"; }

sub open_port {
    my ($path) = @_;
    until (defined $path) {
        for my $name (glob '/sys/class/virtio-ports/*/name') {
            open my $file, '<', $name or next;
            chomp(my $value = <$file> // '');
            $path = "/dev/$1" if $value eq 'diorama.agent' && $name =~ m{/([^/]+)/name$};
        }
        select undef, undef, undef, 0.2 unless defined $path;
    }
    if ($path =~ /^fd:(\d+)$/) { open $port, '+<&=', $1 or die "$path: $!\n"; }
    else { open $port, '+<', $path or die "$path: $!\n"; }
    binmode $port;
    nonblocking($port);
}

# Forgets the host of before and tells the new one who listens.
sub greet {
    end_all();
    undef $partial_since;
    ($in, $tail, $deaf) = ('', '', 1);
    $out = "$token!";
}

# Looks for the token in what was read, and skips what is no frame behind it.
sub sift {
    my ($bytes) = @_;
    my $both = $tail . $bytes;
    my $at   = rindex $both, $token;
    if ($at >= 0) {
        greet();
        $bytes = substr $both, $at + length $token;
        $both  = $bytes;
    }
    $tail = substr $both, -(length($token) - 1);
    return $bytes if !$deaf;
    $in .= $bytes;
    my $sync = index $in, "\0\0\0\x15\x01\0\0\0\0";
    if ($sync < 0) {
        $in = substr $in, -8;
        return '';
    }
    $bytes = substr $in, $sync;
    ($in, $deaf) = ('', 0);
    return $bytes;
}

sub send_frame {
    my ($type, $id, $payload) = @_;
    $out .= pack('NCN', 5 + length $payload, $type, $id) . $payload;
}

sub serve {
    while (1) {
        my ($readers, $writers) = ('', '');
        vec($readers, fileno $port, 1) = 1;
        vec($readers, fileno $wake_read, 1) = 1;
        vec($writers, fileno $port, 1) = 1 if length $out;
        my $room = length $out < $OUT_LIMIT;
        for my $command (values %commands) {
            if ($room && $command->{window} > 0) {
                vec($readers, fileno $_->{handle}, 1) = 1 for @{ $command->{outputs} };
            }
            vec($writers, fileno $command->{stdin}, 1) = 1 if $command->{stdin} && stdin_waits($command);
        }
        vec($readers, fileno $_, 1) = 1 for @orphans;
        # Perl runs a handler between two operations: a SIGCHLD after the last look and before select sleeps
        # is only noted. So the sleep is short while there is a child whose end could be missed.
        my $timeout = defined $partial_since ? 0.2 : %pids ? 0.5 : undef;
        my $ready = select $readers, $writers, undef, $timeout;
        if ($ready < 0) { next if $!{EINTR}; die "select: $!\n"; }

        if (vec $readers, fileno $wake_read, 1) { sysread $wake_read, my ($bytes), 4096; }
        read_port() if vec $readers, fileno $port, 1;
        late_sync() if defined $partial_since && time_passed();
        for my $id (sort { $a <=> $b } keys %commands) {
            my $command = $commands{$id} or next;
            if ($command->{stdin} && vec $writers, fileno $command->{stdin}, 1) { write_stdin($id, $command); }
            for my $output (@{ $command->{outputs} }) {
                read_output($id, $command, $output) if vec $readers, fileno $output->{handle}, 1;
            }
            @{ $command->{outputs} } = grep { $_->{handle} } @{ $command->{outputs} };
        }
        @orphans = grep { !vec($readers, fileno $_, 1) || discard($_) } @orphans;
        reap();
        finish($_) for sort { $a <=> $b } grep { defined $commands{$_}{status} } keys %commands;
        write_port() if length $out;
    }
}

# --- the port ---

sub read_port {
    my $count = sysread $port, my ($bytes), $MAX_FRAME;
    if (!defined $count) {
        return if $!{EAGAIN} || $!{EINTR};
        exit 0 if @ARGV;
        die "reading the port: $!\n";
    }
    if ($count == 0) {
        # No host: half a frame will never be completed. The port stays readable, so wait by the clock.
        exit 0 if @ARGV;
        $in = '';
        undef $partial_since;
        select undef, undef, undef, 0.1;
        return;
    }
    $bytes = sift($bytes) if defined $token;
    return if $deaf;
    $in .= $bytes;
    while (length $in >= 4) {
        my $length = unpack 'N', $in;
        if ($length < 5 || $length > $MAX_FRAME) {
            die "the host sent a bad frame\n" if !defined $token;
            greet();
            return;
        }
        last if length $in < 4 + $length;
        my (undef, $type, $id) = unpack 'NCN', $in;
        my $payload = substr $in, 9, $length - 5;
        substr($in, 0, 4 + $length) = '';
        handle($type, $id, $payload);
    }
    $partial_since = length $in ? now() : undef;
}

sub now { open my $file, '<', '/proc/uptime' or return 0; return (split ' ', <$file>)[0]; }
sub time_passed { return now() - $partial_since >= 0.2; }

# A host that died in the middle of a frame and came back sends a SYNC that looks like that frame's rest:
# when nothing follows it for a while, it is one.
sub late_sync {
    my $tail = length $in >= 25 ? substr $in, -25 : '';
    if ($tail =~ /^\0\0\0\x15\x01\0\0\0\0/) {
        $in = '';
        undef $partial_since;
        handle(SYNC, 0, substr $tail, 9);
    }
    else { $partial_since = now(); }
}

sub write_port {
    my $count = syswrite $port, $out, length $out;
    if (!defined $count) {
        return if $!{EAGAIN} || $!{EINTR};
        return if $!{EPIPE} && !@ARGV;
        exit 0;
    }
    substr($out, 0, $count) = '';
}

sub handle {
    my ($type, $id, $payload) = @_;
    if ($type == SYNC) {
        end_all();
        $out = '';
        send_frame(HELLO, $id, $payload . pack 'C', $VERSION);
        return;
    }
    if ($type == EXEC) { start($id, $payload); return; }
    # A command may end while the host is still speaking to it.
    my $command = $commands{$id} or return;
    if ($type == STDIN_) {
        if (length $payload) { $command->{input} .= $payload; }
        else { $command->{input_ends} = 1; }
        write_stdin($id, $command);
    }
    elsif ($type == SIGNAL) { kill unpack('C', $payload), -$command->{pid} unless defined $command->{status}; }
    elsif ($type == RESIZE) { resize($command->{pty}, unpack 'nn', $payload) if $command->{pty}; }
    elsif ($type == WINDOW) { $command->{window} += unpack 'N', $payload; }
    else { die "the host sent an unknown frame type $type\n"; }
}

# --- commands ---

sub end_all {
    for my $command (values %commands) { kill 'KILL', -$command->{pid}; }
    %commands = ();
    %pids     = ();
}

sub resize { my ($pty, $rows, $cols) = @_; my $size = pack 'S4', $rows, $cols, 0, 0; ioctl $pty, TIOCSWINSZ, $size; }

sub start {
    my ($id, $payload) = @_;
    my ($flags, $rows, $cols, $window) = unpack 'CnnN', $payload;
    my @words = split /\0/, substr($payload, 9), -1;
    pop @words;
    my $entries = shift(@words) // 0;
    my %environment = (
        PATH  => '/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/usr/games',
        HOME  => '/root', USER => 'root', LOGNAME => 'root', SHELL => '/bin/bash',
        LANG  => $ENV{LANG} // 'C.UTF-8',
        TERM  => $flags & 1 ? 'xterm-256color' : 'dumb',
        $flags & 1 ? () : (PAGER => 'cat', SYSTEMD_PAGER => 'cat'),
        # Where the machine's display is, when it has one; and what every service of the machine has.
        map { exists $ENV{$_} ? ($_ => $ENV{$_}) : () } qw(DISPLAY XAUTHORITY), split(' ', $ENV{DIORAMA_PASS} // ''),
        # A system of another kind has its programs in other places.
        defined $token ? map { $_ => $ENV{$_} } grep { !/^(?:TERM|PAGER|PS1)$/ } keys %ENV : (),
    );
    for my $entry (splice @words, 0, $entries) {
        my ($key, $value) = split /=/, $entry, 2;
        $environment{$key} = $value;
    }
    if (!@words)               { send_frame(FAIL, $id, 'no command was given'); return; }
    if (exists $commands{$id}) { send_frame(FAIL, $id, "command $id is running already"); return; }
    my $command = eval { $flags & 1 ? spawn_pty($rows, $cols, \%environment, @words) : spawn_pipes(\%environment, @words) };
    if (!$command) {
        chomp(my $why = $@);
        send_frame(FAIL, $id, $why);
        return;
    }
    $command->{window} = $window;
    $command->{input}  = '';
    $commands{$id}     = $command;
    $pids{ $command->{pid} } = $id;
}

sub spawn_pipes {
    my ($environment, @words) = @_;
    pipe my $stdin_read,  my $stdin_write  or die "pipe: $!\n";
    pipe my $stdout_read, my $stdout_write or die "pipe: $!\n";
    pipe my $stderr_read, my $stderr_write or die "pipe: $!\n";
    my $pid = spawn($environment, \@words, sub {
        open STDIN,  '<&', $stdin_read   or die "stdin: $!\n";
        open STDOUT, '>&', $stdout_write or die "stdout: $!\n";
        open STDERR, '>&', $stderr_write or die "stderr: $!\n";
    });
    nonblocking($_) for $stdin_write, $stdout_read, $stderr_read;
    return {
        pid     => $pid,
        stdin   => $stdin_write,
        outputs => [ { handle => $stdout_read, type => STDOUT_ }, { handle => $stderr_read, type => STDERR_ } ],
    };
}

sub spawn_pty {
    my ($rows, $cols, $environment, @words) = @_;
    open my $master, '+<', '/dev/ptmx' or die "/dev/ptmx: $!\n";
    my ($locked, $number) = (pack('i', 0)) x 2;
    ioctl $master, TIOCSPTLCK, $locked or die "unlocking the terminal: $!\n";
    ioctl $master, TIOCGPTN, $number or die "the terminal's number: $!\n";
    my $slave = '/dev/pts/' . unpack 'i', $number;
    resize($master, $rows, $cols) if $rows && $cols;
    my $pid = spawn($environment, \@words, sub {
        open my $terminal, '+<', $slave or die "$slave: $!\n";
        my $steal = 0;
        ioctl $terminal, TIOCSCTTY, $steal;
        open STDIN,  '<&', $terminal or die "stdin: $!\n";
        open STDOUT, '>&', $terminal or die "stdout: $!\n";
        open STDERR, '>&', $terminal or die "stderr: $!\n";
    });
    nonblocking($master);
    return { pid => $pid, pty => $master, stdin => $master, outputs => [ { handle => $master, type => STDOUT_ } ] };
}

# Forks and executes; a failure before the program runs comes back as an exception.
sub spawn {
    my ($environment, $words, $prepare) = @_;
    pipe my $error_read, my $error_write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(PIPE CHLD HUP INT QUIT TERM);
        close $error_read;
        syscall SYS_SETSID;
        eval {
            $prepare->();
            chdir($environment->{HOME}) or chdir '/';
            %ENV = %$environment;
            no warnings 'exec';
            exec { $words->[0] } @$words or die "$words->[0]: $!\n";
        };
        syswrite $error_write, $@;
        kill 'KILL', $$;
    }
    close $error_write;
    my $why = '';
    while (1) {
        my $count = sysread $error_read, $why, 4096, length $why;
        last if defined $count ? !$count : !$!{EINTR};
    }
    if (length $why) { waitpid $pid, 0; die $why; }
    return $pid;
}

sub stdin_waits { my ($command) = @_; return length $command->{input} || $command->{input_ends}; }

sub write_stdin {
    my ($id, $command) = @_;
    my $stdin = $command->{stdin};
    if (!$stdin) {
        # Nobody reads any more: take what the host sends, so that it is not kept waiting.
        acknowledge($id, length $command->{input});
        $command->{input} = '';
        return;
    }
    if (length $command->{input}) {
        my $count = syswrite $stdin, $command->{input}, length $command->{input} > 65536 ? 65536 : length $command->{input};
        if (defined $count) {
            substr($command->{input}, 0, $count) = '';
            acknowledge($id, $count);
        }
        elsif (!$!{EAGAIN} && !$!{EINTR}) {
            close_stdin($id, $command);
            return;
        }
    }
    if (!length $command->{input} && delete $command->{input_ends}) {
        if ($command->{pty}) { syswrite $stdin, "\x04"; }
        else { close_stdin($id, $command); }
    }
}

sub acknowledge { my ($id, $count) = @_; send_frame(STDIN_ACK, $id, pack 'N', $count) if $count; }

sub close_stdin {
    my ($id, $command) = @_;
    close $command->{stdin} unless $command->{pty};
    delete $command->{stdin};
    acknowledge($id, length $command->{input});
    $command->{input} = '';
}

# Reads what the window allows; returns whether there may be more at once.
sub read_output {
    my ($id, $command, $output) = @_;
    my $limit = $command->{window} < $CHUNK ? $command->{window} : $CHUNK;
    return 0 if $limit <= 0;
    my $count = sysread $output->{handle}, my ($bytes), $limit;
    if ($count) {
        $command->{window} -= $count;
        send_frame($output->{type}, $id, $bytes);
        return 1;
    }
    return 0 if !defined $count && ($!{EAGAIN} || $!{EINTR});
    # The end; a terminal says EIO when its last user is gone.
    close $output->{handle} unless $command->{pty};
    delete $output->{handle};
    return 0;
}

sub reap {
    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        my $id = delete $pids{$pid};
        $commands{$id}{status} = $? if defined $id && $commands{$id};
    }
}

# Reads what nobody wants to know any more; false at its end.
sub discard {
    my ($handle) = @_;
    my $count = sysread $handle, my ($bytes), $CHUNK;
    return defined $count ? $count : $!{EAGAIN} || $!{EINTR};
}

# A command that has ended is reported once what it wrote is sent; what its orphans write later is not
# waited for. It is read all the same: a server left in the background must not die of a broken pipe.
sub finish {
    my ($id) = @_;
    my $command = $commands{$id};
    for my $output (@{ $command->{outputs} }) {
        while ($output->{handle}) {
            return if length $out >= $OUT_LIMIT || $command->{window} <= 0;
            last if !read_output($id, $command, $output);
        }
    }
    my $status = $command->{status};
    send_frame(EXIT, $id, $status & 127 ? pack('CC', 1, $status & 127) : pack('CC', 0, $status >> 8));
    push @orphans, map { $_->{handle} // () } @{ $command->{outputs} } unless $command->{pty};
    delete $commands{$id};
}
