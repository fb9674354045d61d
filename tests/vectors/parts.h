/*
 * parts - one function for each section of a vectors file.
 */
#ifndef VECTORS_PARTS_H
#define VECTORS_PARTS_H
#include <jansson.h>

void part_labels(json_t *root);
void part_msgpack(json_t *root);
void part_padding(json_t *root);

void part_agents(json_t *root);
void part_controller(json_t *root);
void part_log(json_t *root);
void part_certificates(json_t *root);
void part_credentials(json_t *root);
void part_prekeys(json_t *root);
void part_invites(json_t *root);
void part_enrolments(json_t *root);
void part_requests(json_t *root);

void part_sessions(json_t *root);

void part_events(json_t *root);
void part_group(json_t *root);
void part_receipts(json_t *root);
void part_notices(json_t *root);
void part_envelopes(json_t *root);
void part_sizes(json_t *root);

/* An event of a session or group from its fields, compared and signed again. */
void event_same(json_t *root, json_t *section, json_t *row);

/* The agent of the file whose aid or ik this is; NULL if there is none. */
json_t *agent_by(json_t *root, const char *key, const uint8_t value[static 32]);

#endif
