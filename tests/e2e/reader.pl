# reader.pl PORT NAME FILE GO: a client in lockstep that fetches NAME into FILE and takes its time, a block in a while,
# until there is a file GO: for a transfer that must not end before the test has done something. No options.
use strict;
use warnings;
use IO::Select;
use Socket;

my ($port, $name, $file, $go) = @ARGV;
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die "socket: $!\n";
my $packet = "\0\1$name\0octet\0";
my $to = sockaddr_in($port, inet_aton("127.0.0.1"));
open(my $out, ">", $file) or die "$file: $!\n";
binmode $out;
alarm 900;
for (my $n = 1; ; $n++) {
	my ($op, $block, $data) = (0, 0);
	send($s, $packet, 0, $to);
	until ($op == 3 && $block == ($n & 0xffff)) {
		if (!IO::Select->new($s)->can_read(5)) {
			send($s, $packet, 0, $to);
			next;
		}
		my $from = recv($s, my $answer, 65536, 0);
		next if !defined $from;
		($op, $block, $data) = unpack("nna*", $answer);
		die "ERROR $block $data\n" if $op == 5;
		$to = $from;
	}
	print $out $data;
	select(undef, undef, undef, 0.05) if $n > 3 && !-e $go;
	$packet = pack("nn", 4, $block);
	last if length($data) < 512;
}
send($s, $packet, 0, $to);
close($out) or die "$file: $!\n";
