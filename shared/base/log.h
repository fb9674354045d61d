/*
 * log - event lines on stderr: a fixed name and key=value facts.
 *
 * Thread   any; a line is written with one write().
 * Never    content, secrets, invites, routing ids.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

/* At most `per_event` lines a second of one event; the next second says suppressed=N. */
void log_setup(enum log_level level, enum log_format format, unsigned per_event);

/* Nothing is written any more, until log_setup(): programs whose stderr is for people. */
void log_silence(void);

/* Would a line of this level be written?  Without a lock: for places that many messages pass. */
bool log_wants(enum log_level level);

/* `format` gives "key=value key=value"; values that come from outside go through log_value(). */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `value` cut to 64 bytes, quoted and escaped if needed.  Four results live at a time, per thread.
 */
const char *log_value(const char *value);

/* First 8 hex digits of an id.  As log_value(). */
const char *log_id(const uint8_t *id);

#endif
