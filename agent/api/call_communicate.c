/*
 * communicate - a live session from the choice of whom to talk to until its end (docs: cli 3.5).
 *
 * Parameters   peer?; what a hand-over brings: request (id of our introduction), session, active,
 *              sent (id to state), lines (not heard yet)
 * Hears        {"id":ID,"body_b64":S}: a line; {"id":ID,"end":true,"signal":N?}: no more of them
 * Items        `peer` (the list), `session`, `message`, `receipt`, and for the screen
 *              {"type":"prompt","for":"peer|accept|line",…}  {"type":"step","number":N,"text":S}
 *              {"type":"done","text":S}  {"type":"chosen","peer":S,"request":ID?}
 *              {"type":"heard","id":ID,"sent":B}
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/object.h"
#include "agent/api/talk.h"
#include "agent/api/verbs.h"
#include "shared/base/text.h"
#include "shared/json/object.h"

#define NETWORK_MS    5000
#define ANSWER_MS     300000 /* a live request is that fresh, and no older */
#define FINISH_MS     5000   /* for the word on what was said last */
#define FINISH_NOW_MS 2000   /* the same after a signal */
#define ANSWER_SIZE   80

enum stage { LISTING, CHOOSING, CHECKING, ASKING, ANSWERING, TALKING };

struct communicating {
    enum stage stage;
    char peer[ANSWER_SIZE];
    uint8_t (*listed)[32]; /* owned: the numbers of the list */
    size_t listed_count;
    bool told, presence_asked; /* of this stage */
    uint64_t until_ms;         /* of this stage */
    uint8_t question[16];      /* the session that stands to be answered with y or n; zeros: none */
    json_t *asked;             /* owned: sessions that were asked about */
    uint8_t request[16];       /* our introduction; zeros: not asked */
    bool session_told;
    json_t *lines; /* owned: not heard yet */
    struct talk talk;
};

static bool is_zero(const uint8_t id[static 16])
{
    return sodium_is_zero(id, 16);
}

static bool id_of(const char *hex, uint8_t id[static 16])
{
    return hex && hex_decode(id, 16, hex, strlen(hex)) == ERR_OK;
}

/* ------------------------------------------------------------------ for the screen */

static json_t *screen(const char *type)
{
    json_t *object = json_object();

    out_text(object, "type", type);
    return object;
}

static void tell_step(struct call *call, unsigned number, const char *doing, const char *peer)
{
    json_t *object = screen("step");
    char text[128];

    snprintf(text, sizeof text, "%s%s", doing, peer);
    out_number(object, "number", number);
    out_text(object, "text", text);
    call_item(call, object);
}

static void tell_done(struct call *call, const char *text)
{
    json_t *object = screen("done");

    out_text(object, "text", text);
    call_item(call, object);
}

static void prompt(struct call *call, const char *what)
{
    json_t *object = screen("prompt");

    out_text(object, "for", what);
    call_item(call, object);
}

/* A step that fails is said to have, in the word of its error; then comes the error. */
static void step_failed(struct call *call, struct failure *failure)
{
    struct communicating *c = call->state;

    if (!failure->peer[0])
        snprintf(failure->peer, sizeof failure->peer, "%.64s", c->peer);
    tell_done(call, failure->code);
    call_fail(call, failure);
}

static void enter(struct call *call, enum stage stage)
{
    struct communicating *c = call->state;

    c->stage = stage;
    c->told = c->presence_asked = false;
    c->until_ms = UINT64_MAX;
    call->wake_ms = call->now_ms; /* it begins at once */
}

/* ------------------------------------------------------------------ lines */

static void heard(struct call *call, json_t *line, bool sent)
{
    json_t *object = screen("heard");

    json_object_set(object, "id", json_object_get(line, "id"));
    out_bool(object, "sent", sent);
    call_item(call, object);
}

/* The next line, a new reference; NULL: none waits. */
static json_t *line_take(struct communicating *c)
{
    json_t *line = json_incref(json_array_get(c->lines, 0));

    if (line)
        json_array_remove(c->lines, 0);
    return line;
}

