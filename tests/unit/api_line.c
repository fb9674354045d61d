/* layers: agent_api */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/api/line.h"

static void pair(struct line *line, int *other)
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    line_open(line, fds[0]);
    *other = fds[1];
}

static void feed(int fd, const char *text)
{
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* What one text, written at once, gives: objects, then an end. */
static const struct {
    const char *name, *text;
    size_t objects;
    enum err end;
} cases[] = {
    { "nothing", "", 0, ERR_OK },
    { "one", "{\"a\":1}\n", 1, ERR_OK },
    { "two", "{\"a\":1}\n{}\n", 2, ERR_OK },
    { "one and a half", "{\"a\":1}\n{\"b\"", 1, ERR_OK },
    { "not JSON", "{}\nhello\n", 1, ERR_MALFORMED },
    { "no object", "[1]\n", 0, ERR_MALFORMED },
    { "empty line", "\n", 0, ERR_MALFORMED },
    { "NUL inside", "{\"a\":\"\\u0000\"}\n", 1, ERR_OK },
};

Test(api_line, splits_what_arrives)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct line line;
        json_t *object;
        size_t got = 0;
        enum err e;
        int other;

        pair(&line, &other);
        feed(other, cases[i].text);
        cr_expect_eq(line_fill(&line), ERR_OK, "%s", cases[i].name);
        while ((e = line_next(&line, &object)) == ERR_OK && object) {
            json_decref(object);
            got++;
        }
        cr_expect_eq(got, cases[i].objects, "%s", cases[i].name);
        cr_expect_eq(e, cases[i].end, "%s", cases[i].name);
        close(other);
        line_close(&line);
    }
}

Test(api_line, a_line_in_pieces_is_one)
{
    const char text[] = "{\"key\":\"value\"}\n";
    struct line line;
    json_t *object = NULL;
    int other;

    pair(&line, &other);
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        cr_assert_eq(write(other, text + i, 1), 1);
        cr_assert_eq(line_fill(&line), ERR_OK);
        cr_assert_eq(line_next(&line, &object), ERR_OK);
        cr_assert_eq(object != NULL, i + 2 == sizeof text);
    }
    cr_expect_str_eq(json_string_value(json_object_get(object, "key")), "value");
    json_decref(object);
    close(other);
    line_close(&line);
}

Test(api_line, the_end_is_told_after_what_came_before_it)
{
    struct line line;
    json_t *object;
    int other;

    pair(&line, &other);
    feed(other, "{\"last\":true}\n");
    close(other);
    cr_assert_eq(line_fill(&line), ERR_OK);
    cr_assert_eq(line_fill(&line), ERR_UNREACHABLE);
    cr_assert_eq(line_next(&line, &object), ERR_OK);
    cr_assert_not_null(object);
    json_decref(object);
    line_close(&line);
}

Test(api_line, a_full_socket_keeps_the_rest)
{
    struct line out, in;
    size_t got = 0;
    int other;

    pair(&out, &other);
    line_open(&in, other);
    for (size_t i = 0; i < 2000; i++) {
        line_put(
            &out,
            json_pack("{s:i, s:s}", "i", (int)i, "fill",
                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
        cr_assert_eq(line_flush(&out), ERR_OK);
    }
    cr_expect(line_pending(&out));
    while (got < 2000) {
        json_t *object;

        cr_assert_eq(line_flush(&out), ERR_OK);
        cr_assert_eq(line_fill(&in), ERR_OK);
        while (line_next(&in, &object) == ERR_OK && object) {
            cr_assert_eq(json_integer_value(json_object_get(object, "i")), (json_int_t)got++);
            json_decref(object);
        }
    }
    cr_expect(!line_pending(&out));
    line_close(&out);
    line_close(&in);
}
