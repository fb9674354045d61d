/*
 * identity - my keys and card, how they were enrolled, and the greeting that shows them.
 */
#ifndef FLOW_IDENTITY_H
#define FLOW_IDENTITY_H
#include "agent/flow/core.h"
#include "agent/store/secrets.h"

/* Fills agent->me from the store.  ERR_NOT_FOUND: no identity yet. */
enum err agent_me_load(struct agent *agent);
void agent_me_wipe(struct agent *agent);

/* The settings' description, methods and schedule as a card's info, and back. */
void agent_info_pack(struct buf *out, const struct agent_settings *settings);
void agent_info_read(struct bytes info, struct card_info *out);

/* A new generation of the card if the settings say something else than the enrolled one. */
void agent_card_refresh(struct agent *agent);
/* Signs `card`, whose keys are new, as the generation and takes it for mine. */
void agent_card_replace(struct agent *agent, struct card *card, uint32_t gen);
/* CARD, if the certificate does not name the newest card. */
void agent_card_publish(struct agent *agent);
void agent_card_answer(struct agent *agent, enum err code, const struct message *message);

void agent_enrol(struct agent *agent);
void agent_enrol_answer(struct agent *agent, enum err code, const struct message *message);
void agent_hello(struct agent *agent);
void agent_hello_answer(struct agent *agent, enum err code, const struct message *message);

/* The key to come to the broker with (renew.c): of the card that it has confirmed, or `newest_key`.
 */
bool agent_transport_key(struct agent *agent, struct secret_info *out);
/* It was refused: is there another?  The next connection is made with that. */
bool agent_transport_key_other(struct agent *agent);
/* HELLO was answered: older ones are wiped. */
void agent_transport_key_known(struct agent *agent);
/* The broker knows a newer one than this connection was made with. */
bool agent_transport_key_stale(struct agent *agent);

/* The card hash that I had in the generation; the generation of a hash (0: never mine). */
uint32_t agent_card_generation(struct agent *agent, const uint8_t card_hash[static 32]);

#endif
