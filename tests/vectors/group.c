/* group: the layouts that sessions and groups share; epochs and rules come with the code for them
 */
#include <inttypes.h>

#include "shared/trust/event.h"
#include "shared/wire/frame.h"
#include "tests/vectors/check.h"
#include "tests/vectors/parts.h"

static void group_events(json_t *root, json_t *chain)
{
    json_t *row;
    size_t i;

    json_array_foreach(get(chain, "events"), i, row)
    {
        struct event event;

        check_name("group event %s", get_text(row, "name"));
        event_same(root, chain, row);
        is_true("parses", event_parse(get_hex(row, "preimage"), &event) == ERR_OK);
        is_true("body fits", event_body_check(&event, get_hex(row, "body")) == ERR_OK);
    }
}

static void group_frame(json_t *row)
{
    struct bytes bytes = get_hex(row, "frame");
    uint8_t stub[FRAME_STUB_MAX], digest[32];
    struct frame_view view;

    is_true("parses", frame_parse_whole(bytes, &view) == ERR_OK);
    same_number("kind", view.kind, FRAME_GROUP);
    same_number("seq", view.seq, get_number(row, "seq"));
    same_number("expires_at", view.expires_ms, get_number(row, "expires_at"));
    same_field("commit", view.commit, 32, row, "commit");
    same_field("n", view.hdr.at + 8, 24, row, "n");
    frame_stub_write(&view, stub, digest);
    same_field("stub", stub, frame_stub_size(&view), row, "stub");
    same_field("digest", digest, 32, row, "digest");
}

void part_group(json_t *root)
{
    json_t *section = get(root, "group"), *epoch, *frame;
    size_t i, j;

    group_events(root, get(section, "chain"));
    json_array_foreach(get(section, "epochs"), i, epoch)
    {
        json_array_foreach(get(epoch, "frames"), j, frame)
        {
            check_name("group epoch %" PRIu64 " frame %zu", get_number(epoch, "epoch"), j);
            group_frame(frame);
        }
    }
}
