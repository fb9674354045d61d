/* layers: base wire trust */
/* Signed MessagePack: what parses is written again as the same bytes, so a hash names one object.
 * The first byte chooses the kind. */
#include "shared/trust/credential.h"
#include "shared/trust/log_entry.h"
#include "shared/trust/server_card.h"
#include "tests/fuzz/fuzz.h"

static bool card_again(struct bytes packed, struct buf *out)
{
    struct card card;

    if (card_parse(packed, &card) != ERR_OK)
        return false;
    card_encode(out, &card);
    return true;
}

static bool certificate_again(struct bytes packed, struct buf *out)
{
    struct certificate cert;

    if (certificate_parse(packed, &cert) != ERR_OK)
        return false;
    certificate_current(&cert, 1800000000000);
    certificate_encode(out, &cert);
    return true;
}

static bool credential_again(struct bytes packed, struct buf *out)
{
    static const uint8_t ck[32] = { 1 };
    struct credential_facts facts = { .bound = true };
    struct credential cred;

    if (credential_parse(packed, &cred) != ERR_OK)
        return false;
    MUST(credential_verify(&cred, ck, 1800000000000, &facts) != ERR_OK); /* nobody has that key */
    credential_encode(out, cred.card_packed, cred.card_sig, cred.cert_packed, cred.cert_sig);
    return true;
}

static bool server_card_again(struct bytes packed, struct buf *out)
{
    struct server_card card;

    if (server_card_parse(packed, &card) != ERR_OK)
        return false;
    server_card_encode(out, &card);
    return true;
}

static bool log_entry_again(struct bytes packed, struct buf *out)
{
    struct log_head head = { 0 };
    struct log_entry entry;
    struct circles circles;
    struct buf extra = { 0 };

    if (log_entry_parse(packed, &entry) != ERR_OK)
        return false;
    if (entry.type == ENTRY_ENROL) {
        MUST(circles_parse(entry.extra, &circles) == ERR_OK);
        MUST(circles_encode(&extra, &circles) == ERR_OK);
        MUST(bytes_equal(buf_bytes(&extra), entry.extra));
        buf_free(&extra);
    }
    head.next = entry.index;
    MUST(log_head_append(&head, packed, &entry) == ERR_OK);
    log_entry_encode(out, &entry);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    static bool (*const kinds[])(struct bytes, struct buf *) = {
        card_again, certificate_again, credential_again, server_card_again, log_entry_again,
    };
    struct buf again = { 0 };

    if (len == 0)
        return 0;
    if (kinds[at[0] % (sizeof kinds / sizeof kinds[0])](bytes_of(at + 1, len - 1), &again))
        MUST(bytes_equal(buf_bytes(&again), bytes_of(at + 1, len - 1)));
    buf_free(&again);
    return 0;
}
