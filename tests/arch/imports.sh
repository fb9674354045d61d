#!/bin/sh
# What a library imports lies on its list.
# Usage: imports.sh LIST LIBRARY
set -eu
LC_ALL=C
export LC_ALL
list=$1 library=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

nm --defined-only "$library" | awk 'NF == 3 { print $3 }' | sort -u >"$dir/own"
# What compilers add: sanitizers, stack protector, fortify's spelling of mem*, position independence.
nm --undefined-only "$library" | awk 'NF == 2 && $1 == "U" { print $2 }' |
    grep -vE '^(__asan_|__ubsan_|__sanitizer_|__stack_chk_fail$|_GLOBAL_OFFSET_TABLE_$)' |
    sed 's/^__\(mem[a-z]*\)_chk$/\1/' | sort -u >"$dir/undefined"
comm -23 "$dir/undefined" "$dir/own" >"$dir/imports"
sed 's/#.*//; s/ *$//; /^$/d' "$list" | sort -u >"$dir/allowed"
if [ ! -s "$dir/imports" ] || [ ! -s "$dir/own" ]; then
    echo "imports: cannot read $library"
    exit 1
fi

wrong=0
for name in $(comm -23 "$dir/imports" "$dir/allowed"); do
    echo "$(basename "$library") imports $name, which $(basename "$list") does not allow"
    wrong=1
done
echo "$(basename "$library"): $(wc -l <"$dir/imports") imports"
exit $wrong
