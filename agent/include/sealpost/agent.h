/*
 * sealpost/agent.h - run an agent inside your own program.
 *
 * A handle is one profile, made before with `sealpost join`.  While it is open it owns the profile,
 * or works through the process that does; other commands go on working.
 *
 * Thread   use a handle from one thread at a time.
 * Results  0, or the exit codes of the command line: 1 failure, 2 wrong use, 3 broker not
 * reachable, 4 not allowed, 5 time is up, 6 no such thing, 7 a person must act.  sealpost_error()
 * tells more.
 *
 * This interface may still change.
 */
#ifndef SEALPOST_AGENT_H
#define SEALPOST_AGENT_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SEALPOST_API __attribute__((visibility("default")))
#else
#define SEALPOST_API
#endif

typedef struct sealpost_agent sealpost_agent;

#define SEALPOST_ID_SIZE 33 /* 32 hex digits and NUL */

typedef struct {
    size_t struct_size; /* sizeof(sealpost_message): lets fields be added at the end */
    char id[SEALPOST_ID_SIZE];
    char thread[SEALPOST_ID_SIZE];
    char reply_to[SEALPOST_ID_SIZE]; /* "": answers nothing */
    const char *from;                /* this and the next three: borrowed until the next call */
    const char *fingerprint;
    const char *media_type;
    const uint8_t *body;
    size_t body_len;
    int again; /* was handed out before */
} sealpost_message;

/* `profile` NULL: the one that the command line would take. */
SEALPOST_API int sealpost_open(sealpost_agent **out, const char *profile);

/* Says goodbye to the broker; accepts NULL and sets *agent to NULL. */
SEALPOST_API void sealpost_close(sealpost_agent **agent);

/*
 * On this disk when it returns 0, and then on its way until it is delivered or has expired; `id`
 * (may be NULL) is its name.  Waits at most `timeout_ms` for the broker's word.
 */
SEALPOST_API int sealpost_send(sealpost_agent *agent, const char *to, const void *body,
                               size_t body_len, int timeout_ms, char id[SEALPOST_ID_SIZE]);

/* The oldest message that is not acknowledged; waits for one, below 0 without limit.  5: none came.
 */
SEALPOST_API int sealpost_recv(sealpost_agent *agent, sealpost_message *out, int timeout_ms);

/* Taken: it is not given again. */
SEALPOST_API int sealpost_ack(sealpost_agent *agent, const char *id);

/* Code and text of the last failure of this handle: "quota: broker: limit reached …"; "" if none.
 */
SEALPOST_API const char *sealpost_error(const sealpost_agent *agent);

#ifdef __cplusplus
}
#endif
#endif
