/*
 * replay FILE|FOLDER... - runs a fuzz target over inputs that are there; for gcc and for ctest.
 */
#include <dirent.h>
#include <stdio.h>

#include "shared/base/files.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

static unsigned count;

static int replay_file(const char *path)
{
    struct buf content = { 0 };

    if (file_read(path, INPUT_MAX, &content) != ERR_OK) {
        fprintf(stderr, "replay: cannot read %s\n", path);
        return 1;
    }
    /* A copy of just this size, so that a sanitizer sees every step beyond the end. */
    uint8_t *exact = mem_copy(buf_bytes(&content));

    LLVMFuzzerTestOneInput(exact, content.len);
    free(exact);
    buf_free(&content);
    count++;
    return 0;
}

static int replay_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int bad = 0;

    if (!dir)
        return replay_file(path);
    while ((entry = readdir(dir))) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        bad |= replay_file(name);
    }
    closedir(dir);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0;

    for (int i = 1; i < argc; i++)
        bad |= replay_folder(argv[i]);
    printf("%u inputs\n", count);
    return bad || count == 0;
}
