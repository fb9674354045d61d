#!/bin/sh
# The tree stands alone: links of its pages lead to files that are there and inside it, no marks of
# unfinished work, no pause in tests without a condition, no page names a file that is gone.
# Usage: tree.sh [ROOT]
set -eu
cd "${1:-.}"
LC_ALL=C
export LC_ALL
wrong=$(mktemp)
trap 'rm -f "$wrong"' EXIT

# All files of ours: what git would take, or without git everything but builds.
files()
{
    if git rev-parse --show-toplevel >/dev/null 2>&1; then
        git ls-files -co --exclude-standard
    else
        find . -type f ! -path './build/*' ! -path './.git/*' | sed 's:^\./::'
    fi | grep -vE '^(build|LICENSE)(/|$)' || true
}
files >"$wrong.list"
trap 'rm -f "$wrong" "$wrong.list"' EXIT

root=$(pwd -P)
pages=0
links=0
for page in $(grep '\.md$' "$wrong.list"); do
    [ -f "$page" ] || continue
    pages=$((pages + 1))
    # [text](target), code blocks left out
    for target in $(awk '/^ *```/ { code = !code; next } !code' "$page" | grep -oE '\]\([^) ]+\)' | sed 's/^](//; s/)$//'); do
        links=$((links + 1))
        case $target in
        http://* | https://* | mailto:*) continue ;;
        '#'*)
            continue ;;
        /*)
            echo "$page: link to $target leaves the tree" >>"$wrong"
            continue ;;
        esac
        path=$(dirname "$page")/${target%%#*}
        if [ ! -e "$path" ]; then
            echo "$page: link to $target leads nowhere" >>"$wrong"
            continue
        fi
        case $(cd "$(dirname "$path")" && pwd -P)/ in
        "$root"/*) ;;
        *) echo "$page: link to $target leaves the tree" >>"$wrong" ;;
        esac
    done
done

# Files that pages name are there.
for page in $(grep '\.md$' "$wrong.list"); do
    [ -f "$page" ] || continue
    for path in $(grep -oE '(^|[^A-Za-z0-9_/.<-])(shared|broker|agent|schema|tests|deploy|cmake|bench)/[A-Za-z0-9_/.-]+\.(c|h|def|sql|sh|pl|py|cmake|in)([^A-Za-z0-9_.]|$)' "$page" |
        grep -oE '(shared|broker|agent|schema|tests|deploy|cmake|bench)/[A-Za-z0-9_/.-]+[a-z]'); do
        [ -e "$path" ] || echo "$page: there is no $path" >>"$wrong"
    done
done

# among PATTERN-OF-NAMES GREP-OPTIONS PATTERN: complains about every hit
among()
{
    grep -E "$1" "$wrong.list" | grep -v '^tests/arch/' | while read -r file; do
        [ ! -f "$file" ] || printf '%s\0' "$file"
    done | xargs -0r grep "$2" "$3" /dev/null >>"$wrong" || true
}

text='\.(c|h|def|sql|cmake|sh|pl|md|txt|conf|service)$|(^|/)(CMakeLists\.txt|run|try)$'
among "$text" -nwE 'TODO|FIXME|XXX|HACK'
# Absolute paths of a workplace have no business here.
among "$text" -nE '(^|[^a-zA-Z0-9_./-])/work/'
# Tests wait for conditions: a pause may only be the body of a loop that looks again.
grep -E '^tests/.*\.c$' "$wrong.list" | while read -r file; do
    [ ! -f "$file" ] || awk -v file="$file" '
        /(^|[^a-z_])(sleep|usleep|nanosleep|clock_nanosleep|zclock_sleep) *\(/ &&
            before !~ /^ *(for|while) \(/ { print file ":" FNR ":" $0 }
        { before = $0 }' "$file" >>"$wrong"
done
# Includes from the root only, and none that climbs out.
among '\.(c|h)$' -nE '#include "(\.\./|/)'

if [ "$pages" -lt 10 ] || [ "$links" -lt 20 ]; then
    echo "tree: $pages pages and $links links: cannot read them any more" >>"$wrong"
fi
cat "$wrong"
echo "tree: $pages pages, $links links, $(wc -l <"$wrong.list") files"
[ ! -s "$wrong" ]
