#!/usr/bin/perl
# docs/storage.md lists the views of broker.db with the columns they really have, in order, and its
# recipes run.
# Usage: storage_page.pl [ROOT]
use strict;
use warnings;

my $root = shift // '.';
my $wrong = 0;
sub complain { print "storage.md: @_\n"; $wrong++; }

if (system('sqlite3 -version >/dev/null 2>&1') != 0) {
    print "no sqlite3 here: skipped\n";
    exit 77;
}
my @sql = ((sort glob("$root/schema/broker/[0-9]*.sql")), "$root/schema/broker/views.sql");
sub ask
{
    my ($query) = @_;
    my $reads = join ' ', map { "-cmd '.read $_'" } @sql;
    my @rows = `sqlite3 $reads :memory: "$query" 2>&1`;
    chomp @rows;
    return @rows;
}

open(my $in, '<', "$root/docs/storage.md") or die "docs/storage.md: $!\n";
my $page = do { local $/; <$in> };
close $in;

my %real;
for (ask("SELECT v.name || '|' || c.name FROM sqlite_schema v, pragma_table_info(v.name) c WHERE v.type = 'view'"
    . " ORDER BY v.name, c.cid")) {
    my ($view, $column) = split /\|/;
    push @{ $real{$view} }, $column;
}
my @views = sort keys %real;
complain("cannot make the database") if @views < 10;
my $columns = 0;
for my $view (@views) {
    next if $page =~ /^\| .*`\Q$view\E`.*\| *–/m;      # reserved: named, without columns
    my ($row) = $page =~ /^\| `\Q$view\E` \|[^|]*\| ([^|]*) \|$/m;
    if (!defined $row) { complain("no row for the view $view"); next; }
    $row =~ s/\([^()]*\)//g;
    my @said = map { s/[`" ]//gr } split /,/, $row;
    my @real = @{ $real{$view} };
    $columns += @real;
    complain("$view has the columns: " . join(', ', @real)) if "@said" ne "@real";
}
for my $named ($page =~ /`(v_[a-z_]+)`/g) {
    complain("$named is no view") unless grep { $_ eq $named } @views;
}
# The recipes run, all in one go; SQLite names the first that does not.
my $recipes = 0;
my $script = '';
while ($page =~ /^```sql\n(.*?)^```/msg) {
    $recipes++;
    $script .= $1;
}
my $file = `mktemp`;
chomp $file;
open(my $out, '>', $file) or die "$file: $!\n";
print $out $script;
close $out;
my $reads = join ' ', map { "-cmd '.read $_'" } @sql;
for (grep { /error/i } `sqlite3 -bail $reads :memory: <'$file' 2>&1`) { complain("a recipe does not run: $_"); }
unlink $file;
complain('cannot read the recipes any more') if $recipes < 10;
print "storage.md: ", scalar @views, " views, $columns columns, $recipes recipes\n";
exit($wrong ? 1 : 0);
