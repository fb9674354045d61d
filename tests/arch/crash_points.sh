#!/bin/sh
# Each name of schema/crash_points.def stands in the code, and each CRASH_POINT of the code is listed.
# Usage: crash_points.sh [ROOT]
set -eu
cd "${1:-.}"
LC_ALL=C
export LC_ALL
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

sed -n 's/^CRASH(\([a-z_.]*\)).*/\1/p' schema/crash_points.def | sort >"$dir/listed"
grep -rhoE --include='*.c' 'CRASH_POINT\("[a-z_.]+"\)' shared broker agent |
    sed 's/.*"\(.*\)".*/\1/' | sort -u >"$dir/used"

wrong=0
for name in $(uniq -d "$dir/listed"); do
    echo "schema/crash_points.def: $name is listed twice"
    wrong=1
done
for name in $(comm -23 "$dir/listed" "$dir/used"); do
    echo "schema/crash_points.def: no CRASH_POINT(\"$name\") in the code"
    wrong=1
done
for name in $(comm -13 "$dir/listed" "$dir/used"); do
    echo "CRASH_POINT(\"$name\") is not in schema/crash_points.def"
    wrong=1
done
if [ ! -s "$dir/listed" ] || [ ! -s "$dir/used" ]; then
    echo "crash_points: cannot read the list or the code any more"
    wrong=1
fi
echo "crash points: $(wc -l <"$dir/listed") listed, $(wc -l <"$dir/used") in the code"
exit $wrong
