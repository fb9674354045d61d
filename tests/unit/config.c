/* layers: base config */
#include "shared/config/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *no_ftp(const char *text)
{
    return strncmp(text, "ftp:", 4) == 0 ? "is not for us" : NULL;
}

static const struct config_key keys[] = {
    { .path = "broker/name", .kind = CONFIG_NAME, .initial = "home", .help = "label" },
    { .path = "listen/endpoint",
      .kind = CONFIG_TEXT,
      .initial = "tcp://*:1",
      .lines = 2,
      .help = "where",
      .restart = true,
      .refuse = no_ftp },
    { .path = "listen/connections",
      .kind = CONFIG_COUNT,
      .initial = "1024",
      .least = 16,
      .most = 100000,
      .help = "how many" },
    { .path = "store/size",
      .kind = CONFIG_BYTES,
      .initial = "4GiB",
      .least = 1024,
      .most = 1ull << 40,
      .help = "how large" },
    { .path = "store/age",
      .kind = CONFIG_DURATION,
      .initial = "7d",
      .least = 60000,
      .most = 2592000000,
      .help = "how old" },
    { .path = "store/on", .kind = CONFIG_BOOL, .initial = "no", .help = "whether" },
    { .path = "log/level",
      .kind = CONFIG_CHOICE,
      .initial = "info",
      .choices = "error warn info debug",
      .help = "how much" },
    { .path = "log/file", .kind = CONFIG_PATH, .help = "where to" },
};
enum { COUNT = sizeof keys / sizeof keys[0] };

static const struct {
    const char *name, *text, *want; /* all problems, one a line; "" for none */
} cases[] = {
    { "good", "broker\n    name = lab\nlisten\n    connections = 16\n", "" },
    { "comment and quotes",
      "# all\nbroker   # here\n    name = \"lab\"  # quoted\nlog\n    file = \"/a#b c\"\n", "" },
    { "repeatable", "listen\n    endpoint = a\n    endpoint = b\n", "" },
    { "section twice", "broker\n    name = a\nlisten\nbroker\n", "" },
    { "empty", "", "F: no setting stands in the file\n" },
    { "comments only", "# nothing\n\n", "F: no setting stands in the file\n" },
    { "unknown key", "quota\nlisten\n    conections = 20\n",
      "F:1: quota: unknown section\n"
      "F:3: listen/conections: unknown key; did you mean connections?\n" },
    { "unknown section", "brokr\n    name = x\n",
      "F:1: brokr: unknown section; did you mean broker?\n" },
    { "double", "broker\n    name = a\n    name = b\n",
      "F:3: broker/name: stands twice, first in line 2\n" },
    { "too many lines", "listen\n    endpoint = a\n    endpoint = b\n    endpoint = c\n",
      "F:4: listen/endpoint: stands more than 2 times\n" },
    { "own rule", "listen\n    endpoint = ftp://x\n",
      "F:2: listen/endpoint: \"ftp://x\" is not for us\n" },
    { "number", "listen\n    connections = many\n",
      "F:2: listen/connections: \"many\" is no number\n" },
    { "too few", "listen\n    connections = 15\n",
      "F:2: listen/connections: 15 is out of bounds, 16 to 100000\n" },
    { "size", "store\n    size = 4GB\n",
      "F:2: store/size: \"4GB\" is no size like 4096, 64KiB, 4GiB\n" },
    { "size bound", "store\n    size = 1000\n",
      "F:2: store/size: 1000 is out of bounds, 1KiB to 1024GiB\n" },
    { "duration", "store\n    age = 31d\n", "F:2: store/age: 31d is out of bounds, 1m to 30d\n" },
    { "bool", "store\n    on = true\n", "F:2: store/on: \"true\" is none of yes no\n" },
    { "choice", "log\n    level = loud\n",
      "F:2: log/level: \"loud\" is none of error warn info debug\n" },
    { "name", "broker\n    name = A b\n",
      "F:2: broker/name: \"A b\" is no name: 1 to 64 of a-z 0-9 . _ -, the first a letter or "
      "digit\n" },
    { "tab", "broker\n\tname = a\n", "F:2: a tab; ZPL wants spaces\n" },
    { "indent", "broker\n   name = a\n",
      "F:2: broker/name: the indent must be 0 or exactly 4 spaces\n" },
    { "deep", "broker\n        name = a\n",
      "F:2: broker/name: the indent must be 0 or exactly 4 spaces\n" },
    { "quote", "broker\n    name = \"a\n", "F:2: broker/name: the closing quote is missing\n" },
    { "behind the quote", "broker\n    name = \"a\" b\n",
      "F:2: broker/name: something follows the closing quote\n" },
    { "no =", "broker\n    name lab\n", "F:2: broker/name: = is missing between name and value\n" },
    { "no section", "    name = lab\n", "F:1: name: the key stands in no section\n" },
    { "value outside", "name = lab\n",
      "F:1: name: a value stands outside a section (indent by 4 spaces?)\n" },
    { "all at once", "broker\n    nam = a\nlog\n    level = loud\n",
      "F:2: broker/nam: unknown key; did you mean name?\n"
      "F:4: log/level: \"loud\" is none of error warn info debug\n" },
};

Test(config, every_problem_is_named)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config *config = config_new(keys, COUNT);
        struct buf got = { 0 };
        enum err e = config_read_text(config, bytes_of_text(cases[i].text), false);

        for (size_t k = 0; k < config_problem_count(config); k++) {
            config_problem_text(&got, "F", config_problem_at(config, k));
            buf_append(&got, "\n", 1);
        }
        buf_append(&got, "", 1);
        cr_expect_str_eq((char *)got.at, cases[i].want, "%s: %s", cases[i].name, (char *)got.at);
        cr_expect_eq(e, *cases[i].want ? ERR_MALFORMED : ERR_OK, "%s", cases[i].name);
        buf_free(&got);
        config_free(&config);
    }
}

