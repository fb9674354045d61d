#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/text.h"
#include "shared/cli/out.h"

#define COLUMNS_MAX 16

struct out_table {
    const char *header[COLUMNS_MAX];
    bool right[COLUMNS_MAX];
    size_t columns;
    char **cell; /* owned, row after row */
    size_t cells;
};

struct out_table *table_new(const char *const *headers)
{
    struct out_table *table = mem_zeroed(1, sizeof *table);

    while (headers[table->columns] && table->columns < COLUMNS_MAX) {
        const char *name = headers[table->columns];

        table->right[table->columns] = name[0] == '>';
        table->header[table->columns++] = name + (name[0] == '>');
    }
    return table;
}

void table_cell(struct out_table *table, const char *format, ...)
{
    struct buf escaped = { 0 };
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    text_escape(&escaped, bytes_of_text(text), false);
    buf_append(&escaped, "", 1);
    free(text);
    table->cell = mem_resize(table->cell, (table->cells + 1) * sizeof *table->cell);
    table->cell[table->cells++] = (char *)escaped.at;
}

/* Columns of text, not bytes: continuation bytes take no room. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_row(struct cli *cli, const struct out_table *table, char *const *row,
                      const int *width)
{
    for (size_t c = 0; c < table->columns; c++) {
        const char *text = row[c];
        int fill = width[c] - width_of(text);
        bool last = c + 1 == table->columns;

        out_print(cli, "%*s%s%*s%s", table->right[c] ? fill : 0, "", text,
                  table->right[c] || last ? 0 : fill, "", last ? "\n" : "  ");
    }
}

void table_print(struct cli *cli, struct out_table **table, const char *nothing)
{
    struct out_table *t = *table;
    int width[COLUMNS_MAX];
    char *head[COLUMNS_MAX];

    for (size_t c = 0; c < t->columns; c++) {
        head[c] = (char *)(uintptr_t)t->header[c];
        width[c] = width_of(t->header[c]);
        for (size_t i = c; i < t->cells; i += t->columns)
            if (width_of(t->cell[i]) > width[c])
                width[c] = width_of(t->cell[i]);
    }
    if (t->cells == 0) {
        if (nothing)
            out_note(cli, "%s", nothing);
    } else {
        print_row(cli, t, head, width);
        for (size_t i = 0; i + t->columns <= t->cells; i += t->columns)
            print_row(cli, t, t->cell + i, width);
    }
    for (size_t i = 0; i < t->cells; i++)
        free(t->cell[i]);
    free(t->cell);
    free(t);
    *table = NULL;
}
