/* layers: base wire */
/* A frame and its stub have one name, and the stub parses whenever the frame does. */
#include "shared/wire/frame.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    uint8_t stub[FRAME_STUB_MAX], one[32], two[32], fh[FRAME_FH_SIZE];
    struct frame_view view, of_stub;
    struct frame_header header;

    if (frame_parse(bytes_of(at, len), &view) != ERR_OK)
        return 0;
    frame_stub_write(&view, stub, one);
    MUST(frame_parse(bytes_of(stub, frame_stub_size(&view)), &of_stub) == ERR_OK);
    MUST(of_stub.is_stub && of_stub.seq == view.seq && of_stub.kind == view.kind);
    frame_digest(&of_stub, two);
    MUST(memcmp(one, two, 32) == 0);
    header = (struct frame_header){ .kind = view.kind,
                                    .suite = view.suite,
                                    .flags = view.flags,
                                    .seq = view.seq,
                                    .expires_ms = view.expires_ms };
    memcpy(header.scope, view.scope, 16);
    memcpy(header.sender, view.sender, 32);
    memcpy(header.recipient, view.recipient, 32);
    frame_header_write(fh, &header);
    MUST(memcmp(fh, view.fh, FRAME_FH_SIZE) == 0);
    return 0;
}
