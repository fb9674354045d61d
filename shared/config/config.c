#include "shared/config/config.h"

#include <czmq.h>

#include "shared/base/files.h"
#include "shared/base/text.h"
#include "shared/config/lines.h"
#include "shared/config/value.h"

#define FILE_MAX_LEN (1u << 20)

struct value {
    char **text; /* owned; `lines` of them */
    unsigned lines;
    uint64_t number; /* of the last line */
    unsigned at;     /* line of the file, 0: not from the file */
    enum config_source source;
};

struct config {
    const struct config_key *keys; /* borrowed */
    size_t count;
    struct value *value;
    struct config_problem *problem;
    size_t problems;
    bool sections;
};

static void value_clear(struct value *value)
{
    for (unsigned i = 0; i < value->lines; i++)
        free(value->text[i]);
    free(value->text);
    *value = (struct value){ 0 };
}

static void value_add(struct value *value, const char *text, uint64_t number,
                      enum config_source source)
{
    char *copy = strdup(text);

    if (!copy)
        abort();
    value->text = mem_resize(value->text, (value->lines + 1) * sizeof *value->text);
    value->text[value->lines++] = copy;
    value->number = number;
    value->source = source;
}

static void set_default(struct config *config, size_t i)
{
    const struct config_key *key = &config->keys[i];
    char why[256];
    uint64_t number = 0;

    value_clear(&config->value[i]);
    if (!key->initial)
        return;
    if (!value_check(key, key->initial, &number, why))
        abort(); /* a row of ours contradicts itself */
    value_add(&config->value[i], key->initial, number, CONFIG_DEFAULT);
}

struct config *config_new(const struct config_key *keys, size_t count)
{
    struct config *config = mem_zeroed(1, sizeof *config);

    config->keys = keys;
    config->count = count;
    config->value = mem_zeroed(count, sizeof *config->value);
    config->sections = count && strchr(keys[0].path, '/');
    for (size_t i = 0; i < count; i++)
        set_default(config, i);
    return config;
}

void config_free(struct config **config)
{
    if (!*config)
        return;
    for (size_t i = 0; i < (*config)->count; i++)
        value_clear(&(*config)->value[i]);
    free((*config)->value);
    free((*config)->problem);
    free(*config);
    *config = NULL;
}

static struct config_problem *problem_add(struct config *config, unsigned line, const char *code,
                                          const char *key)
{
    struct config_problem *problem;

    config->problem = mem_resize(config->problem, (config->problems + 1) * sizeof *problem);
    problem = &config->problem[config->problems++];
    *problem = (struct config_problem){ .line = line, .code = code };
    snprintf(problem->key, sizeof problem->key, "%s", key);
    return problem;
}

int config_find(const struct config *config, const char *path, const char **nearest)
{
    const char *last[256];
    const char *slash = strrchr(path, '/');
    size_t n = 0, same = slash ? (size_t)(slash - path) + 1 : 0;

    for (size_t i = 0; i < config->count; i++)
        if (strcmp(config->keys[i].path, path) == 0)
            return (int)i;
    if (!nearest)
        return -1;
    /* first among the keys of the same section, then among all */
    for (size_t i = 0; i < config->count && n < 256; i++)
        if (same && strncmp(config->keys[i].path, path, same) == 0)
            last[n++] = config->keys[i].path + same;
    *nearest = n ? text_nearest(path + same, last, n) : NULL;
    if (*nearest)
        return -1;
    n = 0;
    for (size_t i = 0; i < config->count && n < 256; i++)
        last[n++] = config->keys[i].path;
    *nearest = text_nearest(path, last, n);
    return -1;
}

static bool section_known(const struct config *config, const char *name, const char **nearest)
{
    const char *names[256];
    char(*copy)[64] = mem_zeroed(config->count, sizeof *copy);
    size_t n = 0;
    bool known = false;

    for (size_t i = 0; i < config->count && n < 256; i++) {
        snprintf(copy[i], sizeof copy[i], "%.*s", (int)strcspn(config->keys[i].path, "/"),
                 config->keys[i].path);
        known |= strcmp(copy[i], name) == 0;
        names[n++] = copy[i];
    }
    *nearest = known ? NULL : text_nearest(name, names, n);
    if (*nearest)
        for (size_t i = 0; i < config->count; i++)
            if (strncmp(config->keys[i].path, *nearest, strlen(*nearest)) == 0) {
                *nearest = config->keys[i].path; /* outlives `copy` */
                break;
            }
    free(copy);
    return known;
}

