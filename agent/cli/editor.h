/*
 * editor - lines that a person types while other lines come in: on a terminal the line being typed
 *          moves out of their way and comes back under them; from a pipe lines are just read.
 *
 * Screen   stderr, and only on a terminal.  Between editor_open() and editor_close() the terminal
 *          hands over single keys and does not echo; signals work as ever.
 * Thread   the program's.
 */
#ifndef CLI_EDITOR_H
#define CLI_EDITOR_H
#include <stdbool.h>
#include <termios.h>

#include "shared/base/bytes.h"

struct editor {
    bool terminal; /* else a pipe or a file */
    bool open;     /* keys come to us */
    bool shown;    /* the prompt, and the line behind it, stand on the screen */
    bool ended;    /* nothing more will be read */
    bool escape;   /* inside a key that is more than one byte, and that we do not know */
    char prompt[200];
    struct buf line; /* wiped */
    struct termios before;
};

/* `terminal`: may the screen be used at all? */
void editor_init(struct editor *editor, bool terminal);
/* Wipes; gives the terminal back. */
void editor_close(struct editor *editor);

/* What the next line is asked for with.  From a pipe: printed only if `always`, as a line. */
void editor_ask(struct editor *editor, const char *prompt, bool always);
/* Around whatever else is printed. */
void editor_hide(struct editor *editor);
void editor_show(struct editor *editor);

/* Reads what there is; calls for every whole line.  False: that was the end. */
bool editor_read(struct editor *editor, void (*line)(void *ctx, struct bytes text), void *ctx);

#endif
