#!/bin/sh
# Every claim of docs/security.md 3 names tests, and the tests that it names exist.
# Usage: security_page.sh [ROOT]
set -eu
cd "${1:-.}"
LC_ALL=C
export LC_ALL
wrong=0 named=0 claims=0
section=$(sed -n '/^## 3/,/^## 4/p' docs/security.md)

complain()
{
    echo "docs/security.md: $*"
    wrong=1
}

names_of() { grep -oE '`[a-z_0-9]+/[A-Za-z_0-9]+`' | tr -d '`' | sort -u; }

# "system: TITLE, TITLE" at the end of a row; a title may hold no comma.
titles_of() { sed -n 's/.*system: \(.*[^ ]\) *|$/\1/p' | sed 's/, /\n/g'; }

for name in $(echo "$section" | names_of); do
    suite=${name%%/*} test=${name#*/}
    case $suite in
    tests | suite) continue ;;
    arch)
        ls tests/arch/"$test".* >/dev/null 2>&1 || [ "${test#imports_}" != "$test" ] && found=1 || found=0 ;;
    hostile) grep -qE "(^| )$test\(void\)" tests/hostile/*.c && found=1 || found=0 ;;
    *) grep -qrE "^Test\($suite, *$test[,)]" tests/unit tests/world tests/liar && found=1 || found=0 ;;
    esac
    named=$((named + 1))
    [ $found = 1 ] || complain "there is no test $name"
done

rows=$(mktemp)
titles=$(mktemp)
trap 'rm -f "$rows" "$titles"' EXIT
echo "$section" | grep -E '^\| ' | grep -vE '^\| claim ' >"$rows"
echo "$section" | titles_of >"$titles"
while read -r title; do
    named=$((named + 1))
    grep -qhF "@test(\"$title" tests/system/*.py || complain "no title begins with \"$title\""
done <"$titles"
while read -r row; do
    claims=$((claims + 1))
    shown=$(echo "$row" | sed 's/ *|$//; s/.*| //')
    echo "$shown" | grep -qE '`[a-z_0-9]+/[A-Za-z_0-9]+`|system: [^ ]' ||
        complain "nothing shows \"$(echo "$row" | cut -d'|' -f2)\""
done <"$rows"

if [ $named -lt 20 ] || [ $claims -lt 20 ]; then
    complain "cannot read the table any more"
fi
echo "security.md: $claims claims, $named tests named"
exit $wrong
