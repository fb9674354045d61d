/*
 * link_zmq - the agent's one connection: a DEALER behind the ports of agent/flow.
 *
 * One socket is one connection: it never connects again by itself, has a routing id of its own, and
 * a monitor tells what becomes of it.  The program's loop polls the items and calls
 * link_zmq_dispatch().
 *
 * Owns     socket and monitor.
 * Thread   one, the agent's.
 */
#ifndef NET_LINK_ZMQ_H
#define NET_LINK_ZMQ_H
#include <zmq.h>

#include "agent/flow/agent.h"
#include "agent/flow/ports.h"

#define LINK_ZMQ_ITEMS 2

struct link_zmq;

struct link_zmq *link_zmq_new(void);
void link_zmq_free(struct link_zmq **link);

/* What the ports' connect, disconnect and send do; contracts in ports.h. */
void link_zmq_connect(struct link_zmq *link, const char *endpoint,
                      const uint8_t broker_key[static 32], const uint8_t public_key[static 32],
                      const uint8_t secret_key[static 32]);
void link_zmq_disconnect(struct link_zmq *link);
enum err link_zmq_send(struct link_zmq *link, struct bytes head, const struct bytes *parts,
                       size_t count);

/* Fills in what to poll; gives how many items. */
size_t link_zmq_items(const struct link_zmq *link, zmq_pollitem_t items[static LINK_ZMQ_ITEMS]);

/* When link_zmq_dispatch() must be called even if nothing can be read, on the elapsed clock;
 * UINT64_MAX: never. */
uint64_t link_zmq_deadline_ms(const struct link_zmq *link);

/* Tells the agent what happened and hands over what arrived, at most a batch; true: there is more,
 * call again before waiting. */
bool link_zmq_dispatch(struct link_zmq *link, struct agent *agent);

#endif
