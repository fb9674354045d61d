#!/bin/sh
# A check that cannot fail checks nothing: breaks a copy of the tree in many small ways and wants each of
# the other scripts here to notice.
# Usage: can_fail.sh [ROOT]
set -eu
LC_ALL=C
export LC_ALL
root=$(cd "${1:-.}" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
wrong=0
cases=0

# broken NAME WANTED-TEXT CHECK FILE SED-SCRIPT: after the change CHECK fails and says WANTED-TEXT
broken()
{
    cases=$((cases + 1))
    cp "$dir/tree/$4" "$dir/kept"
    sed -i "$5" "$dir/tree/$4"
    if cmp -s "$dir/kept" "$dir/tree/$4"; then
        echo "$1: the change changes nothing"
        wrong=1
    elif (cd "$dir/tree" && "$root/tests/arch/$3") >"$dir/out" 2>&1; then
        echo "$1: $3 did not notice"
        wrong=1
    elif ! grep -qF -- "$2" "$dir/out"; then
        echo "$1: $3 failed, but did not say \"$2\":"
        sed 's/^/    /' "$dir/out" | head -5
        wrong=1
    fi
    cp "$dir/kept" "$dir/tree/$4"
}

mkdir "$dir/tree"
(cd "$root" && tar cf - --exclude=./build --exclude=./.git .) | (cd "$dir/tree" && tar xf -)

v=schema/verbs.def
broken "size of a message"      'HELLO wants the row'         protocol_page.pl $v 's/K(instance), 0, 128, 0,/K(instance), 0, 256, 0,/'
broken "key of a message"       'BYE wants the row'           protocol_page.pl $v 's/^VERB( 51, BYE,     ENROLLED, 0,/VERB( 51, BYE, ENROLLED, K(ts),/'
broken "new message"            'no heading "### GROW (52)"'  protocol_page.pl $v '/^VERB( 51/i VERB( 52, GROW, GREETED, K(ts), 0, 32, 0, 0, 0, 32)'
broken "heading gone"           'no heading "### PING (50)"'  protocol_page.pl docs/protocol.md 's/^### PING (50)/### PONG (50)/'
broken "heading too much"       '"### PONG (50)" is no message' protocol_page.pl docs/protocol.md 's/^### PING (50)/### PONG (50)/'
broken "text of an error"       '`A2A_RATE`'                  protocol_page.pl schema/errors.def 's/"too fast"/"too quick"/'
broken "number of an error"     '| 99 | `A2A_RATE`'           protocol_page.pl schema/errors.def 's/ERR(RATE,               50/ERR(RATE, 99/'
broken "limit"                  '`STRIKES`'                   protocol_page.pl schema/limits.def 's/^LIMIT(STRIKES,  *3)/LIMIT(STRIKES, 4)/'
broken "label"                  '"rootkey"'                   protocol_page.pl shared/trust/label.h 's/LABEL(RK, "rk")/LABEL(RK, "rootkey")/'
broken "number of a key"        '`48 seen`'                   protocol_page.pl schema/keys.def 's/^KEY(47,/KEY(48,/'
broken "no limits at all"       'cannot read'                 protocol_page.pl schema/limits.def '/^LIMIT/d'
broken "crash point in code"    'foo.bar'                     crash_points.sh shared/base/err.c '$a CRASH_POINT("foo.bar");'
broken "crash point listed"     'foo.bar'                     crash_points.sh schema/crash_points.def '$a CRASH(foo.bar)'
broken "crash point twice"      'is listed twice'             crash_points.sh schema/crash_points.def '$a CRASH(log.row)\nCRASH(log.row)'
broken "mark"                   'err.c:'                      tree.pl shared/base/err.c '$a /* TODO: later */'
broken "workplace"              'README.md:'                  tree.pl README.md '$a see /work/x'
broken "climbing include"       'err.c:'                      tree.pl shared/base/err.c '$a #include "../x.h"'
broken "sleep in a test"        'message.c:'                  tree.pl tests/unit/message.c '$a usleep(3);'
broken "link to nowhere"        'leads nowhere'               tree.pl README.md '$a [x](docs/nowhere.md)'
broken "file that is gone"      'there is no broker/flow/gone.c' tree.pl docs/architecture.md '$a see `broker/flow/gone.c`'
broken "test that is gone"      'there is no test gate/gone'  security_page.sh docs/security.md 's:gate/T48_decides:gate/gone:'
broken "title that is gone"     'no title begins with "T1_gone' security_page.sh docs/security.md 's/system: T1_markers |/system: T1_gone |/'
broken "claim without a test"   'nothing shows " Healing'     security_page.sh docs/security.md 's/^\(| Healing | [^|]* |\) .* |$/\1 – |/'
broken "absolute link"          'leaves the tree'             tree.pl README.md '$a [x](/etc/passwd)'
broken "climbing link"          'leaves the tree'             tree.pl README.md '$a [x](../../../../../../../../etc/passwd)'

if command -v sqlite3 >/dev/null 2>&1; then
    broken "column of a view"   'v_log has the columns'       storage_page.pl schema/broker/views.sql 's/AS digest8;*/AS digest9/'
    broken "new view"           'no row for the view v_new'   storage_page.pl schema/broker/views.sql '$a CREATE VIEW v_new AS SELECT 1 AS one;'
    broken "stale schema dump"  'schema.sql is stale'         schema_dump.sh schema/agent/0001_init.sql 's/^CREATE INDEX peer_name/CREATE INDEX peer_named/'
    broken "recipe that fails"  'recipe does not run'           storage_page.pl docs/storage.md 's/^SELECT idx, at_utc/SELECT idx, at_what/'
    broken "view that is gone"  'v_old is no view'            storage_page.pl docs/storage.md 's/`v_log`/`v_old`/'
fi

# Programs that say what they can do, and a page that says more.
sed -i '/^#### `status \[--wait DUR\]`/a \\n| `--jump` | over the fence |\n' "$dir/tree/docs/cli.md"
mkdir "$dir/fake"
for program in sealpost sealpostd sealpostctl; do
    cat >"$dir/fake/$program" <<'END'
#!/bin/sh
echo '{"v":1,"type":"command","name":"status","flags":[{"long":"fly"}],"emits":["nothing"],"exits":[]}'
echo '{"v":1,"type":"command","name":"dance","flags":[],"emits":[],"exits":[]}'
END
    chmod +x "$dir/fake/$program"
done
for text in 'sealpost status --fly` is not mentioned' 'no section for `sealpost dance`' 'emits "nothing"' \
    '"3.1 join" is no command' 'status has no flag --jump' 'cannot read the help'; do
    cases=$((cases + 1))
    if "$root/tests/arch/cli_page.pl" "$dir/tree" "$dir/fake/sealpost" "$dir/fake/sealpostd" "$dir/fake/sealpostctl" >"$dir/out"; then
        echo "commands that are not on the page: not noticed"
        wrong=1
    elif ! grep -qF -- "$text" "$dir/out"; then
        echo "cli_page.pl failed, but did not say \"$text\""
        wrong=1
    fi
done

# Libraries and binaries: made here, where there is a compiler.
if command -v cc >/dev/null 2>&1; then
    cat >"$dir/bad.c" <<'END'
#include <time.h>
extern void randombytes_buf(void *, unsigned long);
int ratchet_hidden(void);
int ratchet_encrypt(void) { char b[8]; randombytes_buf(b, sizeof b); return (int)time(0) + b[0]; }
int ratchet_decrypt(void) { return 1; }
int handshake_respond(void) { return 2; }
int prekey_make(void) { return 3; }
int unseal(void) { return 4; }
END
    cat >"$dir/main.c" <<'END'
int flow_turn(void); int flow_turn(void) { return 0; }
int EXTRA(void); int EXTRA(void) { return 1; }
int main(void) { return flow_turn() + EXTRA(); }
END
    cc -c -o "$dir/bad.o" "$dir/bad.c" && ar rc "$dir/libbad.a" "$dir/bad.o"
    noticed() # NAME WANTED-TEXT COMMAND...
    {
        name=$1 text=$2
        shift 2
        cases=$((cases + 1))
        if "$@" >"$dir/out" 2>&1; then
            echo "$name: not noticed"
            wrong=1
        elif ! grep -qF -- "$text" "$dir/out"; then
            echo "$name: failed, but did not say \"$text\""
            wrong=1
        fi
    }
    noticed "randomness in crypto" 'imports randombytes_buf' "$root/tests/arch/imports.sh" "$root/tests/arch/agent_crypto.allow" "$dir/libbad.a"
    noticed "clock in crypto" 'imports time' "$root/tests/arch/imports.sh" "$root/tests/arch/agent_crypto.allow" "$dir/libbad.a"
    cc -DEXTRA=unseal -o "$dir/broker" "$dir/main.c"
    noticed "broker with a key" 'holds unseal' "$root/tests/arch/broker_symbols.sh" "$dir/broker" "$dir/libbad.a"
    cc -DEXTRA=ratchet_something -o "$dir/broker" "$dir/main.c"
    noticed "broker with a ratchet" 'holds ratchet_something' "$root/tests/arch/broker_symbols.sh" "$dir/broker" "$dir/libbad.a"
    cc -DEXTRA=harmless -o "$dir/broker" "$dir/main.c"
    if ! "$root/tests/arch/broker_symbols.sh" "$dir/broker" "$dir/libbad.a" >"$dir/out"; then
        echo "harmless broker: refused"
        wrong=1
    fi
    strip "$dir/broker"
    noticed "stripped broker" 'stripped' "$root/tests/arch/broker_symbols.sh" "$dir/broker" "$dir/libbad.a"
    mkdir "$dir/soft"
    for program in sealpostd sealpost sealpostctl; do
        cc -no-pie -fno-stack-protector -U_FORTIFY_SOURCE -z lazy -z norelro -z execstack -DEXTRA=x -o "$dir/soft/$program" "$dir/main.c" 2>/dev/null
    done
    for text in 'not position independent' 'bound lazily' 'no RELRO' 'executable' 'no stack protector' 'no fortify'; do
        noticed "soft binary" "$text" "$root/tests/arch/hardening.sh" "$dir/soft"
    done
fi
echo "can_fail: $cases ways to break it"
exit $wrong
