/* layers: base wire trust */
/* There is one spelling of an invite. */
#include "shared/trust/invite.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    char *text = mem_alloc(len + 1);
    char again[INVITE_TEXT_SIZE];
    struct invite invite;

    memcpy(text, at, len);
    text[len] = '\0';
    if (invite_parse(text, 0, &invite) == ERR_OK) {
        MUST(invite_encode(again, &invite) == ERR_OK);
        MUST(strcmp(again, text) == 0);
    }
    free(text);
    return 0;
}
