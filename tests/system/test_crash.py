"""Programs that kill themselves at every place of schema/crash_points.def: what was said arrives once, in order.

Places where joins die are in test_join.py; expiry, checkpoints and the opening of a database in tests/unit/store_crash.c.
"""
import os
import re
import subprocess

import world
from world import ID, Skip, World, test, wait_until

KILLED = -9


def places(*parts):
    """The places listed under these first words."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "schema", "crash_points.def")
    with open(path) as f:
        found = re.findall(r"^CRASH\(([a-z_.]+)\)", f.read(), re.M)
    return [name for name in found if name.split(".")[0] in parts]


def needs_test_build():
    with open(os.path.join(world.BIN, "sealpost"), "rb") as f:
        if b"SEALPOST_CRASH_AT" not in f.read():
            raise Skip("not a test build")


def at(place):
    return {"SEALPOST_CRASH_AT": f"{place}:1"}


def pair(w):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")
    w.sp("builder", "status")


def whole(first, second):
    """What two runs of recv printed: bodies in order; a second time only with `again`."""
    seen, bodies = set(), []
    for message in [*first, *second]:
        assert message["id"] not in seen or message["again"], f"twice: {message}"
        if message["id"] not in seen:
            bodies.append(message["body"])
        seen.add(message["id"])
    return bodies


@test("T19_crash: a sender killed at every place; what it said is said once, and what it did not say may be said again")
def sender():
    needs_test_build()
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        for place in places("send"):
            w.sp("reviewer", "status")  # signs for what it has
            w.sp("builder", "status")
            said = w.sp("builder", "send", "reviewer", place, "-v", env=at(place), check=None)
            if place == "send.receipt":  # reached when the recipient's word comes
                assert said.code == 0, said
                assert w.bodies("reviewer") == [place]
                assert w.sp("builder", "outbox", "--flush", env=at(place), check=None).code == KILLED, place
                w.sp("builder", "outbox", "--flush")
                assert w.json("builder", "trace", said.text.split()[0]).one["state"] == "delivered"
                continue
            assert said.code == KILLED, f"{place} is not reached: {said}"
            named = ID.search(said.err.decode())
            assert not said.out, said
            w.sp("builder", "send", "reviewer", "after " + place)
            bodies = w.bodies("reviewer")
            assert bodies in ([place, "after " + place], ["after " + place]), (place, bodies)
            if named:
                assert bodies[0] == place, f"{place}: {named[0]} was said to be queued"


@test("T19_crash: first contact, the sender killed at every place")
def asking():
    needs_test_build()
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("reviewer")
        for i, place in enumerate(p for p in places("send") if p not in ("send.wire", "send.receipt")):
            name = f"a{i}"
            w.join(name)
            w.sp(name, "status")
            said = w.sp(name, "send", "reviewer", place, "-v", env=at(place), check=None)
            assert said.code == KILLED, f"{place} is not reached: {said}"
            w.sp(name, "send", "reviewer", "after")
            bodies = w.bodies("reviewer")
            for _ in range(2):  # the second waits for the answer to the first
                w.sp(name, "outbox", "--flush")
                bodies += w.bodies("reviewer")
            assert bodies in ([place, "after"], ["after"]), (place, bodies)
            assert not ID.search(said.err.decode()) or bodies[0] == place, (place, said)


@test("T19_crash: a recipient killed at every place; each message is printed, once or with `again`")
def recipient():
    needs_test_build()
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        for place in places("recv"):
            ids = [w.sp("builder", "send", "reviewer", f"{place} {i}").text.split()[0] for i in range(2)]
            if place == "recv.known":  # what comes a second time, because nobody signed for it
                assert w.json("reviewer", "recv", env=at("recv.committed"), check=None).code == KILLED
            died = w.json("reviewer", "recv", env=at(place), check=None)
            assert died.code == KILLED, f"{place} is not reached: {died}"
            bodies = whole(died.of("message"), w.fetch("reviewer"))
            assert bodies == [f"{place} 0", f"{place} 1"], (place, bodies)
            for message in ids:
                w.sp("reviewer", "status")
                assert w.json("builder", "trace", message).one["state"] == "delivered", place


@test("T19_crash: first contact, the recipient killed at every place")
def asked():
    needs_test_build()
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("reviewer")
        for i, place in enumerate(places("recv")):
            name = f"a{i}"
            w.join(name)
            message = w.sp(name, "send", "reviewer", place).text.split()[0]
            if place == "recv.known":
                assert w.json("reviewer", "recv", env=at("recv.committed"), check=None).code == KILLED
            died = w.json("reviewer", "recv", env=at(place), check=None)
            assert died.code == KILLED, f"{place} is not reached: {died}"
            assert whole(died.of("message"), w.fetch("reviewer")) == [place], place
            w.sp("reviewer", "status")
            assert w.json(name, "trace", message).one["state"] == "delivered", place


@test("T19_crash: an admin killed at every place where it hands out an epoch; all get the key, and what was said is read")
def epoch():
    needs_test_build()
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        for place in places("epoch"):
            name = "of-" + place.replace(".", "-")
            w.sp("builder", "group", "create", name, "reviewer")
            w.sp("reviewer", "recv")
            died = w.sp("builder", "group", "rekey", name, env=at(place), check=None)
            assert died.code == KILLED, (place, died)
            ready(w, name, "builder", "reviewer")
            w.sp("builder", "send", "+" + name, place)
            assert place in [m["body"] for m in w.fetch("reviewer")], place


def ready(w, name, *agents):
    """Both have joined and have the key, each with commands of its own."""
    def are():
        for who in agents:
            w.sp(who, "recv", "--no-ack", check=None)
        views = [w.json(who, "group", "show", name).one for who in agents]
        return all(v["keyed"] and len(v["members"]) == 2 for v in views) and len({v["head"] for v in views}) == 1
    wait_until(are, f"both in +{name}")


@test("T19_crash: the broker killed at every place of a turn, of delivery, of settling and of its log")
def broker():
    needs_test_build()
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        for place in places("log", "cert", "turn", "deliver", "ack", "edge"):
            w.stop_broker()
            log = os.path.join(w.root, "broker.log")
            with open(log, "ab") as f:
                w.broker = w.start("sealpostd", "run", env=at(place), stdout=f, stderr=f)
            wait_until(lambda: w.broker.poll() is not None or w.ctl("status", check=None).code == 0, "up, or dead")
            talk(w, place)
            w.start_broker()
            if w.invitation:
                joined = w.json(None, "join", "-", input=w.invitation).one
                assert joined["state"] == "active", (place, joined)
            for agent in ("builder", "reviewer"):
                w.sp(agent, "outbox", "--flush", "-t", "50s")
            assert whole(w.printed, w.fetch("reviewer")) == [f"{place} 0", f"{place} 1"], place
            w.sp("reviewer", "status")
            for message in w.said:
                assert w.json("builder", "trace", message).one["state"] == "delivered", (place, message)
            assert w.sql("SELECT count(*) FROM v_frames WHERE \"to\" = 'reviewer'") == ["0"], place


def newcomer(place):
    return place.split(".")[0] in ("log", "cert")


def talk(w, place):
    """Two messages, one reader, for the log a newcomer; then the broker is dead.  What came of it is in w."""
    w.invitation = w.ctl("invite", "late-" + place.replace("_", "-"), check=None).out if newcomer(place) else None
    if w.invitation:
        w.sp(None, "join", "-", "-t", "2s", input=w.invitation, check=None)
    w.said, w.printed = [], []
    for i in range(2):
        rest = ["-t", "2s"] if w.broker.poll() is None else ["--offline"]
        w.said.append(w.sp("builder", "send", "reviewer", f"{place} {i}", *rest).text.split()[0])
    w.printed = w.fetch("reviewer", "-t", "2s") if w.broker.poll() is None else []
    wait_until(lambda: w.broker.poll() is not None, f"{place} is reached", 5)
    assert w.broker.returncode == KILLED, w.broker.returncode