static void line_text(const json_t *line, char out[static ANSWER_SIZE])
{
    const char *b64 = call_word(json_object_get(line, "body_b64"));
    size_t got = 0;

    if (sodium_base642bin((uint8_t *)out, ANSWER_SIZE - 1, b64, strlen(b64), NULL, &got, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING)
        != 0)
        got = 0;
    out[got] = 0;
    out[strcspn(out, "\r\n")] = 0;
}

/* Is there an end among what waits?  Its signal, 0 for an ordinary one; -1: no. */
static int end_waits(const struct communicating *c)
{
    json_t *line;
    size_t i;

    json_array_foreach(c->lines, i, line)
    {
        if (json_is_true(json_object_get(line, "end")))
            return (int)json_integer_value(json_object_get(line, "signal"));
    }
    return -1;
}

static void communicate_hear(struct call *call, json_t *input)
{
    struct communicating *c = call->state;

    json_array_append(c->lines, input);
    call->wake_ms = call->now_ms;
}

/* ------------------------------------------------------------------ requests of others */

struct knock {
    const struct communicating *c;
    const uint8_t *aid; /* only of this one; NULL: of anybody, who was not asked about */
    bool found;
    uint8_t sid[16], from[32];
    char name[NAME_MAX_LEN + 1];
};

static bool was_asked_about(const struct communicating *c, const uint8_t sid[static 16])
{
    char hex[33];
    json_t *known;
    size_t i;

    hex_encode(hex, sid, 16);
    json_array_foreach(c->asked, i, known)
    {
        if (strcmp(call_word(known), hex) == 0)
            return true;
    }
    return false;
}

static void find_knock(void *ctx, const struct request_info *request)
{
    struct knock *knock = ctx;

    if (knock->found || !request->incoming || !request->live
        || (knock->aid ? memcmp(request->aid, knock->aid, 32) != 0
                       : was_asked_about(knock->c, request->session)))
        return;
    knock->found = true;
    memcpy(knock->sid, request->session, 16);
    memcpy(knock->from, request->aid, 32);
    snprintf(knock->name, sizeof knock->name, "%.*s", (int)request->peer.len,
             (const char *)request->peer.at);
}

static bool knocks(struct call *call, const uint8_t *aid, struct knock *out)
{
    *out = (struct knock){ .c = call->state, .aid = aid };
    agent_requests_each(call->agent, find_knock, out);
    return out->found;
}

/* Is the request still there? */
static bool is_held(struct call *call, const uint8_t sid[static 16])
{
    struct session_info session;

    return agent_session_get(call->agent, sid, &session) == ERR_OK
           && session.phase == PHASE_WAS_ASKED;
}

/* ------------------------------------------------------------------ whom to talk to */

static void note_listed(void *ctx, const struct peer_info *peer)
{
    struct communicating *c = ctx;

    if (peer->trust == TRUST_REVOKED)
        return;
    c->listed = mem_resize(c->listed, (c->listed_count + 1) * sizeof *c->listed);
    memcpy(c->listed[c->listed_count++], peer->aid, 32);
}

static void give_list(struct call *call)
{
    struct communicating *c = call->state;
    struct peer_info peer;

    for (size_t i = 0; i < c->listed_count; i++)
        if (agent_peer_get(call->agent, c->listed[i], &peer) == ERR_OK)
            call_item(call, object_peer(&peer));
    prompt(call, "peer");
    enter(call, CHOOSING);
}

static void step_listing(struct call *call)
{
    struct communicating *c = call->state;
    uint64_t until = call_deadline(call, NETWORK_MS);
    struct failure failure;
    enum reach reach = call_reach(call, until);

    if (reach == REACH_WAITING)
        return;
    if (reach == REACH_NOT) {
        call_link_failure(call, &failure);
        call_fail(call, &failure);
        return;
    }
    if (!c->presence_asked) {
        c->presence_asked = true;
        agent_peers_each(call->agent, note_listed, c);
        for (size_t i = 0; i < c->listed_count; i++)
            agent_presence_ask(call->agent, c->listed[i]);
    }
    if (agent_presence_pending(call->agent) > 0 && call->now_ms < until) {
        call->wake_ms = until;
        return;
    }
    give_list(call);
}