static size_t at(const struct config *config, const char *path)
{
    int i = config_find(config, path, NULL);

    cr_assert(i >= 0, "%s", path);
    return (size_t)i;
}

Test(config, values_and_sources)
{
    struct config *config = config_new(keys, COUNT), *other = config_new(keys, COUNT);
    struct config_problem why;

    cr_assert_eq(
        config_read_text(config,
                         bytes_of_text("store\n    size = 1MiB\n    age = 2h\n    on = yes\n"
                                       "log\n    level = debug\n    file = /x # y\n"),
                         false),
        ERR_OK);
    cr_expect_eq(config_number(config, at(config, "store/size")), 1 << 20);
    cr_expect_eq(config_number(config, at(config, "store/age")), 7200000);
    cr_expect_eq(config_number(config, at(config, "store/on")), 1);
    cr_expect_eq(config_number(config, at(config, "log/level")), 3);
    cr_expect_str_eq(config_text(config, at(config, "log/file")), "/x");
    cr_expect_str_eq(config_text(config, at(config, "broker/name")), "home");
    cr_expect_eq(config_source(config, at(config, "broker/name")), CONFIG_DEFAULT);
    cr_expect_eq(config_source(config, at(config, "store/on")), CONFIG_FILE);
    cr_expect(config_differs(config, other, at(config, "store/size")));
    cr_expect(!config_differs(config, other, at(config, "broker/name")));
    cr_expect_eq(config_set(config, "log/level", "loud", CONFIG_FLAG, &why), ERR_MALFORMED);
    cr_expect_str_eq(why.message, "\"loud\" is none of error warn info debug");
    cr_expect_eq(config_set(config, "log/lvel", "warn", CONFIG_FLAG, &why), ERR_NOT_FOUND);
    cr_expect_eq(config_set(config, "log/level", "warn", CONFIG_FLAG, NULL), ERR_OK);
    cr_expect_eq(config_read_text(config, bytes_of_text("broker\n    name = b\n"), false), ERR_OK);
    cr_expect_str_eq(config_text(config, at(config, "log/level")), "warn",
                     "a flag outlives a file");
    cr_expect_eq(config_number(config, at(config, "store/on")), 0, "a file's values do not");
    config_free(&config);
    config_free(&other);
}

Test(config, written_file_is_read)
{
    struct config *config = config_new(keys, COUNT), *again = config_new(keys, COUNT);
    struct buf text = { 0 };

    config_set(config, "broker/name", "lab", CONFIG_FLAG, NULL);
    config_set(config, "log/file", "/a#b", CONFIG_FLAG, NULL);
    config_write(config, bytes_of_text("#   demo\n"), &text);
    cr_assert_eq(config_read_text(again, buf_bytes(&text), false), ERR_OK, "%.*s", (int)text.len,
                 (char *)text.at);
    for (size_t i = 0; i < COUNT; i++)
        cr_expect(!config_differs(config, again, i), "%s", keys[i].path);
    buf_free(&text);
    config_free(&config);
    config_free(&again);
}

static const struct config_key flat[] = {
    { .path = "consent",
      .kind = CONFIG_CHOICE,
      .initial = "circle",
      .choices = "ask circle any",
      .help = "who" },
    { .path = "inbox.keep",
      .kind = CONFIG_DURATION,
      .initial = "30d",
      .least = 0,
      .most = 315360000000,
      .help = "how long" },
};

static const struct {
    const char *name, *before, *key, *value, *after;
} changes[] = {
    { "new file", "", "ttl", "7d", "ttl = 7d\n" },
    { "no last newline", "a = b", "ttl", "7d", "a = b\nttl = 7d\n" },
    { "change", "# x\nttl  =  1d   # why\nb = c\n", "ttl", "7d",
      "# x\nttl  =  7d   # why\nb = c\n" },
    { "quoted", "t = \"a b\" # c\n", "t", "x#y", "t = \"x#y\" # c\n" },
    { "remove", "a = 1\nttl = 1d\nb = 2\n", "ttl", NULL, "a = 1\nb = 2\n" },
    { "remove what is not there", "a = 1\n", "ttl", NULL, "a = 1\n" },
    { "only the whole name", "ttl.x = 1\n", "ttl", "2", "ttl.x = 1\nttl = 2\n" },
};

Test(config, one_line_changes)
{
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct buf text = { 0 };

        buf_append(&text, changes[i].before, strlen(changes[i].before));
        config_change_line(&text, changes[i].key, changes[i].value);
        buf_append(&text, "", 1);
        cr_expect_str_eq((char *)text.at, changes[i].after, "%s", changes[i].name);
        buf_free(&text);
    }
}

Test(config, flat_file)
{
    struct config *config = config_new(flat, 2);

    cr_expect_eq(config_read(config, "/nowhere/agent.conf", true), ERR_OK);
    cr_expect_eq(config_read(config, "/nowhere/agent.conf", false), ERR_MALFORMED);
    cr_expect_eq(config_read_text(config, bytes_of_text("inbox.keep = 0\nconsent = any\n"), true),
                 ERR_OK);
    cr_expect_eq(config_number(config, 1), 0);
    cr_expect_str_eq(config_text(config, 0), "any");
    cr_expect_eq(config_read_text(config, bytes_of_text("inbox/keep = 0\n"), true), ERR_MALFORMED);
    cr_expect_eq(config_read_text(config, bytes_of_text("  consent = any\n"), true), ERR_MALFORMED);
    cr_expect_eq(config_read_text(config, bytes_of_text("consent\n"), true), ERR_MALFORMED);
    config_free(&config);
}
