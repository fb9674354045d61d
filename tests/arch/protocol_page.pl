#!/usr/bin/perl
# docs/protocol.md says what schema/*.def and the labels say: every message with its heading, keys and
# sizes, every key, error, label and limit with its row, and no heading for a message that does not exist.
# Usage: protocol_page.pl [ROOT]
use strict;
use warnings;

my $root = shift // '.';
my $wrong = 0;

sub complain { print "protocol.md: @_\n"; $wrong++; }

sub slurp
{
    my ($path) = @_;
    open(my $in, '<', "$root/$path") or die "$root/$path: $!\n";
    local $/;
    return scalar <$in>;
}

# Arguments of each NAME(...) of a .def file, comments removed.
sub calls
{
    my ($name, $path) = @_;
    my $text = slurp($path);
    $text =~ s{/\*.*?\*/}{}gs;
    my @calls;
    while ($text =~ /^\Q$name\E\(((?:[^()"]|"[^"]*"|\([^()]*\))*)\)/gm) {
        my @args = map { s/^\s+|\s+$//gr } $1 =~ /((?:[^,"(]|"[^"]*"|\([^()]*\))+)/g;
        push @calls, \@args;
    }
    return @calls;
}

sub comma { my $n = reverse shift; $n =~ s/(\d{3})(?=\d)/$1,/g; return scalar reverse $n; }

my $page = slurp('docs/protocol.md');
my %section;    # text under each "### NAME (N)"
while ($page =~ /^### ([A-Z_]+ \(\d+\))\n(.*?)(?=^##)/gms) {
    $section{$1} = $2;
}

my @keys = calls('KEY', 'schema/keys.def');
my %number = map { $_->[2] => $_->[0] } @keys;

sub key_list
{
    my @names = $_[0] =~ /K\((\w+)\)/g;
    for (@names) { complain("verbs.def names the key $_, which keys.def has not") unless $number{$_}; }
    return '–' unless @names;
    return join ', ', map { "`$number{$_} $_`" } sort { $number{$a} <=> $number{$b} } @names;
}

my @verbs = calls('VERB', 'schema/verbs.def');
my %known;
for (@verbs) {
    my ($n, $name, $who, $need, $may, $most, $parts, $reply_need, $reply_may, $reply_most) = @$_;
    my $head = "$name ($n)";
    $known{$head} = 1;
    my $text = $section{$head};
    if (!defined $text) { complain("no heading \"### $head\""); next; }
    my $request = "| request | " . key_list($need) . " | " . key_list($may) . " | " . comma($most) . " | $parts |";
    my $reply = "| reply | " . key_list($reply_need) . " | " . key_list($reply_may) . " | " . comma($reply_most) . " |";
    complain("$name wants the row: $request") if $most && index($text, $request) < 0;
    complain("$name wants the row: $reply …") if $reply_most && index($text, $reply) < 0;
}
for (sort keys %section) { complain("\"### $_\" is no message of verbs.def") unless $known{$_}; }

for (@keys) {
    my ($n, $kind, $name) = @$_;
    complain("no row for key `$n $name`") if index($page, "| `$n $name` |") < 0;
}
my @errors = calls('ERR', 'schema/errors.def');
for (@errors) {
    my ($name, $code, $retry, $text) = @$_;
    next if $code >= 200;
    $text =~ s/^"|"$//g;
    my $row = "| $code | `A2A_$name` | " . lc($retry) . " | $text |";
    complain("no row for an error: $row") if index($page, $row) < 0;
}
my ($conventions) = $page =~ /^## 1\. (.*?)^## /ms;
my @labels = slurp('shared/trust/label.h') =~ /LABEL\([A-Z0-9]+, "(\w+)"\)/g;
for (@labels) { complain("label \"$_\" is not in section 1") if index($conventions // '', "`$_`") < 0; }
my @limits = calls('LIMIT', 'schema/limits.def');
for (@limits) {
    my ($name, $value) = @$_;
    my $row = "| `$name` | " . comma($value) . " |";
    complain("no row for a limit: $row") if index($page, $row) < 0;
}

# A check that reads nothing finds nothing.
complain("cannot read the declarations any more") if @verbs < 19 || @keys < 46 || @errors < 45 || @labels < 28 || @limits < 60;
print "protocol.md: ", scalar @verbs, " messages, ", scalar @keys, " keys, ", scalar @errors, " errors, ",
    scalar @labels, " labels, ", scalar @limits, " limits\n";
exit($wrong ? 1 : 0);
