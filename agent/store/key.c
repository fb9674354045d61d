#include "agent/store/key.h"

#include <sodium.h>

#include "agent/crypto/wrap.h"
#include "shared/base/files.h"

static enum err read_file(int dir_fd, struct buf *out)
{
    return file_read_secret(dir_fd, AGENT_KEY_FILE, WRAP_SIZE, out);
}

enum err agent_key_make(int dir_fd, const uint8_t key[static AGENT_KEY_SIZE],
                        struct bytes passphrase)
{
    uint8_t salt[WRAP_SALT_SIZE], nonce[WRAP_NONCE_SIZE];
    struct buf file = { 0 };
    enum err e = ERR_OK;

    if (passphrase.len) {
        randombytes_buf(salt, sizeof salt);
        randombytes_buf(nonce, sizeof nonce);
        e = wrap(&file, key, passphrase, salt, nonce);
    } else {
        buf_append(&file, key, AGENT_KEY_SIZE);
    }
    if (e == ERR_OK)
        e = file_create(dir_fd, AGENT_KEY_FILE, 0600, buf_bytes(&file));
    buf_wipe(&file);
    return e;
}

enum err agent_key_read(int dir_fd, struct bytes passphrase, uint8_t key[static AGENT_KEY_SIZE])
{
    struct buf file = { 0 };
    enum err e = read_file(dir_fd, &file);

    if (e == ERR_TOO_LARGE)
        e = ERR_CORRUPT;
    if (e == ERR_OK && wrap_is(buf_bytes(&file)))
        e = passphrase.len ? unwrap(key, buf_bytes(&file), passphrase) : ERR_PASSPHRASE;
    else if (e == ERR_OK && file.len != AGENT_KEY_SIZE)
        e = ERR_CORRUPT;
    else if (e == ERR_OK)
        memcpy(key, file.at, AGENT_KEY_SIZE);
    buf_wipe(&file);
    return e;
}

bool agent_key_is_wrapped(int dir_fd)
{
    struct buf file = { 0 };
    bool wrapped = read_file(dir_fd, &file) == ERR_OK && wrap_is(buf_bytes(&file));

    buf_wipe(&file);
    return wrapped;
}
