#!/usr/bin/perl
# docs/cli.md knows every command, flag and JSON object of the programs, and no command or flag that does
# not exist.  Reads `PROGRAM help --json`.
# Usage: cli_page.pl ROOT SEALPOST SEALPOSTD SEALPOSTCTL
use strict;
use warnings;

my ($root, @programs) = @ARGV;
my ($wrong, $commands, $flags) = (0, 0, 0);
sub complain { print "cli.md: @_\n"; $wrong++; }

open(my $in, '<', "$root/docs/cli.md") or die "docs/cli.md: $!\n";
my @lines = <$in>;
close $in;
my $page = join '', @lines;

# Text by heading; a heading may name several commands: #### `a X` · `b`
my (%part, %verb, $part, @open);
for (@lines) {
    if (/^(##+) (.*)$/) {
        my ($level, $title) = (length $1, $2);
        @open = () if $level <= 4;
        if ($level < 4) { $part = $title =~ /^([\d.]+)/ ? $1 : ''; }
        if ($level == 4) {
            @open = map { /^([a-z]+)/ ? "$part $1" : () } $title =~ /`([^`]+)`/g;
        }
    }
    $part{$part} .= $_ if defined $part;
    for my $open (@open) { $verb{$open} .= $_; }
}

# Where each program's commands stand.
my %place = (sealpost => qr/^3\.\d+ /, sealpostctl => qr/^5\.1 /, sealpostd => qr/^5\.2 /);
my $common = $part{'1.1'} // '';
my %seen;

for my $program (@programs) {
    my ($name) = $program =~ m{([^/]+)$};
    my $place = $place{$name} or die "unknown program $name\n";
    open(my $out, '-|', $program, 'help', '--json') or die "$program: $!\n";
    my @help = <$out>;
    close $out;
    complain("$name help --json says nothing") unless @help;
    for my $line (@help) {
        my ($command) = $line =~ /"name":"([^"]+)"/ or next;
        my ($list) = $line =~ /"flags":\[(.*?)\],"emits"/;
        my ($emits) = $line =~ /"emits":\[([^\]]*)\]/;
        my @types = ($emits // '') =~ /"([^"]+)"/g;
        $commands++;
        my $about = $command =~ /^(help|version|completion)$/;
        my ($section) = $about ? ('8.') : grep { /$place/ && / \Q$command\E$/ } keys %verb;
        my $text = !defined $section ? undef : $about ? $part{'8.'} : $verb{$section};
        if (!defined $text) { complain("no section for `$name $command`"); next; }
        $seen{$section} = 1;
        my %flag;
        while (($list // '') =~ /"long":"([^"]+)"/g) {
            my $long = $1;
            $flags++;
            $flag{$long} = 1;
            my $there = $text;
            # "Flags of `send`": what stands there counts here, too.
            for my $other ($text =~ /Flags of `([a-z]+)`/g) {
                $there .= $verb{$_} for grep { /$place/ && / \Q$other\E$/ } keys %verb;
            }
            complain("`$name $command --$long` is not mentioned") if index("$there$common", "--$long") < 0;
        }
        while ($text =~ /^\| (`-.*?) \|/mg) {
            for my $long ($1 =~ /--([a-z-]+)/g) {
                complain("$command has no flag --$long") unless $flag{$long};
            }
        }
        for my $type (@types) {
            complain("`$name $command` emits \"$type\", which has no list")
                unless $page =~ /(?:JSON|else)\s+`\Q$type\E`/ || $about && index($text, "`$type`") >= 0;
        }
    }
}
for my $section (sort keys %verb) {
    next unless grep { $section =~ /$_/ } values %place;
    complain("\"$section\" is no command of a program") unless $seen{$section};
}
complain("cannot read the help any more") if $commands < 20 || $flags < 60;
print "cli.md: $commands commands, $flags flags\n";
exit($wrong ? 1 : 0);
