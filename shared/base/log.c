#include "shared/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/bytes.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

#define EVENTS_MAX 64

static struct {
    enum log_level level;
    enum log_format format;
    unsigned per_event;
    bool journal, silent;
    pthread_mutex_t lock;
    struct {
        const char *event; /* a literal, so the pointer names it */
        uint64_t second;
        unsigned lines, suppressed;
    } count[EVENTS_MAX];
} state = { LOG_INFO, LOG_LOGFMT, 10, false, false, PTHREAD_MUTEX_INITIALIZER, { { 0 } } };

static atomic_int loudest = LOG_INFO; /* state.level, to be read without the lock */

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&loudest, memory_order_relaxed);
}

static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(2, &st) == 0
           && st.st_dev == dev && st.st_ino == ino;
}

void log_setup(enum log_level level, enum log_format format, unsigned per_event)
{
    pthread_mutex_lock(&state.lock);
    state.level = level;
    atomic_store_explicit(&loudest, (int)level, memory_order_relaxed);
    state.format = format;
    state.per_event = per_event;
    state.journal = stderr_is_journal();
    state.silent = false;
    pthread_mutex_unlock(&state.lock);
}

void log_silence(void)
{
    pthread_mutex_lock(&state.lock);
    state.silent = true;
    pthread_mutex_unlock(&state.lock);
}

/* False when this second has had its lines; `suppressed` is what earlier seconds held back. */
static bool may_write(const char *event, uint64_t second, unsigned *suppressed)
{
    for (size_t i = 0; i < EVENTS_MAX; i++) {
        if (state.count[i].event && state.count[i].event != event)
            continue;
        if (!state.count[i].event || state.count[i].second != second) {
            state.count[i].event = event;
            state.count[i].second = second;
            state.count[i].lines = 0;
        }
        if (state.count[i].lines >= state.per_event) {
            state.count[i].suppressed++;
            return false;
        }
        state.count[i].lines++;
        *suppressed = state.count[i].suppressed;
        state.count[i].suppressed = 0;
        return true;
    }
    return true;
}

/* key=value key="a b" -> "key":"value","key":"a b" */
static void facts_as_json(struct buf *out, const char *facts)
{
    while (*facts) {
        size_t key = strcspn(facts, "=");
        const char *value = facts + key + 1;
        size_t len;

        if (!facts[key])
            break;
        buf_append(out, ",\"", 2);
        buf_append(out, facts, key);
        buf_append(out, "\":\"", 3);
        if (*value == '"') {
            value++;
            for (len = 0; value[len] && value[len] != '"'; len++)
                len += value[len] == '\\' && value[len + 1] != 0;
            facts = value + len + (value[len] == '"');
        } else {
            len = strcspn(value, " ");
            facts = value + len;
        }
        buf_append(out, value, len);
        buf_append(out, "\"", 1);
        facts += strspn(facts, " ");
    }
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    static const char priority[] = { '3', '4', '6', '7' };
    char facts[1024], head[160], when[TIME_TEXT_SIZE];
    unsigned suppressed = 0;
    uint64_t now = clock_now_ms();
    struct buf line = { 0 };
    va_list args;

    pthread_mutex_lock(&state.lock);
    if (state.silent || level > state.level
        || (level > LOG_ERROR && !may_write(event, now / 1000, &suppressed))) {
        pthread_mutex_unlock(&state.lock);
        return;
    }
    va_start(args, format);
    vsnprintf(facts, sizeof facts, format, args);
    va_end(args);
    time_json(when, now);
    if (state.format == LOG_JSON) {
        snprintf(head, sizeof head, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", when,
                 names[level], event);
        buf_append(&line, head, strlen(head));
        facts_as_json(&line, facts);
    } else {
        if (state.journal)
            snprintf(head, sizeof head, "<%c>event=%s", priority[level], event);
        else
            snprintf(head, sizeof head, "time=%s level=%s event=%s", when, names[level], event);
        buf_append(&line, head, strlen(head));
        if (*facts) {
            buf_append(&line, " ", 1);
            buf_append(&line, facts, strlen(facts));
        }
    }
    if (suppressed) {
        snprintf(head, sizeof head,
                 state.format == LOG_JSON ? ",\"suppressed\":%u" : " suppressed=%u", suppressed);
        buf_append(&line, head, strlen(head));
    }
    buf_append(&line, state.format == LOG_JSON ? "}\n" : "\n", state.format == LOG_JSON ? 2 : 1);
    /* A full or closed log must not stop the mail. */
    if (write(2, line.at, line.len) < 0)
        (void)0;
    pthread_mutex_unlock(&state.lock);
    buf_free(&line);
}

static char *scratch(void)
{
    static _Thread_local char ring[4][288];
    static _Thread_local unsigned next;

    return ring[next++ % 4];
}

const char *log_value(const char *value)
{
    char *out = scratch(), *to = out;
    struct buf escaped = { 0 };
    bool quote;

    text_escape(&escaped, bytes_of(value, strnlen(value, 64)), false);
    quote = escaped.len == 0 || memchr(escaped.at, ' ', escaped.len)
            || memchr(escaped.at, '"', escaped.len) || memchr(escaped.at, '=', escaped.len)
            || memchr(escaped.at, '\\', escaped.len);
    if (quote)
        *to++ = '"';
    for (size_t i = 0; i < escaped.len && to < out + 280; i++) {
        if (quote && (escaped.at[i] == '"' || escaped.at[i] == '\\'))
            *to++ = '\\';
        *to++ = (char)escaped.at[i];
    }
    if (quote)
        *to++ = '"';
    *to = 0;
    buf_free(&escaped);
    return out;
}

const char *log_id(const uint8_t *id)
{
    char *out = scratch();

    hex_encode(out, id, 4);
    return out;
}
