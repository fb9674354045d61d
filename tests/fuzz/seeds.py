#!/usr/bin/env python3
"""Makes the first inputs of every fuzz target out of a file of known answers.

    python3 tests/fuzz/seeds.py tests/vectors/protocol_vectors.json tests/fuzz/corpus

Inputs that once found something are added by hand and stay.
"""
import json
import os
import sys


def write(folder, name, data):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def main():
    vectors, corpus = json.load(open(sys.argv[1], encoding="utf-8")), sys.argv[2]
    raw = bytes.fromhex

    def seed(target, name, data):
        write(os.path.join(corpus, target), name, data)

    for i, row in enumerate(vectors["envelopes"]):
        seed("envelope", f"seed{i}", raw(row["packed"]))
    for i, row in enumerate(vectors["msgpack"]["refuse"]):
        if row["as"] == "any":
            seed("packed", f"refuse{i}", b"\0\0" + raw(row["input"]))
    for i, row in enumerate(vectors["msgpack"]["accept"]):
        seed("packed", f"accept{i}", b"\0\0" + raw(row["input"]))
    for i, body in enumerate(("01cd0123", "9401010780", "940132078105cf0000019bc35c98ab",
                              "940118ce000000078105cf0000019bc35c98ab")):
        seed("packed", f"message{i}", b"\0\0" + raw(body))

    agent, controller = vectors["agents"]["A"], vectors["controller"]
    seed("signed", "card", b"\0" + raw(agent["cards"][0]["card"]))
    seed("signed", "certificate", b"\1" + raw(vectors["certificates"][0]["cert"]))
    seed("signed", "credential", b"\2" + raw(vectors["certificates"][0]["credential"]))
    seed("signed", "server_card", b"\3" + raw(controller["server_card"]))
    for i, row in enumerate(vectors["log"]["entries"]):
        seed("signed", f"log{i}", b"\4" + raw(row["entry"]))

    seed("layout", "init0", b"\0" + raw(vectors["sessions"][0]["init0"]))
    seed("layout", "init0_pq", b"\0" + raw(vectors["sessions"][2]["init0"]))
    for i, row in enumerate(vectors["agents"]["B"]["prekeys"]):
        seed("layout", f"spk{i}", b"\1" + raw(row["statement"]))
    for i, row in enumerate(vectors["events"][0]["events"]):
        seed("layout", f"event{i}", b"\2" + raw(row["preimage"]))
        seed("layout", f"chain{i}", b"\3" + raw(row["preimage"]) + raw(row["body"]))
    seed("layout", "receipt", b"\4" + raw(vectors["receipts"][0]["preimage"]))
    seed("layout", "notice", b"\5" + raw(vectors["notices"][0]["notice"]))

    frame = vectors["sessions"][0]["frames"][0]
    seed("frame", "request", raw(frame["frame"]))
    seed("frame", "stub", raw(frame["stub"]))
    seed("frame", "group", raw(vectors["group"]["epochs"][0]["frames"][0]["frame"]))
    for i, row in enumerate(vectors["invites"]):
        seed("invite", f"seed{i}", row["text"].encode())

    seed("state", "fresh", bytes([1, 1, 5]) + bytes(364))
    seed("state", "none", bytes([1, 0]) + bytes(4))
    seed("state", "two_chains", bytes([1, 2, 0, 0, 0, 3]) + bytes(32) + b"\1" * 32
         + (b"\0" + bytes(40)) * 2 + b"\1" + bytes(40))

    for i, steps in enumerate(("01", "0100", "01000100810080", "0d0d0d010000018001", "03200103ff01",
                               "0105006601", "010002ff010000ff", "09010000050509000001ffff",
                               "010900000000c000c0ffffff", "0b7d00000040f000",
                               "010001000100010d0d000d010d00010d010d00")):
        seed("ratchet", f"seed{i}", raw(steps))

    chain = b"".join(raw(row["preimage"]) + raw(row["sig"]) + raw(row["body"])
                     for row in vectors["group"]["chain"]["events"])
    seed("group_chain", "events", b"\0" + chain)
    seed("group_chain", "damaged", b"\0" + chain[:300] + b"\xff" + chain[301:700])
    # what, who (actor, target, value), and what some deeds need; see the target
    for i, deeds in enumerate((
            "00000704000148ff0209", "00000704000148ff020904000349",
            "000007040001c8ff0b0904000148ff021204000339040041490600",
            "00000704000148ff01d0ff02090212040005c80301",
            "00400704000188ff020904014318ff8408455aff000003800001",
            "000007040001c8ff020904004380039104010600", "0400060001c8ff8000ffff")):
        seed("group_chain", f"life{i}", b"\1" + raw(deeds))
    for i, steps in enumerate(("00", "0080", "0204", "01ff", "01ff01ff0006", "017d00", "0100017d0080",
                               "06006610060106ff0600a501", "0402000402800480", "030102000380")):
        seed("group_frame", f"steps{i}", b"\0" + raw(steps))
    seed("group_frame", "fresh", b"\1\1" + b"\7" * 32 + bytes(8))
    seed("group_frame", "two_kept", b"\1\1" + b"\7" * 32 + bytes.fromhex("0000000900000002")
         + bytes.fromhex("0000000300000001") + b"\5" * 32
         + bytes.fromhex("0000000500000001") + b"\6" * 32)
    return 0


if __name__ == "__main__":
    sys.exit(main())
