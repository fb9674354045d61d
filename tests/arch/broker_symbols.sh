#!/bin/sh
# The broker holds nothing that could open a message: no symbol of the agents' crypto library, and none
# that begins like one.
# Usage: broker_symbols.sh SEALPOSTD LIBAGENT_CRYPTO
set -eu
LC_ALL=C
export LC_ALL
broker=$1 crypto=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

nm "$broker" >"$dir/all"
if ! grep -q ' T main$' "$dir/all" || ! grep -q ' flow_turn$' "$dir/all"; then
    echo "broker_symbols: $broker is stripped or is not the broker"
    exit 1
fi
awk '{ print $NF }' "$dir/all" | sort -u >"$dir/names"
awk 'NF == 3 && $2 ~ /^[TDBRGV]$/ { print $3 }' "$dir/all" | sort -u >"$dir/global"
nm --defined-only "$crypto" | awk 'NF == 3 && $2 ~ /^[TDBRGV]$/ { print $3 }' | sort -u >"$dir/crypto"
for name in ratchet_encrypt ratchet_decrypt handshake_respond prekey_make unseal; do
    grep -qx "$name" "$dir/crypto" || { echo "broker_symbols: $crypto has no $name: wrong library?"; exit 1; }
done

wrong=0
for name in $(comm -12 "$dir/global" "$dir/crypto"); do
    echo "$(basename "$broker") holds $name of agent/crypto"
    wrong=1
done
for name in $(grep -E '^(ratchet|handshake|skipped|group_confirm|group_sending|group_encrypt|group_decrypt|prekey_make|envelope|aead|xaead|unseal)(_|$)' "$dir/names"); do
    echo "$(basename "$broker") holds $name"
    wrong=1
done
echo "broker: $(wc -l <"$dir/global") global symbols, none of the $(wc -l <"$dir/crypto") of agent/crypto looked for"
exit $wrong
