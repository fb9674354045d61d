#include "shared/trust/invite.h"

#include <sodium.h>
#include <stdio.h>

#include "shared/base/text.h"
#include "shared/trust/signed_array.h"

#define INVITE_SCHEME    "sealpost://"
#define INVITE_FIELDS    5
#define INVITE_FRESH_MS  300000
#define INVITE_CODE_SIZE 151 /* base64url of INVITE_SIZE bytes, without padding */

static bool host_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.'
           || c == '-';
}

static bool address_letter(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.';
}

static bool code_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'
           || c == '_';
}

/* base64url and nothing else: libsodium 1.0.18 takes some bytes above 0x7f for letters, too. */
static bool code_valid(const char *text)
{
    size_t len = 0;

    while (len < INVITE_CODE_SIZE && code_letter(text[len]))
        len++;
    return text[len] == '\0';
}

/* Length of the host at the beginning of `text`; 0 if there is none. */
static size_t host_len(const char *text)
{
    size_t len = 0;

    if (text[0] != '[') {
        while (host_letter(text[len]))
            len++;
        return len;
    }
    for (len = 1; address_letter(text[len]); len++)
        ;
    return len > 1 && text[len] == ']' ? len + 1 : 0;
}

static void invite_pack(struct buf *out, const struct invite *invite)
{
    pack_array(out, INVITE_FIELDS);
    pack_uint(out, 1);
    pack_bin(out, bytes_of(invite->server_curve_pk, 32));
    pack_bin(out, bytes_of(invite->root_id, 32));
    pack_bin(out, bytes_of(invite->invite_curve_sk, 32));
    pack_uint(out, invite->exp_ms);
}

enum err invite_encode(char out[static INVITE_TEXT_SIZE], const struct invite *invite)
{
    struct buf packed = { 0 };
    size_t host = host_len(invite->host);
    int head;

    if (host == 0 || invite->host[host] != '\0' || host > INVITE_HOST_MAX || invite->port == 0)
        return ERR_MALFORMED;
    head = snprintf(out, INVITE_TEXT_SIZE, INVITE_SCHEME "%s:%u/#", invite->host, invite->port);
    invite_pack(&packed, invite);
    sodium_bin2base64(out + head, INVITE_TEXT_SIZE - (size_t)head, packed.at, packed.len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_wipe(&packed);
    return ERR_OK;
}

/* 1 to 65535 without sign and leading zeroes.  Moves *text behind it. */
static enum err port_parse(const char **text, uint16_t *out)
{
    unsigned port = 0;
    size_t digits = 0;

    if (**text == '0')
        return ERR_MALFORMED;
    while (digits < 5 && **text >= '0' && **text <= '9') {
        port = port * 10 + (unsigned)(*(*text)++ - '0');
        digits++;
    }
    if (port == 0 || port > UINT16_MAX)
        return ERR_MALFORMED;
    *out = (uint16_t)port;
    return ERR_OK;
}

/* "sealpost://HOST:PORT/#"; *text moves to what is behind it. */
static enum err invite_address(const char **text, struct invite *out)
{
    size_t len;

    if (strncmp(*text, INVITE_SCHEME, strlen(INVITE_SCHEME)) != 0)
        return ERR_MALFORMED;
    *text += strlen(INVITE_SCHEME);
    len = host_len(*text);
    if (len == 0 || len > INVITE_HOST_MAX || (*text)[len] != ':')
        return ERR_MALFORMED;
    memcpy(out->host, *text, len);
    out->host[len] = '\0';
    *text += len + 1;
    if (port_parse(text, &out->port) != ERR_OK || strncmp(*text, "/#", 2) != 0)
        return ERR_MALFORMED;
    *text += 2;
    return ERR_OK;
}

static enum err invite_unpack(struct bytes packed, struct invite *out)
{
    struct take take = signed_array(packed, INVITE_SIZE, INVITE_FIELDS);

    if (take_uint(&take, UINT8_MAX) != 1)
        take_fail(&take, ERR_SCHEMA);
    take_copy(&take, out->server_curve_pk, 32);
    take_copy(&take, out->root_id, 32);
    take_copy(&take, out->invite_curve_sk, 32);
    out->exp_ms = take_uint(&take, UINT64_MAX);
    return take_end(&take);
}

enum err invite_parse(const char *text, uint64_t now_ms, struct invite *out)
{
    uint8_t packed[INVITE_SIZE];
    size_t len = 0;
    enum err e = ERR_MALFORMED;

    *out = (struct invite){ 0 };
    if (invite_address(&text, out) != ERR_OK || !code_valid(text)
        || sodium_base642bin(packed, sizeof packed, text, strlen(text), NULL, &len, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING)
               != 0
        || invite_unpack(bytes_of(packed, len), out) != ERR_OK)
        goto done;
    e = now_ms > out->exp_ms && now_ms - out->exp_ms > INVITE_FRESH_MS ? ERR_TOKEN : ERR_OK;
done:
    sodium_memzero(packed, sizeof packed);
    if (e != ERR_OK)
        sodium_memzero(out, sizeof *out);
    return e;
}
