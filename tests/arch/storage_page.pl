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

my @views = ask("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name");
complain("cannot make the database: $views[0]") if @views < 10;
my $columns = 0;
for my $view (@views) {
    next if $page =~ /^\| .*`\Q$view\E`.*\| *–/m;      # reserved: named, without columns
    my ($row) = $page =~ /^\| `\Q$view\E` \|[^|]*\| ([^|]*) \|$/m;
    if (!defined $row) { complain("no row for the view $view"); next; }
    $row =~ s/\([^()]*\)//g;
    my @said = map { s/[`" ]//gr } split /,/, $row;
    my @real = ask("SELECT name FROM pragma_table_info('$view')");
    $columns += @real;
    complain("$view has the columns: " . join(', ', @real)) if "@said" ne "@real";
}
for my $named ($page =~ /`(v_[a-z_]+)`/g) {
    complain("$named is no view") unless grep { $_ eq $named } @views;
}
# The recipes run.
my $recipes = 0;
while ($page =~ /^```sql\n(.*?)^```/msg) {
    my ($query, @lines) = ($1);
    $recipes++;
    open(my $file, '>', "/tmp/recipe.$$") or die "/tmp: $!\n";
    print $file $query;
    close $file;
    my $reads = join ' ', map { "-cmd '.read $_'" } @sql;
    @lines = grep { /error/i } `sqlite3 -bail $reads :memory: <'/tmp/recipe.$$' 2>&1`;
    complain("this does not run: $query    $lines[0]") if @lines;
}
unlink "/tmp/recipe.$$";
complain('cannot read the recipes any more') if $recipes < 10;
print "storage.md: ", scalar @views, " views, $columns columns, $recipes recipes\n";
exit($wrong ? 1 : 0);
