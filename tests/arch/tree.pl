#!/usr/bin/perl
# The tree stands alone: links of its pages lead to files that are there and inside it, files that pages
# name are there, no marks of unfinished work, no pause in a test without a condition, no include that
# climbs out.
# Usage: tree.pl [ROOT]
use strict;
use warnings;
use Cwd qw(realpath);
use File::Basename;

chdir(shift // '.') or die "$!\n";
my $root = realpath('.');
my ($wrong, $pages, $links) = (0, 0, 0);
sub complain { print "@_\n"; $wrong++; }

# All files of ours: what git would take, or without git everything but builds.
my @files = `git ls-files -co --exclude-standard 2>/dev/null`;
@files = `find . -type f ! -path './build/*' ! -path './.git/*'` if $? || !@files;
chomp @files;
@files = grep { !m{^(build/|LICENSE$)} && -f $_ } map { s{^\./}{}r } @files;

my $place = qr{(?:shared|broker|agent|schema|tests|deploy|cmake|bench)/[\w/.-]+\.(?:c|h|def|sql|sh|pl|py|cmake|in)};
my $pause = qr/(?<![a-z_])(?:sleep|usleep|nanosleep|clock_nanosleep|zclock_sleep) *\(/;

sub page
{
    my ($page, @lines) = @_;
    my $code = 0;
    $pages++;
    for (@lines) {
        while (m{(?<![\w/.<-])($place)(?![\w.])}g) {
            complain("$page: there is no $1") unless -e $1;
        }
        $code = !$code, next if /^ *```/;
        next if $code;
        while (/\]\(([^) ]+)\)/g) {
            my $target = $1;
            $links++;
            next if $target =~ m{^(https?://|mailto:|#)};
            my $path = $target =~ m{^/} ? $target : dirname($page) . "/$target";
            $path =~ s/#.*//;
            if ($target =~ m{^/}) { complain("$page: link to $target leaves the tree"); }
            elsif (!-e $path) { complain("$page: link to $target leads nowhere"); }
            elsif (index(realpath($path) . '/', "$root/") != 0) { complain("$page: link to $target leaves the tree"); }
        }
    }
}

for my $file (@files) {
    next unless $file =~ /\.(c|h|def|sql|cmake|sh|pl|py|md|txt|conf|service|in)$|(^|\/)(CMakeLists\.txt|run|try|packages)$/;
    open(my $in, '<', $file) or next;
    my @lines = <$in>;
    close $in;
    page($file, @lines) if $file =~ /\.md$/;
    next if $file =~ m{^tests/arch/};
    my $before = '';
    for my $n (1 .. @lines) {
        my $line = $lines[$n - 1];
        chomp $line;
        complain("$file:$n: $line") if $line =~ /\b(TODO|FIXME|XXX|HACK)\b/
            # absolute paths of a workplace have no business here
            || $line =~ m{(?<![\w./-])/work/}
            # tests wait for conditions: a pause may only be the body of a loop that looks again
            || $file =~ m{^tests/.*\.c$} && $line =~ $pause && $before !~ /^ *(for|while) \(/
                && ($lines[$n] // '') !~ /^ *\} while \(/
            || $file =~ /\.[ch]$/ && $line =~ m{#include "(\.\./|/)};
        $before = $line;
    }
}
complain("tree: $pages pages and $links links: cannot read them any more") if $pages < 10 || $links < 20;
print "tree: $pages pages, $links links, ", scalar @files, " files\n";
exit($wrong ? 1 : 0);
