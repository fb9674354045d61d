#include "agent/cli/editor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_MAX_LEN (1u << 20) /* what is longer is cut: no message is half as long */
#define KEY_ESCAPE   0x1b
#define KEY_DELETE   0x7f
#define KEY_BACK     0x08
#define KEY_END      0x04 /* Ctrl-D */
#define KEY_KILL     0x15 /* Ctrl-U */
#define KEY_WORD     0x17 /* Ctrl-W */
#define KEY_REDRAW   0x0c /* Ctrl-L */

void editor_init(struct editor *editor, bool terminal)
{
    const char *kind = getenv("TERM");

    *editor = (struct editor){ 0 };
    editor->terminal = terminal && isatty(0) && isatty(2) && kind && strcmp(kind, "dumb") != 0
                       && tcgetattr(0, &editor->before) == 0;
}

static void take_terminal(struct editor *editor)
{
    struct termios keys = editor->before;

    if (!editor->terminal || editor->open)
        return;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    tcsetattr(0, TCSADRAIN, &keys);
    editor->open = true;
}

void editor_close(struct editor *editor)
{
    editor_hide(editor);
    if (editor->open)
        tcsetattr(0, TCSADRAIN, &editor->before);
    editor->open = false;
    editor->terminal = false;
    buf_wipe(&editor->line);
}

/* ------------------------------------------------------------------ the screen */

/* Characters, not bytes; wide ones count as one. */
static size_t width_of(const struct editor *editor)
{
    size_t width = strlen(editor->prompt);

    for (size_t i = 0; i < editor->line.len; i++)
        width += (editor->line.at[i] & 0xc0) != 0x80;
    return width;
}

static size_t columns(void)
{
    struct winsize size;

    return ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

void editor_hide(struct editor *editor)
{
    size_t width = width_of(editor), rows = width ? (width - 1) / columns() : 0;

    if (!editor->terminal || !editor->shown)
        return;
    if (rows)
        fprintf(stderr, "\033[%zuA", rows);
    fputs("\r\033[J", stderr);
    editor->shown = false;
}

void editor_show(struct editor *editor)
{
    if (!editor->terminal || editor->shown || !editor->prompt[0] || editor->ended)
        return;
    fprintf(stderr, "%s%.*s", editor->prompt, (int)editor->line.len,
            editor->line.at ? (const char *)editor->line.at : "");
    editor->shown = true;
}

void editor_ask(struct editor *editor, const char *prompt, bool always)
{
    editor_hide(editor);
    snprintf(editor->prompt, sizeof editor->prompt, "%s", prompt);
    take_terminal(editor);
    if (!editor->terminal && always)
        fprintf(stderr, "%s\n", prompt);
    editor_show(editor);
}

/* ------------------------------------------------------------------ keys */

static void drop_character(struct buf *line)
{
    while (line->len && (line->at[line->len - 1] & 0xc0) == 0x80)
        line->len--;
    if (line->len)
        line->len--;
}

static void drop_word(struct buf *line)
{
    while (line->len && line->at[line->len - 1] == ' ')
        line->len--;
    while (line->len && line->at[line->len - 1] != ' ')
        drop_character(line);
}

static void redraw(struct editor *editor, void (*change)(struct buf *line))
{
    editor_hide(editor);
    if (change)
        change(&editor->line);
    editor_show(editor);
}

static void take_key(struct editor *editor, uint8_t key)
{
    if (editor->line.len >= LINE_MAX_LEN)
        return;
    buf_append(&editor->line, &key, 1);
    if (editor->shown)
        fputc(key, stderr);
}

static void whole_line(struct editor *editor, void (*line)(void *ctx, struct bytes text), void *ctx)
{
    if (editor->terminal && editor->shown)
        fputc('\n', stderr);
    editor->shown = false;
    line(ctx, buf_bytes(&editor->line));
    buf_wipe(&editor->line);
    editor_show(editor);
}

/* True: the key was one that edits. */
static bool edit(struct editor *editor, uint8_t key)
{
    switch (key) {
    case KEY_DELETE:
    case KEY_BACK:
        redraw(editor, drop_character);
        return true;
    case KEY_KILL:
        redraw(editor, buf_wipe);
        return true;
    case KEY_WORD:
        redraw(editor, drop_word);
        return true;
    case KEY_REDRAW:
        redraw(editor, NULL);
        return true;
    case KEY_END:
        editor->ended = editor->line.len == 0;
        return true;
    case KEY_ESCAPE:
        editor->escape = true;
        return true;
    default:
        return key < 0x20 && key != '\t' && key != '\n';
    }
}

/* Arrows and their like: skipped whole. */
static bool skip_escape(struct editor *editor, uint8_t key)
{
    if (!editor->escape)
        return false;
    if ((key >= 0x40 && key <= 0x7e && key != '[' && key != 'O') || key == '\n')
        editor->escape = false;
    return key != '\n';
}

static void obey(struct editor *editor, uint8_t key, void (*line)(void *ctx, struct bytes text),
                 void *ctx)
{
    if (editor->terminal && (skip_escape(editor, key) || edit(editor, key))) {
        if (editor->ended)
            editor_hide(editor);
    } else if (key == '\n') {
        whole_line(editor, line, ctx);
    } else {
        take_key(editor, key);
    }
}

bool editor_read(struct editor *editor, void (*line)(void *ctx, struct bytes text), void *ctx)
{
    uint8_t keys[4096];
    ssize_t n = read(0, keys, sizeof keys);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    for (ssize_t i = 0; i < n && !editor->ended; i++)
        obey(editor, keys[i], line, ctx);
    memset(keys, 0, sizeof keys);
    if (n <= 0 && !editor->ended) {
        editor->ended = true;
        if (editor->line.len) /* the last line of a file may lack its end */
            line(ctx, buf_bytes(&editor->line));
        editor_hide(editor);
    }
    return !editor->ended;
}
