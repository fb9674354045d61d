#include "shared/config/value.h"

#include <inttypes.h>
#include <stdio.h>

#include "shared/base/text.h"

static bool choice_find(const char *choices, const char *word, uint64_t *place)
{
    size_t len = strlen(word);

    *place = 0;
    for (const char *at = choices; *at; (*place)++) {
        size_t n = strcspn(at, " ");

        if (n == len && memcmp(at, word, n) == 0)
            return true;
        at += n + strspn(at + n, " ");
    }
    return false;
}

static void amount_text(char out[static SHORT_TEXT_SIZE], enum config_kind kind, uint64_t amount)
{
    static const struct {
        uint64_t unit;
        const char *name;
    } times[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } },
      sizes[] = { { 1ull << 30, "GiB" }, { 1ull << 20, "MiB" }, { 1024, "KiB" }, { 1, "" } };

    if (kind == CONFIG_COUNT || amount == 0) {
        snprintf(out, SHORT_TEXT_SIZE, "%" PRIu64, amount);
        return;
    }
    for (size_t i = 0;; i++) {
        uint64_t unit = kind == CONFIG_BYTES ? sizes[i].unit : times[i].unit;

        if (amount % unit == 0) {
            snprintf(out, SHORT_TEXT_SIZE, "%" PRIu64 "%s", amount / unit,
                     kind == CONFIG_BYTES ? sizes[i].name : times[i].name);
            return;
        }
    }
}

static bool plain_text(const char *text)
{
    struct bytes view = bytes_of_text(text);

    for (size_t i = 0; i < view.len; i++)
        if (view.at[i] < 0x20 || view.at[i] == 0x7f)
            return false;
    return utf8_valid(view);
}

bool value_check(const struct config_key *key, const char *text, uint64_t *number,
                 char why[static 256])
{
    char shown[48], least[SHORT_TEXT_SIZE], most[SHORT_TEXT_SIZE];
    const char *own;
    bool amount = false;
    enum err e = ERR_OK;

    *number = 0;
    snprintf(shown, sizeof shown, "%.40s", text);
    switch (key->kind) {
    case CONFIG_NAME:
        if (!name_valid(bytes_of_text(text))) {
            snprintf(why, 256,
                     "\"%s\" is no name: 1 to 64 of a-z 0-9 . _ -, the first a letter or digit",
                     shown);
            return false;
        }
        break;
    case CONFIG_TEXT:
    case CONFIG_PATH: {
        uint64_t limit = key->most ? key->most : key->kind == CONFIG_PATH ? 4096 : 256;

        if (!plain_text(text) || strlen(text) > limit || strlen(text) < key->least
            || (key->kind == CONFIG_PATH && !*text)) {
            snprintf(why, 256, "must be text of %" PRIu64 " to %" PRIu64 " bytes",
                     key->least ? key->least : (uint64_t)(key->kind == CONFIG_PATH), limit);
            return false;
        }
        break;
    }
    case CONFIG_COUNT:
        e = count_parse(number, text);
        amount = true;
        break;
    case CONFIG_BYTES:
        e = size_parse(number, text);
        amount = true;
        break;
    case CONFIG_DURATION:
        e = duration_parse(number, text);
        amount = true;
        break;
    case CONFIG_BOOL:
        if (!choice_find("no yes", text, number)) {
            snprintf(why, 256, "\"%s\" is none of yes no", shown);
            return false;
        }
        break;
    case CONFIG_CHOICE:
        if (!choice_find(key->choices, text, number)) {
            snprintf(why, 256, "\"%s\" is none of %s", shown, key->choices);
            return false;
        }
        break;
    }
    if (amount && e != ERR_OK) {
        static const char *const form[] = { [CONFIG_COUNT] = "number",
                                            [CONFIG_BYTES] = "size like 4096, 64KiB, 4GiB",
                                            [CONFIG_DURATION] = "duration like 500ms, 30s, 7d" };

        snprintf(why, 256, "\"%s\" is no %s", shown, form[key->kind]);
        return false;
    }
    if (amount && (*number < key->least || *number > key->most)) {
        amount_text(least, key->kind, key->least);
        amount_text(most, key->kind, key->most);
        snprintf(why, 256, "%s is out of bounds, %s to %s", shown, least, most);
        return false;
    }
    own = key->refuse ? key->refuse(text) : NULL;
    if (own) {
        snprintf(why, 256, "\"%s\" %s", shown, own);
        return false;
    }
    return true;
}