static void take_setting(struct config *config, const struct config_line *line, const char *path)
{
    const char *nearest = NULL;
    int i = config_find(config, path, &nearest);
    struct config_problem *problem;
    struct value *value;
    char why[256];
    uint64_t number;
    unsigned most;

    if (i < 0) {
        problem = problem_add(config, line->number, "unknown_key", path);
        if (nearest)
            snprintf(problem->message, sizeof problem->message, "unknown key; did you mean %s?",
                     nearest);
        else
            snprintf(problem->message, sizeof problem->message, "unknown key");
        return;
    }
    value = &config->value[i];
    most = config->keys[i].lines ? config->keys[i].lines : 1;
    if (value->source == CONFIG_FILE && value->lines >= most) {
        problem = problem_add(config, line->number, "double_key", path);
        if (most == 1)
            snprintf(problem->message, sizeof problem->message, "stands twice, first in line %u",
                     value->at);
        else
            snprintf(problem->message, sizeof problem->message, "stands more than %u times", most);
        return;
    }
    if (!value_check(&config->keys[i], line->value, &number, why)) {
        problem = problem_add(config, line->number, "bad_value", path);
        snprintf(problem->message, sizeof problem->message, "%s", why);
        return;
    }
    if (value->source != CONFIG_FILE)
        value_clear(value);
    value_add(value, line->value, number, CONFIG_FILE);
    if (!value->at)
        value->at = line->number;
}

static void take_line(struct config *config, const struct config_line *line)
{
    struct config_problem *problem;
    const char *nearest;
    char path[130];

    snprintf(path, sizeof path, "%s%s%s", line->section, *line->section ? "/" : "", line->name);
    if (line->wrong) {
        problem = problem_add(config, line->number, "bad_form", path);
        snprintf(problem->message, sizeof problem->message, "%s", line->wrong);
    } else if (line->value) {
        if (!config->sections || section_known(config, line->section, &nearest))
            take_setting(config, line, path);
    } else if (!section_known(config, line->name, &nearest)) {
        problem = problem_add(config, line->number, "unknown_section", line->name);
        if (nearest)
            snprintf(problem->message, sizeof problem->message,
                     "unknown section; did you mean %.*s?", (int)strcspn(nearest, "/"), nearest);
        else
            snprintf(problem->message, sizeof problem->message, "unknown section");
    }
}

/* The next setting in zconfig's tree, depth first. */
static const char *tree_next(zconfig_t **at, zconfig_t **section)
{
    while (*at || *section) {
        zconfig_t *here = *at;

        if (!here) {
            *at = zconfig_next(*section);
            *section = NULL;
            continue;
        }
        if (zconfig_child(here) && !*section) {
            *section = here;
            *at = zconfig_child(here);
            continue;
        }
        *at = zconfig_next(here);
        if (zconfig_value(here))
            return zconfig_value(here);
    }
    return NULL;
}

/* What the strict pass read must be what every reader of ZPL reads. */
static bool same_as_zconfig(const struct config_lines *lines, struct bytes text)
{
    char *copy = mem_alloc(text.len + 2);
    zconfig_t *root, *at, *section = NULL;
    bool same = true;

    memcpy(copy, text.at, text.len);
    memcpy(copy + text.len, "\n", 2);
    root = zconfig_str_load(copy);
    at = root ? zconfig_child(root) : NULL;
    for (size_t i = 0; root && i < lines->count && same; i++) {
        const char *value;

        if (!lines->line[i].value || !*lines->line[i].value)
            continue;
        do
            value = tree_next(&at, &section);
        while (value && !*value);
        same = value && strcmp(value, lines->line[i].value) == 0;
    }
    same = same && (root || lines->count == 0);
    zconfig_destroy(&root);
    free(copy);
    return same;
}

static void forget_file(struct config *config)
{
    free(config->problem);
    config->problem = NULL;
    config->problems = 0;
    for (size_t i = 0; i < config->count; i++)
        if (config->value[i].source == CONFIG_FILE)
            set_default(config, i);
}

static void problem_whole(struct config *config, const char *code, const char *message)
{
    struct config_problem *problem = problem_add(config, 0, code, "");

    snprintf(problem->message, sizeof problem->message, "%s", message);
}

enum err config_read_text(struct config *config, struct bytes text, bool empty_is_fine)
{
    struct config_lines lines;
    size_t settings = 0;