static void choose(struct call *call, const char *name)
{
    struct communicating *c = call->state;
    json_t *object = screen("chosen");

    if (name != c->peer)
        snprintf(c->peer, sizeof c->peer, "%s", name);
    out_text(object, "peer", name);
    call_item(call, object);
    enter(call, CHECKING);
}

/* A number of the list, or a name. */
static void choose_by(struct call *call, const char *answer)
{
    struct communicating *c = call->state;
    char name[NAME_MAX_LEN + 1];
    struct peer_names names;
    struct peer_info peer;
    char *rest;
    unsigned long number = strtoul(answer, &rest, 10);

    if (!*rest && number >= 1 && number <= c->listed_count
        && agent_peer_get(call->agent, c->listed[number - 1], &peer) == ERR_OK) {
        snprintf(name, sizeof name, "%.*s", (int)peer.name.len, (const char *)peer.name.at);
        choose(call, name);
    } else if (agent_peer_names(call->agent, answer, &names) == ERR_OK
               && !call_is_self(call, answer)) {
        choose(call, answer);
    } else {
        if (*answer)
            call_note(call, "there is no \"%.40s\" in the list", answer);
        prompt(call, "peer");
    }
}

static void ask_about(struct call *call, const struct knock *knock)
{
    struct communicating *c = call->state;
    json_t *object = screen("prompt");
    char hex[33];

    hex_encode(hex, knock->sid, 16);
    memcpy(c->question, knock->sid, 16);
    snprintf(c->peer, sizeof c->peer, "%s", knock->name);
    json_array_append_new(c->asked, json_string(hex));
    out_text(object, "for", "accept");
    out_text(object, "peer", knock->name);
    out_fingerprint(object, "fingerprint", knock->from);
    out_text(object, "session", hex);
    call_item(call, object);
}

/* Only this request is refused, not what else its sender has asked for. */
static void answer_question(struct call *call, const char *answer)
{
    struct communicating *c = call->state;
    struct session_info session;
    bool yes = strcmp(answer, "y") == 0 || strcmp(answer, "yes") == 0;

    if (yes) {
        choose(call, c->peer);
    } else if (agent_session_get(call->agent, c->question, &session) == ERR_OK) {
        agent_close(call->agent, session.aid, c->question, true);
        prompt(call, "peer");
    }
    memset(c->question, 0, sizeof c->question);
}

static void step_choosing(struct call *call)
{
    struct communicating *c = call->state;
    char answer[ANSWER_SIZE];
    struct knock knock;
    json_t *line;

    if (!is_zero(c->question) && !is_held(call, c->question)) {
        call_note(call, "%s does not ask any more", c->peer);
        memset(c->question, 0, sizeof c->question);
        prompt(call, "peer");
    }
    if (is_zero(c->question) && knocks(call, NULL, &knock))
        ask_about(call, &knock);
    while (c->stage == CHOOSING && (line = line_take(c))) {
        line_text(line, answer);
        heard(call, line, false);
        if (json_is_true(json_object_get(line, "end")) || strcmp(answer, "exit") == 0)
            call_end(call, 0);
        else if (!is_zero(c->question))
            answer_question(call, answer);
        else
            choose_by(call, answer);
        json_decref(line);
    }
}

/* ------------------------------------------------------------------ 1: who is it? */

static void certificate_text(struct call *call, const uint8_t aid[static 32], char *out,
                             size_t size)
{
    uint64_t now = call->host->now_ms();
    char left[SHORT_TEXT_SIZE];
    struct peer_info peer;

    snprintf(out, size, "ok");
    if (agent_peer_get(call->agent, aid, &peer) != ERR_OK)
        return;
    duration_text(left, peer.certificate_expires_ms > now ? peer.certificate_expires_ms - now : 0);
    if (peer.certificate_expires_ms)
        snprintf(out, size, "ok, %s, valid %s", object_trust(peer.trust), left);
    else
        snprintf(out, size, "ok, %s", object_trust(peer.trust));
}

