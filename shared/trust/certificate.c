#include "shared/trust/certificate.h"

#include "shared/trust/label.h"
#include "shared/trust/signed_array.h"

#define CERTIFICATE_TAG    "a2a-cert"
#define CERTIFICATE_FIELDS 9

void certificate_encode(struct buf *out, const struct certificate *cert)
{
    pack_array(out, CERTIFICATE_FIELDS);
    pack_text(out, CERTIFICATE_TAG);
    pack_uint(out, 1);
    pack_uint(out, cert->serial);
    pack_bin(out, bytes_of(cert->aid, 32));
    pack_bin(out, bytes_of(cert->card_hash, 32));
    pack_uint(out, cert->nbf_ms);
    pack_uint(out, cert->exp_ms);
    pack_uint(out, cert->log_index);
    pack_bin(out, bytes_of(cert->log_head, 32));
}

enum err certificate_parse(struct bytes packed, struct certificate *out)
{
    struct take take = signed_object(packed, CERTIFICATE_MAX, CERTIFICATE_FIELDS, CERTIFICATE_TAG);

    out->serial = take_uint(&take, UINT64_MAX);
    take_copy(&take, out->aid, 32);
    take_copy(&take, out->card_hash, 32);
    out->nbf_ms = take_uint(&take, UINT64_MAX);
    out->exp_ms = take_uint(&take, UINT64_MAX);
    out->log_index = take_uint(&take, UINT64_MAX);
    take_copy(&take, out->log_head, 32);
    return take_end(&take);
}

enum err certificate_verify(struct bytes packed, const uint8_t sig[static 64],
                            const uint8_t ck[static 32], struct certificate *out)
{
    enum err e = certificate_parse(packed, out);

    if (e != ERR_OK)
        return e;
    return label_verify(ck, sig, LABEL_CERT, packed) ? ERR_OK : ERR_AUTH;
}

/* Differences, not sums: a peer chooses nbf and exp, and a sum could wrap. */
enum err certificate_current(const struct certificate *cert, uint64_t now_ms)
{
    if (now_ms < cert->nbf_ms && cert->nbf_ms - now_ms > CERTIFICATE_SKEW_MS)
        return ERR_CERT_EXPIRED;
    if (now_ms > cert->exp_ms && now_ms - cert->exp_ms > CERTIFICATE_SKEW_MS)
        return ERR_CERT_EXPIRED;
    return ERR_OK;
}
