#!/usr/bin/perl
# docs/cli.md knows every command, flag, JSON object and setting of the programs, with its default and
# whether it needs a restart, and no command or flag that does not exist.  Reads `PROGRAM help --json` and
# the configuration that `sealpostd init` writes.
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
# Settings, as `sealpostd init` writes them with all their defaults.
my ($daemon) = grep { m{sealpostd$} } @programs;
my $home = `mktemp -d`;
chomp $home;
{
    local $ENV{SEALPOST_HOME} = $home;
    local $ENV{SEALPOST_CONFIG};
    delete $ENV{SEALPOST_CONFIG};
    system("'$daemon' init -q >/dev/null 2>&1");
}
my ($settings, $group, $about) = (0, '', '');
if (open(my $conf, '<', "$home/broker/sealpostd.conf")) {
    while (<$conf>) {
        $group = $1 if /^([a-z]+)$/;
        if (/^    #?\s*([a-z_]+) =(?: (.*))?$/) {
            my ($key, $initial) = ("$group/$1", $2 // '""');
            my $when = $about =~ /\(restart\)/ ? 'S' : 'R';
            $initial = $initial eq '""' ? '–' : $initial =~ s/^"|"$//gr;
            $settings++;
            complain("no row for the setting $key, default $initial, $when")
                unless $page =~ /^\| `\Q$key\E` \| `?\Q$initial\E`? \|[^|]*\| $when \|/m;
        }
        $about = $_;
    }
    close $conf;
}
system('rm', '-rf', $home);
complain("cannot read the settings any more") if $settings < 30;
while ($page =~ m{^\| `([a-z]+/[a-z_]+)` \|}mg) { $settings--; }
complain("settings on the page that do not exist") if $settings < 0;
if (open(my $code, '<', "$root/agent/api/settings.c")) {
    while (<$code>) {
        complain("the setting $1 of an agent is not mentioned") if /\.path = "([^"]+)"/ && index($page, "`$1`") < 0;
    }
    close $code;
}

complain("cannot read the help any more") if $commands < 20 || $flags < 60;
print "cli.md: $commands commands, $flags flags\n";
exit($wrong ? 1 : 0);
