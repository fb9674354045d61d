#!/bin/sh
# schema/*/schema.sql is what all migrations and the views make.
# Usage: schema_dump.sh [--write] [ROOT]      --write: replace the files
set -eu
LC_ALL=C
export LC_ALL
write=
[ "${1:-}" = --write ] && { write=1; shift; }
cd "${1:-.}"
if ! command -v sqlite3 >/dev/null 2>&1; then
    echo "no sqlite3 here: skipped"
    exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

wrong=0
for side in broker agent; do
    cat schema/$side/[0-9]*.sql schema/$side/views.sql >"$dir/all.sql"
    # As migrate_dump() in shared/db does it.
    sqlite3 -bail -cmd ".read $dir/all.sql" :memory: \
        "SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid" >"$dir/$side.sql"
    if [ ! -s "$dir/$side.sql" ]; then
        echo "schema/$side: the migrations do not run"
        wrong=1
    elif [ -n "$write" ]; then
        cp "$dir/$side.sql" schema/$side/schema.sql
    elif ! cmp -s "$dir/$side.sql" schema/$side/schema.sql; then
        echo "schema/$side/schema.sql is stale; tests/arch/schema_dump.sh --write makes it anew:"
        diff "$dir/$side.sql" schema/$side/schema.sql | head -10 | sed 's/^/    /'
        wrong=1
    fi
done
exit $wrong
