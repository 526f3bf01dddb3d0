#!/usr/bin/perl
# The guest's agent over a socket pair: frames, flow control, terminals, endings. Run: perl tests/guest/agent.t
use strict;
use warnings;
use Socket;
use FindBin;
use Test::More;

my ($host, $agent);

sub connect_agent {
    socketpair($host, my $guest, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
    local $^F = 255;
    $agent = fork // die "fork: $!";
    if (!$agent) {
        close $host;
        open my $inherited, '+<&', $guest or die $!;
        exec $^X, "$FindBin::Bin/../../assets/guest/agent.pl", 'fd:' . fileno $inherited;
        die "exec: $!";
    }
    close $guest;
}

sub put { my ($type, $id, $payload) = @_; syswrite $host, pack('NCN', 5 + length $payload, $type, $id) . $payload; }

sub bytes {
    my ($count) = @_;
    my $data = '';
    while (length $data < $count) {
        my $readers = '';
        vec($readers, fileno $host, 1) = 1;
        select($readers, undef, undef, 20) or die "the agent says nothing";
        sysread($host, $data, $count - length $data, length $data) or die "the agent is gone";
    }
    return $data;
}

sub frame {
    my $length = unpack 'N', bytes(4);
    my ($type, $id) = unpack 'CN', my $body = bytes($length);
    return ($type, $id, substr $body, 5);
}

sub execute {
    my ($id, $flags, $window, $environment, @words) = @_;
    put(3, $id, pack('CnnN', $flags, 24, 80, $window) . join '', map {"$_\0"} scalar @$environment, @$environment, @words);
}

# Everything up to a command's end, as { out, err, end }.
sub collect {
    my ($id) = @_;
    my %result = (8 => '', 9 => '', 12 => 0);
    while (1) {
        my ($type, $from, $payload) = frame();
        next if $from != $id;
        if ($type == 12) { $result{12} += unpack 'N', $payload; next; }
        if ($type == 10) { return (@result{8, 9}, join(':', unpack 'CC', $payload), $result{12}); }
        if ($type == 11) { return (@result{8, 9}, "failed: $payload", $result{12}); }
        $result{$type} .= $payload;
    }
}

connect_agent();
my $nonce = join '', map { chr } 0 .. 15;
put(1, 0, $nonce);
is_deeply([ frame() ], [ 2, 0, $nonce . chr 1 ], 'SYNC is answered by HELLO with its nonce and the version');

execute(1, 0, 1 << 20, ['A=b c'], 'sh', '-c', 'echo "$A"; echo no >&2; exit 7');
is_deeply([ collect(1) ], [ "b c\n", "no\n", '0:7', 0 ], 'output, errors and status are apart');

execute(2, 0, 1 << 20, [], 'sh', '-c', 'kill -9 $$');
is((collect(2))[2], '1:9', 'a signal is reported as one');

execute(3, 0, 1 << 20, [], '/no/such/program');
like((collect(3))[2], qr{^failed: /no/such/program: No such file}, 'what cannot start says why');

execute(4, 0, 1 << 20, [], 'cat');
put(4, 4, 'x' x 60000);
put(4, 4, 'y' x 60000);
put(4, 4, '');
my ($out, undef, $end, $acknowledged) = collect(4);
ok($out eq 'x' x 60000 . 'y' x 60000, 'input reaches the command whole');
is("$end $acknowledged", '0:0 120000', 'its end ends the command, and all of it is acknowledged');

execute(5, 0, 10, [], 'sh', '-c', 'printf 0123456789abcdef');
execute(6, 0, 1 << 20, [], 'echo', 'another');
is((collect(6))[0], "another\n", 'a command that waits for its window holds up no other');
put(7, 5, pack 'N', 3);
put(7, 5, pack 'N', 100);
# The ten bytes of the first window came while command 6 was waited for.
is((collect(5))[0], 'abcdef', 'a window bounds what is sent');

execute(7, 1, 1 << 20, [], 'sh', '-c', 'tty; stty size; read line; echo "got $line"');
put(6, 7, pack 'nn', 50, 132);
put(4, 7, "hello\n");
($out, undef, $end) = collect(7);
is($end, "0:0", "a terminal is opened");
# The terminal's echo of what is typed may come anywhere before it is read.
like($out, qr{/dev/pts/\d+\r\n(?:hello\r\n)?(24 80|50 132)\r\n}, 'a terminal is one, and has its size');
like($out, qr{got hello\r\n$}, 'and what is typed is read');

execute(8, 0, 1 << 20, [], 'sh', '-c', 'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.1; done');
is((frame())[2], "ready\n", 'a command speaks while it runs');
put(5, 8, chr 15);
is_deeply([ (collect(8))[0, 2] ], [ "caught\n", '0:3' ], 'a signal reaches it');

execute(9, 0, 1 << 20, [], 'sh', '-c', 'sleep 60 & echo $!');
($out, undef, $end) = collect(9);
is($end, '0:0', 'a process left behind is not waited for');
kill 'KILL', $out;

my $marker = "/tmp/agent-test-$$";
execute(12, 0, 1 << 20, [], 'sh', '-c', "(sleep 0.3; echo a; echo b >&2; echo c; echo lives > $marker) &");
is((collect(12))[2], '0:0', 'one that still has something to say neither');
for (1 .. 1500) { last if -s $marker; select undef, undef, undef, 0.02; }
ok(-s $marker, 'and it does not die of saying it');
unlink $marker;

execute(10, 0, 1 << 20, [], 'sh', '-c', 'echo $$; exec sleep 60');
my $sleeper = (frame())[2];
put(1, 0, $nonce);
is((frame())[0], 2, 'SYNC answers again');
for (1 .. 1500) { last if !kill 0, $sleeper; select undef, undef, undef, 0.02; }
ok(!kill(0, $sleeper), 'and ends what was running');

# Half a frame, then a host that begins anew.
syswrite $host, pack('NCN', 5 + 1000, 4, 1) . 'x' x 100;
select undef, undef, undef, 0.05;
put(1, 0, $nonce);
is_deeply([ frame() ], [ 2, 0, $nonce . chr 1 ], 'half a frame of a host that died does not hide the next SYNC');

execute(11, 0, 1 << 22, [], 'sh', '-c', 'head -c 3000000 /dev/zero');
is(length((collect(11))[0]), 3000000, 'megabytes pass');

syswrite $host, pack 'N', 1 << 30;
my $ended = waitpid $agent, 0;
is($ended, $agent, 'a frame that is too long closes the channel');

done_testing();
