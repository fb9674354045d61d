/*
 * inside - what the files of this folder share.
 */
#ifndef CONTROLLER_INSIDE_H
#define CONTROLLER_INSIDE_H
#include "broker/controller/controller.h"
#include "broker/store/log.h"

struct controller {
    struct store *store;   /* borrowed */
    struct signer *signer; /* borrowed */
    struct controller_settings settings;
    struct log_head fed; /* how far the signer knows the log */
    uint64_t rollbacks;  /* of the store, when it was fed */
    struct buf server;   /* the server card, and until when it is good */
    uint8_t server_sig[64];
    uint64_t server_until_ms;
};

/* What the signer knows is what the store holds: after a rollback it learns again. */
enum err signer_agree(struct controller *controller);

/* One line of the log about an agent, in signer, file and table.  `card` empty: REVOKE. */
enum err log_add(struct controller *controller, enum log_entry_type type,
                 const struct agent_row *agent, struct bytes extra, struct bytes card,
                 const uint8_t *card_sig, uint64_t now_ms);

/* "a b c" <-> extra of ENROL.  ERR_MALFORMED. */
enum err circles_of_text(const char *text, struct circles *out);

/* Rows 7 to 9 of ENROL (docs/protocol.md 2.3): may this card join now? */
enum err join_check(struct controller *controller, const struct card *card,
                    const uint8_t aid[static 32], const uint8_t card_hash[static 32],
                    uint64_t now_ms, enum enrol_outcome *outcome, int64_t *agent_id);
/* Row 11, without the invite. */
enum err join_proceed(struct controller *controller, const struct agent_new *agent,
                      int64_t *agent_id);

#endif