/* The peer's request is answered; without one we ask ourselves. */
static void begin_session(struct call *call)
{
    struct communicating *c = call->state;
    struct contact_request request = { .live = true };
    json_t *object = screen("chosen");
    struct failure failure;
    struct knock knock;
    char text[96];
    enum err e = ERR_OK;

    memcpy(request.to, c->talk.aid, sizeof request.to);
    if (!knocks(call, c->talk.aid, &knock)) {
        e = agent_request(call->agent, &request, c->request);
        out_hex(object, "request", c->request, 16);
    }
    if (e != ERR_OK) {
        json_decref(object);
        call_peer_failure(call, e, c->peer, &failure);
        step_failed(call, &failure);
        return;
    }
    out_text(object, "peer", c->peer);
    call_item(call, object);
    certificate_text(call, c->talk.aid, text, sizeof text);
    tell_done(call, text);
    enter(call, knock.found ? ANSWERING : ASKING);
}

static bool has_changed(struct call *call)
{
    struct communicating *c = call->state;
    struct peer_names names;
    struct failure failure;

    if (agent_peer_names(call->agent, c->peer, &names) != ERR_OK || !names.replaced)
        return false;
    call_peer_failure(call, ERR_KEY_CHANGED, c->peer, &failure);
    step_failed(call, &failure);
    return true;
}

static void unknown_peer(struct call *call)
{
    struct communicating *c = call->state;
    struct failure failure;

    call_peer_failure(call, ERR_UNKNOWN_AGENT, c->peer, &failure);
    step_failed(call, &failure);
}

static void step_checking(struct call *call)
{
    struct communicating *c = call->state;
    uint64_t until;
    struct failure failure;
    struct peer_names names;
    enum reach reach;

    if (!c->told) {
        c->told = true;
        c->until_ms = call->now_ms + NETWORK_MS;
        tell_step(call, 1, "Checking the certificate of ", c->peer);
    }
    until = c->until_ms;
    reach = call_reach(call, until);
    if (reach == REACH_WAITING)
        return;
    if (reach == REACH_NOT) {
        call_link_failure(call, &failure);
        step_failed(call, &failure);
        return;
    }
    if (call_is_self(call, c->peer)) {
        failure_set(&failure, 2, "self", "sealpost peers", "\"%.64s\" is this agent itself",
                    c->peer);
        step_failed(call, &failure);
    } else if (agent_peer_names(call->agent, c->peer, &names) != ERR_OK) {
        unknown_peer(call);
    } else if (!has_changed(call)) {
        memcpy(c->talk.aid, names.aid, 32);
        if (!c->presence_asked)
            agent_presence_ask(call->agent, names.aid);
        c->presence_asked = true;
        if (agent_presence_pending(call->agent) == 0 || call->now_ms >= until)
            begin_session(call);
        else
            call->wake_ms = until;
    }
}

/* ------------------------------------------------------------------ 2: may we talk? */

static const char *suite_text(uint8_t suite)
{
    return suite == 1   ? "ok, X25519 ChaCha20-Poly1305"
           : suite == 2 ? "ok, X25519 AES-256-GCM"
                        : "ok";
}

static void agreed(struct call *call, const struct session_info *session)
{
    struct communicating *c = call->state;

    memcpy(c->talk.sid, session->id, 16);
    tell_done(call, "accepted");
    tell_step(call, 3, "Agreeing on keys", "");
    tell_done(call, suite_text(session->suite));
    tell_step(call, 4, "Session active", "");
    call_item(call, object_session(session));
    prompt(call, "line");
    enter(call, TALKING);
}

