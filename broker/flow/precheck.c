#include "broker/flow/flow_internal.h"
#include "shared/trust/event.h"
#include "shared/trust/receipt.h"

/* Layout of every receipt, and the signature under the key of the agent that brings it. */
static enum err receipts_check(const struct requester *by, const struct wire_list *list)
{
    struct list_reader reader = list_read(list);
    struct wire_receipt signed_receipt;

    while (list_receipt(&reader, &signed_receipt)) {
        struct bytes preimage = bytes_of(signed_receipt.preimage, RECEIPT_SIZE);
        struct receipt receipt;
        enum err e = receipt_parse(preimage, &receipt);

        if (e == ERR_OK)
            e = receipt_verify(preimage, &receipt, signed_receipt.sig, by->identity_key);
        if (e != ERR_OK)
            return ERR_RECEIPT;
    }
    return reader.err;
}

/* Signatures of those events whose actor brings them; the others wait for the directory. */
static enum err events_check(const struct requester *by, const struct wire_list *list)
{
    struct list_reader reader = list_read(list);
    struct wire_event wire;

    while (list_event(&reader, &wire)) {
        struct bytes preimage = bytes_of(wire.preimage, EVENT_SIZE);
        struct event event;

        if (event_parse(preimage, &event) == ERR_OK && memcmp(event.actor, by->aid, 32) == 0
            && event_verify(preimage, wire.sig, by->identity_key) != ERR_OK)
            return ERR_AUTH;
    }
    return reader.err;
}

void request_precheck(struct request *request)
{
    const struct message *message = &request->message;

    if (request->checked)
        return;
    request->checked = true;
    request->verdict = ERR_OK;
    if (request->by.kind != BY_AGENT)
        return;
    if (message->verb == VERB_ACK || (message->verb == VERB_SYNC && MESSAGE_HAS(message, receipts)))
        request->verdict = receipts_check(&request->by, &message->receipts);
    else if (message->verb == VERB_REQUEST || message->verb == VERB_EVENT)
        request->verdict = events_check(&request->by, &message->events);
}
