# ask.pl PORT <REQUESTS: one line for each request, one line of answer each: what a server makes of it, in few words.
#
#	R NAME MODE [OPTION VALUE...]         read: "served N SUM" or "ERROR n", with " oack ..." if there was one
#	W NAME MODE SIZE [OPTION VALUE...]    write SIZE bytes: "taken" or "ERROR n"
#
# In NAME %xx is a byte. Each request comes from a port of its own; what is lost is asked again.
use strict;
use warnings;
use IO::Select;
use Socket;

my $port = shift or die;
$| = 1;

sub receive {
	my ($s, $seconds) = @_;
	return undef unless IO::Select->new($s)->can_read($seconds);
	my $from = recv($s, my $packet, 65536, 0);
	return defined $from ? ($packet, $from) : undef;
}

# Send until something comes back.
sub ask {
	my ($s, $packet, $to) = @_;
	for (1 .. 5) {
		send($s, $packet, 0, $to);
		my ($answer, $from) = receive($s, 2);
		return ($answer, $from) if defined $answer;
	}
	return (undef, undef);
}

sub options {
	my ($packet) = @_;
	return " oack " . join(" ", split(/\0/, substr($packet, 2)));
}

sub failure {
	my ($packet) = @_;
	return "silence" unless defined $packet;
	my ($op, $code, $text) = unpack("nnZ*", $packet);
	return $op == 5 ? "ERROR $code" . ($ENV{TEXT} ? " $text" : "") : "opcode $op";
}

sub get {
	my ($s, $to, $blksize, $answer, $from, $data, $said, $want) = (@_, "", "", 1);
	while (1) {
		return failure($answer) unless defined $answer;
		my $op = unpack("n", $answer);
		my $ack = 0;
		if ($op == 6) {
			$said = options($answer);
			$blksize = $1 if $said =~ /blksize2? (\d+)/;
		} elsif ($op == 3) {
			my $block = unpack("x2n", $answer);
			$ack = $block;
			if ($block == ($want & 0xffff)) {
				$data .= substr($answer, 4);
				$want++;
				if (length($answer) < $blksize + 4) {
					send($s, pack("nn", 4, $block), 0, $from);
					return "served " . length($data) . " " . unpack("%32C*", $data) . $said;
				}
			}
		} else {
			return failure($answer);
		}
		($answer, $from) = ask($s, pack("nn", 4, $ack), $from);
	}
}

sub put {
	my ($s, $blksize, $size, $answer, $from, $said, $block) = (@_, "", 0);
	my $data = join("", map { chr(32 + $_ % 90) } 1 .. $size);
	while (1) {
		return failure($answer) unless defined $answer;
		my ($op, $acked) = unpack("nn", $answer);
		if ($op == 6) {
			$said = options($answer);
			$blksize = $1 if $said =~ /blksize2? (\d+)/;
		} elsif ($op != 4) {
			return failure($answer);
		}
		return "taken$said" if $op == 4 && $block > 0 && $acked == ($block & 0xffff) && ($block - 1) * $blksize + $blksize > $size;
		$block++ if $op == 6 || $acked == ($block & 0xffff);
		($answer, $from) = ask($s, pack("nn", 3, $block) . substr($data, ($block - 1) * $blksize, $blksize), $from);
	}
}

my $server = sockaddr_in($port, inet_aton("127.0.0.1"));
while (my $line = <STDIN>) {
	chomp $line;
	my ($way, $name, $mode, @rest) = split(/ /, $line, -1);
	$name =~ s/%([0-9a-f]{2})/chr(hex($1))/gie;
	my $size = $way eq "W" ? shift @rest : 0;
	socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
	my $request = pack("n", $way eq "W" ? 2 : 1) . join("\0", $name, $mode, @rest) . "\0";
	my ($answer, $from) = ask($s, $request, $server);
	my $outcome = $way eq "W" ? put($s, 512, $size, $answer, $from) : get($s, $server, 512, $answer, $from);
	print "$line: $outcome\n";
	close($s);
}
