#!/bin/sh
# Release binaries carry what cmake/flags.cmake asks for.
# Usage: hardening.sh DIRECTORY
set -eu
LC_ALL=C
export LC_ALL
dir=$1
if [ ! -x "$dir/sealpostd" ]; then
    echo "no release build in $dir: skipped"
    exit 77
fi

wrong=0
complain()
{
    echo "$name: $*"
    wrong=1
}
for name in sealpostd sealpost sealpostctl; do
    file=$dir/$name
    [ -x "$file" ] || { complain "not built"; continue; }
    header=$(readelf -hW "$file")
    dynamic=$(readelf -dW "$file")
    segments=$(readelf -lW "$file")
    symbols=$(readelf --dyn-syms -W "$file")
    echo "$header" | grep -q 'Type: *DYN' || complain "not position independent"
    echo "$dynamic" | grep -q 'FLAGS_1.*PIE' || complain "no PIE flag"
    echo "$dynamic" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || complain "symbols are bound lazily"
    echo "$segments" | grep -q 'GNU_RELRO' || complain "no RELRO"
    echo "$segments" | grep 'GNU_STACK' | grep -q ' RW ' || complain "stack is executable"
    if echo "$segments" | awk '$1 == "LOAD"' | grep -q 'RWE'; then
        complain "a segment is writable and executable"
    fi
    echo "$symbols" | grep -q '__stack_chk_fail' || complain "no stack protector"
    echo "$symbols" | grep -qE '__[a-z]+_chk(@|$| )' || complain "no fortify"
    if echo "$symbols" | grep -qE '__(asan|ubsan|tsan)_'; then
        complain "built with a sanitizer"
    fi
    if readelf -pW .rodata "$file" 2>/dev/null | grep -q 'SEALPOST_CRASH_AT' ||
        grep -qa 'SEALPOST_CRASH_AT' "$file"; then
        complain "has crash points"
    fi
done
[ $wrong = 0 ] && echo "hardening: PIE, BIND_NOW, RELRO, no executable stack, stack protector, fortify, no crash points"
exit $wrong