    forget_file(config);
    lines_read(&lines, text, config->sections);
    for (size_t i = 0; i < lines.count; i++) {
        settings += lines.line[i].value != NULL;
        take_line(config, &lines.line[i]);
    }
    if (!config->problems && !same_as_zconfig(&lines, text))
        problem_whole(config, "bad_form", "this is not ZPL");
    if (!config->problems && settings == 0 && !empty_is_fine)
        problem_whole(config, "empty", "no setting stands in the file");
    lines_free(&lines);
    return config->problems ? ERR_MALFORMED : ERR_OK;
}

enum err config_read(struct config *config, const char *file, bool empty_is_fine)
{
    struct buf text = { 0 };
    enum err e = file_read(file, FILE_MAX_LEN, &text);

    if (e == ERR_OK) {
        e = config_read_text(config, buf_bytes(&text), empty_is_fine);
    } else {
        forget_file(config);
        if (e == ERR_NOT_FOUND && empty_is_fine) {
            buf_free(&text);
            return ERR_OK;
        }
        problem_whole(config, "unreadable", e == ERR_NOT_FOUND ? "no such file" : err_text(e));
        e = ERR_MALFORMED;
    }
    buf_free(&text);
    return e;
}

size_t config_problem_count(const struct config *config)
{
    return config->problems;
}

const struct config_problem *config_problem_at(const struct config *config, size_t i)
{
    return &config->problem[i];
}

void config_problem_text(struct buf *out, const char *file, const struct config_problem *problem)
{
    char line[24] = "";
    char text[512];

    if (problem->line)
        snprintf(line, sizeof line, "%u: ", problem->line);
    snprintf(text, sizeof text, "%s%s%s%s", line, problem->key, *problem->key ? ": " : "",
             problem->message);
    buf_append(out, file, strlen(file));
    buf_append(out, problem->line ? ":" : ": ", problem->line ? 1 : 2);
    text_escape(out, bytes_of_text(text), false);
}

enum err config_set(struct config *config, const char *path, const char *text,
                    enum config_source source, struct config_problem *why)
{
    const char *nearest = NULL;
    int i = config_find(config, path, &nearest);
    uint64_t number;
    char reason[256];

    if (why) {
        *why = (struct config_problem){ .code = i < 0 ? "unknown_key" : "bad_value" };
        snprintf(why->key, sizeof why->key, "%s", path);
    }
    if (i < 0) {
        if (why && nearest)
            snprintf(why->message, sizeof why->message, "unknown key; did you mean %s?", nearest);
        else if (why)
            snprintf(why->message, sizeof why->message, "unknown key");
        return ERR_NOT_FOUND;
    }
    if (!value_check(&config->keys[i], text, &number, reason)) {
        if (why)
            snprintf(why->message, sizeof why->message, "%s", reason);
        return ERR_MALFORMED;
    }
    value_clear(&config->value[i]);
    value_add(&config->value[i], text, number, source);
    return ERR_OK;
}

const struct config_key *config_key_at(const struct config *config, size_t i)
{
    return &config->keys[i];
}

size_t config_key_count(const struct config *config)
{
    return config->count;
}

unsigned config_lines(const struct config *config, size_t key)
{
    return config->value[key].lines;
}

const char *config_text_at(const struct config *config, size_t key, unsigned line)
{
    return line < config->value[key].lines ? config->value[key].text[line] : "";
}

const char *config_text(const struct config *config, size_t key)
{
    return config_text_at(config, key, 0);
}

uint64_t config_number(const struct config *config, size_t key)
{
    return config->value[key].number;
}

enum config_source config_source(const struct config *config, size_t key)
{
    return config->value[key].source;
}

const char *config_source_name(enum config_source source)
{
    static const char *const names[] = { "default", "file", "env", "flag" };

    return names[source];
}

bool config_differs(const struct config *a, const struct config *b, size_t key)
{
    if (a->value[key].lines != b->value[key].lines)
        return true;
    for (unsigned i = 0; i < a->value[key].lines; i++)
        if (strcmp(a->value[key].text[i], b->value[key].text[i]) != 0
            && (a->keys[key].kind == CONFIG_TEXT || a->keys[key].kind == CONFIG_NAME
                || a->keys[key].kind == CONFIG_PATH
                || a->value[key].number != b->value[key].number))
            return true;
    return false;
}