static void step_answering(struct call *call)
{
    struct communicating *c = call->state;
    struct session_info session;
    struct failure failure;
    uint8_t sid[16];
    bool answered = false;
    enum err e = ERR_OK;

    if (!c->told) {
        c->told = true;
        tell_step(call, 2, "Answering ", c->peer);
        e = agent_accept(call->agent, c->talk.aid, &answered, sid);
    }
    if (e == ERR_OK && answered)
        e = agent_session_get(call->agent, sid, &session);
    if (e == ERR_OK && answered && session.live && session.phase == PHASE_ACTIVE) {
        agreed(call, &session);
        return;
    }
    if (e == ERR_OK)
        failure_set(&failure, 6, "no_request", "sealpost communicate",
                    "%.64s does not ask any more", c->peer);
    else
        call_peer_failure(call, e, c->peer, &failure);
    step_failed(call, &failure);
}

/* Nobody shall answer it any more. */
static void take_back(struct call *call)
{
    struct communicating *c = call->state;
    struct session_info session;

    if (agent_session_of(call->agent, c->request, &session) == ERR_OK)
        agent_close(call->agent, c->talk.aid, session.id, true);
}

static void not_agreed(struct call *call, const struct session_info *session)
{
    struct communicating *c = call->state;
    struct failure failure;
    bool late = session->phase == PHASE_EXPIRED;

    failure_set(&failure, late ? 5 : 4, late ? "expired" : "rejected", NULL,
                "%.64s did not accept: %s", c->peer,
                session->reason ? session->reason : object_phase(session->phase));
    call_item(call, object_session(session));
    step_failed(call, &failure);
}

static void too_late(struct call *call)
{
    struct communicating *c = call->state;
    struct failure failure;

    take_back(call);
    failure_set(&failure, 5, "timeout", "sealpost send", "%.64s did not answer in time", c->peer);
    step_failed(call, &failure);
}

/* The request has not reached the broker, or the broker will not have it. */
static void judge_queued(struct call *call)
{
    struct communicating *c = call->state;
    struct outgoing_info out;
    struct failure failure;

    if (agent_outgoing_get(call->agent, c->request, &out) != ERR_OK)
        return;
    if (out.state == OUT_REFUSED || out.state == OUT_EXPIRED)
        failure_set(&failure, out.state == OUT_EXPIRED ? 5 : 4,
                    out.state == OUT_EXPIRED ? "expired" : "refused", NULL,
                    "%.64s was not asked: %s", c->peer, out.reason ? out.reason : "refused");
    else if (failure_is_temporary(out.wire) || out.wire == ERR_CERT_INVALID
             || out.wire == ERR_CERT_EXPIRED)
        failure_of_err(&failure, out.wire, failure_is_temporary(out.wire) ? "broker" : c->peer);
    else
        return;
    step_failed(call, &failure);
}

/* Both have asked at once: the smaller id is the one that both take. */
static bool give_way(struct call *call, const struct session_info *own)
{
    struct communicating *c = call->state;
    struct knock knock;

    if (!knocks(call, c->talk.aid, &knock) || memcmp(knock.sid, own->id, 16) > 0)
        return false;
    take_back(call);
    tell_done(call, "asks, too");
    enter(call, ANSWERING);
    return true;
}

static void step_asking(struct call *call)
{
    struct communicating *c = call->state;
    struct session_info session;

    if (!c->told) {
        c->told = true;
        c->until_ms
            = call->timeout_ms == UINT64_MAX ? call->now_ms + ANSWER_MS : call_deadline(call, 0);
        tell_step(call, 2, "Asking ", c->peer);
    }
    call->wake_ms = c->until_ms;
    if (agent_session_of(call->agent, c->request, &session) != ERR_OK) {
        judge_queued(call);
    } else if (session.phase == PHASE_ACTIVE) {
        agreed(call, &session);
    } else if (session.phase > PHASE_ACTIVE) {
        not_agreed(call, &session);
    } else {
        if (!c->session_told)
            call_item(call, object_session(&session));
        c->session_told = true;
        if (give_way(call, &session))
            return;
    }
    if (!call->ended && c->stage == ASKING && call->now_ms >= c->until_ms)
        too_late(call);
}

/* ------------------------------------------------------------------ talking */

