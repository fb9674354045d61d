#!/bin/sh
# The tests that docs/security.md names exist.
# Usage: security_page.sh [ROOT]
set -eu
cd "${1:-.}"
LC_ALL=C
export LC_ALL
wrong=0 named=0
for name in $(sed -n '/^## 3/,/^## 4/p' docs/security.md | grep -oE '`[a-z_0-9]+/[A-Za-z_0-9]+`' | tr -d '`' | sort -u); do
    suite=${name%%/*} test=${name#*/}
    case $suite in
    tests | suite) continue ;;
    arch)
        ls tests/arch/"$test".* >/dev/null 2>&1 || [ "${test#imports_}" != "$test" ] && found=1 || found=0 ;;
    hostile) grep -qE "(^| )$test\(void\)" tests/hostile/*.c && found=1 || found=0 ;;
    *) grep -qrE "^Test\($suite, *$test[,)]" tests/unit tests/world && found=1 || found=0 ;;
    esac
    named=$((named + 1))
    if [ $found = 0 ]; then
        echo "docs/security.md: there is no test $name"
        wrong=1
    fi
done
if [ $named -lt 20 ]; then
    echo "security.md: cannot read the tests any more"
    wrong=1
fi
echo "security.md: $named tests named"
exit $wrong
