/* layers: base */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/files.h"

static char place[] = "/tmp/sealpost-files-XXXXXX";
static int dir = -1;

static void open_place(void)
{
    cr_assert_not_null(mkdtemp(place));
    cr_assert_eq(dir_open(place, 0700, &dir), ERR_OK);
}

static void remove_place(void)
{
    char command[64];

    close(dir);
    snprintf(command, sizeof command, "rm -r %s", place);
    cr_assert_eq(system(command), 0);
}

TestSuite(files, .init = open_place, .fini = remove_place);

Test(files, written_and_read_back)
{
    struct buf got = { 0 };
    struct stat st;

    cr_assert_eq(file_write(dir, "key", 0600, bytes_of_text("secret")), ERR_OK);
    cr_assert_eq(fstatat(dir, "key", &st, 0), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(file_read_secret(dir, "key", 100, &got), ERR_OK);
    cr_expect(bytes_equal(buf_bytes(&got), bytes_of_text("secret")));
    cr_expect_eq(file_read_secret(dir, "key", 5, &got), ERR_TOO_LARGE);
    buf_wipe(&got);
}

Test(files, create_never_replaces)
{
    struct buf got = { 0 };

    cr_assert_eq(file_create(dir, "key", 0600, bytes_of_text("first")), ERR_OK);
    cr_expect_eq(file_create(dir, "key", 0600, bytes_of_text("second")), ERR_EXISTS);
    cr_assert_eq(file_read_secret(dir, "key", 100, &got), ERR_OK);
    cr_expect(bytes_equal(buf_bytes(&got), bytes_of_text("first")));
    buf_free(&got);
}

Test(files, a_secret_that_others_may_read_is_refused)
{
    struct buf got = { 0 };

    cr_assert_eq(file_write(dir, "key", 0640, bytes_of_text("secret")), ERR_OK);
    cr_expect_eq(file_read_secret(dir, "key", 100, &got), ERR_UNSAFE);
    cr_assert_eq(file_write(dir, "real", 0600, bytes_of_text("secret")), ERR_OK);
    cr_assert_eq(symlinkat("real", dir, "link"), 0);
    cr_expect_eq(file_read_secret(dir, "link", 100, &got), ERR_UNSAFE, "a link");
    cr_expect_eq(file_read_secret(dir, "none", 100, &got), ERR_NOT_FOUND);
    cr_expect_eq(got.len, 0);
    buf_free(&got);
}

Test(files, directories)
{
    char path[128];
    int fd = -1;

    snprintf(path, sizeof path, "%s/a/b/c", place);
    cr_assert_eq(dir_make(path, 0750), ERR_OK);
    cr_expect_eq(dir_make(path, 0750), ERR_EXISTS);
    cr_expect_eq(dir_open(path, 0700, &fd), ERR_UNSAFE, "group bits where none are allowed");
    cr_assert_eq(dir_open(path, 0750, &fd), ERR_OK);
    close(fd);
    snprintf(path, sizeof path, "%s/none", place);
    cr_expect_eq(dir_open(path, 0700, &fd), ERR_NOT_FOUND);
}

Test(files, one_lock_one_owner)
{
    int first = -1, second = -1;

    cr_assert_eq(lock_take(dir, "lock", &first), ERR_OK);
    cr_expect_eq(lock_take(dir, "lock", &second), ERR_LOCKED);
    close(first);
    cr_assert_eq(lock_take(dir, "lock", &second), ERR_OK);
    close(second);
}
