/*
 * config - the keys of sealpostd.conf: one row each, from which parser, default file and manual
 * come.
 */
#ifndef BROKER_CONFIG_H
#define BROKER_CONFIG_H
#include "broker/edge/gate.h"
#include "broker/flow/flow.h"
#include "shared/config/config.h"

/* In the order of the file; the rows are in config.c. */
enum broker_key {
    CONF_NAME,
    CONF_STATE,
    CONF_PUBLIC,
    CONF_ENDPOINT,
    CONF_CONNECTIONS,
    CONF_CONNECTIONS_PER_AGENT,
    CONF_HANDSHAKES_PER_S,
    CONF_HANDSHAKE_TIMEOUT,
    CONF_CIRCLE,
    CONF_INVITE_TTL,
    CONF_CERTIFICATE_TTL,
    CONF_STORE_FILE,
    CONF_MAX_SIZE,
    CONF_DISK_FLOOR,
    CONF_BALLAST,
    CONF_WAL_ALARM,
    CONF_QUEUE_FRAMES,
    CONF_QUEUE_BYTES,
    CONF_PAIR_FRAMES,
    CONF_PAIR_BYTES,
    CONF_REQUESTS,
    CONF_REQUEST_BYTES,
    CONF_REQUESTS_OPEN,
    CONF_SEND_PER_S,
    CONF_SEND_BURST,
    CONF_PREKEYS_PER_H,
    CONF_FRAME_TTL_MAX,
    CONF_GROUP_MEMBERS,
    CONF_BLOB_SIZE_MAX,
    CONF_BLOB_AGENT_BYTES,
    CONF_BLOB_TTL,
    CONF_CONTROL_SOCKET,
    CONF_CONTROL_GROUP,
    CONF_LOG_LEVEL,
    CONF_LOG_FORMAT,
    CONF_LOG_PER_EVENT,
    CONF_GRACE,
    CONF_COUNT
};

struct config *broker_config_new(void);

/* The commented file of `sealpostd init`, and deploy/sealpostd.conf. */
void broker_config_write(const struct config *config, struct buf *out);

/* Everything but public_address and endpoints, which depend on what was bound. */
void broker_config_flow(const struct config *config, struct flow_settings *out);
void broker_config_gate(const struct config *config, struct gate_limits *out);
void broker_config_log(const struct config *config);

#endif