static void step_talking(struct call *call)
{
    struct communicating *c = call->state;
    char text[ANSWER_SIZE];
    json_t *line;

    while (!c->talk.ending && (line = line_take(c))) {
        bool end = json_is_true(json_object_get(line, "end"));
        int signal = (int)json_integer_value(json_object_get(line, "signal"));

        line_text(line, text);
        if (end || strcmp(text, "exit") == 0)
            talk_finish(call, &c->talk, signal ? FINISH_NOW_MS : FINISH_MS);
        else
            talk_say(call, &c->talk, line);
        heard(call, line, !end && !c->talk.ending);
        json_decref(line);
    }
    if (c->talk.ending && end_waits(c) > 0)
        talk_finish(call, &c->talk, FINISH_NOW_MS);
    talk_step(call, &c->talk);
}

static void communicate_took(struct call *call, const uint8_t id[static 16])
{
    talk_took(call, id);
}

/* ------------------------------------------------------------------ the call */

/* Goes on where an earlier owner has stopped. */
static void resume(struct call *call)
{
    struct communicating *c = call->state;
    struct session_info session;
    bool active = call_flag(call, "active");

    if (!id_of(call_text(call, "session"), c->talk.sid)
        || agent_session_get(call->agent, c->talk.sid, &session) != ERR_OK)
        memset(c->talk.sid, 0, 16);
    else
        memcpy(c->talk.aid, session.aid, 32);
    talk_resume(&c->talk, json_object_get(call->params, "sent"));
    if (active && !is_zero(c->talk.sid)) {
        c->stage = TALKING;
    } else if (id_of(call_text(call, "request"), c->request)) {
        struct peer_names names;

        if (agent_peer_names(call->agent, c->peer, &names) == ERR_OK)
            memcpy(c->talk.aid, names.aid, 32);
        c->stage = ASKING;
        c->told = c->session_told = true;
        c->until_ms = call_deadline(call, ANSWER_MS);
    }
}

static void communicate_start(struct call *call)
{
    struct communicating *c = call->state;
    json_t *lines = json_object_get(call->params, "lines");
    const char *peer = call_text(call, "peer");

    c->lines = lines ? json_copy(lines) : json_array();
    c->asked = json_array();
    c->until_ms = UINT64_MAX;
    snprintf(c->peer, sizeof c->peer, "%s", peer ? peer : "");
    c->stage = peer ? CHECKING : LISTING;
    resume(call);
}

/* Whoever ends before there is a session takes his request back. */
static bool ends_early(struct call *call)
{
    struct communicating *c = call->state;
    int signal = c->stage == TALKING || c->stage == CHOOSING ? 0 : end_waits(c);

    if (signal <= 0)
        return false;
    take_back(call);
    call_end(call, 128 + signal);
    return true;
}

static void communicate_step(struct call *call)
{
    struct communicating *c = call->state;
    enum stage before;

    do {
        before = c->stage;
        if (ends_early(call))
            return;
        switch (c->stage) {
        case LISTING:
            step_listing(call);
            break;
        case CHOOSING:
            step_choosing(call);
            break;
        case CHECKING:
            step_checking(call);
            break;
        case ASKING:
            step_asking(call);
            break;
        case ANSWERING:
            step_answering(call);
            break;
        case TALKING:
            step_talking(call);
            break;
        }
    } while (!call->ended && c->stage != before);
}

static void communicate_stop(struct call *call)
{
    struct communicating *c = call->state;

    free(c->listed);
    json_decref(c->asked);
    json_decref(c->lines);
    talk_free(&c->talk);
}

static const uint8_t *communicate_serves(const struct call *call)
{
    const struct communicating *c = call->state;

    return c->stage == TALKING ? c->talk.sid : NULL;
}

const struct call_verb call_communicate = { .name = "communicate",
                                            .online = true,
                                            .state_len = sizeof(struct communicating),
                                            .start = communicate_start,
                                            .step = communicate_step,
                                            .hear = communicate_hear,
                                            .serves = communicate_serves,
                                            .took = communicate_took,
                                            .stop = communicate_stop };
