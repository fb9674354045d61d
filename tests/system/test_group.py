"""Groups: made, read, changed and left; what a removed member gets; what goes wrong, in words."""
import concurrent.futures
import json
import os
import shutil
import sqlite3
import subprocess
import threading

import objects
from test_crash import KILLED, at, needs_test_build
from world import World, sent, test, wait_until


def three(w, *more):
    """builder, reviewer, tester in circle home."""
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer", "tester", *more)


def group(w, agent, name="team"):
    return w.json(agent, "group", "show", name).one


def joined(w, agent, name="team"):
    return sorted(m["name"] for m in group(w, agent, name)["members"] if m["state"] == "joined")


def team(w, *more):
    """+team of all, everybody with the key."""
    three(w, *more)
    others = ["reviewer", "tester", *more]
    w.sp("builder", "group", "create", "team", *others)
    for who in others:
        w.sp(who, "recv")
    settle(w, "builder", *others)


def settle(w, *agents):
    """Until all have the current key, each with commands of its own."""
    def ready():
        for who in agents:
            w.sp(who, "recv", "--no-ack", check=None)
        views = [group(w, who) for who in agents]
        return (all(v["keyed"] for v in views) and len({v["head"] for v in views}) == 1
                and all(m["state"] == "joined" for m in views[0]["members"]))
    wait_until(ready, "everybody has the key")


@test("walk 9.6: a group")
def walk():
    with World() as w:
        three(w)
        made = w.sp("builder", "group", "create", "team", "reviewer", "tester")
        assert made.text.split()[:4] == ["+team", "joined", "epoch", "1"], made
        for who in ("reviewer", "tester"):
            nothing = w.sp(who, "recv")
            assert nothing.text == "", nothing
        settle(w, "builder", "reviewer", "tester")
        message, state = sent(w.sp("builder", "send", "+team", "stand-up in five minutes"))
        assert state == "stored", state
        for who in ("reviewer", "tester"):
            got = w.json(who, "recv").one
            assert got["id"] == message and got["body"] == "stand-up in five minutes", got
            assert got["group"] == "+team" and got["from"] == "builder", got
        traced = wait_until(lambda: (lambda t: t if t["delivered_to"] == 2 else None)(
            w.json("builder", "trace", message).one), "both have signed")
        assert traced["recipients"] == 2 and traced["missing"] == [], traced
        assert sorted(s["note"] for s in traced["steps"] if s["state"] == "delivered") == ["reviewer", "tester"], traced
        text = w.sp("builder", "trace", message[:8]).text
        assert "delivered to 2 of 2\n" in text and "reviewer signed for it" in text, text
        removed = w.sp("builder", "group", "remove", "team", "tester", "--yes")
        assert removed.code == 0, removed
        w.sp("tester", "recv")
        assert joined(w, "builder") == ["builder", "reviewer"]
        assert [g["state"] for g in w.json("tester", "group", "--all").of("group")] == ["left"]


@test("group: one row whatever the members, and answers go where the message came from")
def one_row():
    with World() as w:
        team(w)
        for i in range(5):
            w.sp("builder", "send", "+team", f"number {i}")
        kinds = w.sql("SELECT kind, count(*) FROM v_frames WHERE kind = 'group' GROUP BY 1")
        assert kinds == ["group|5"], kinds
        assert w.bodies("reviewer") == [f"number {i}" for i in range(5)]
        last = w.json("tester", "recv").of("message")[-1]
        w.sp("tester", "reply", last["id"], "seen")
        got = w.json("builder", "recv").one
        assert got["group"] == "+team" and got["reply_to"] == last["id"] and got["body"] == "seen", got
        assert w.bodies("reviewer", "--from", "+team") == ["seen"]
        text = w.sp("builder", "send", "+team", "last").text
        shown = w.sp("reviewer", "recv").text
        assert shown.startswith("from builder in +team   "), shown
        assert text.split()[1] == "stored", text


@test("group: somebody who was away gets it all, and the sender sees who has not")
def away():
    with World() as w:
        team(w)
        message, _ = sent(w.sp("builder", "send", "+team", "who is there?"))
        w.sp("reviewer", "recv")
        traced = wait_until(lambda: (lambda t: t if t["delivered_to"] == 1 else None)(
            w.json("builder", "trace", message).one), "reviewer has signed")
        assert traced["recipients"] == 2 and traced["missing"] == ["tester"], traced
        assert traced["waits_for"] == "recipient", traced
        lag = w.sql("SELECT name, behind FROM v_members WHERE behind > 0")
        assert lag == ["tester|1"], lag
        assert w.bodies("tester") == ["who is there?"]


@test("group: who was removed gets nothing new, not even from a copy of the broker's database that is on its side")
def removed_reader():
    with World() as w:
        team(w)
        w.sp("builder", "send", "+team", "before")
        assert w.bodies("tester") == ["before"]
        w.sp("builder", "group", "remove", "team", "tester", "--yes")
        w.sp("reviewer", "recv")
        wait_until(lambda: group(w, "reviewer")["keyed"] or w.sp("reviewer", "recv") is None, "the new key is there")
        for i in range(3):
            w.sp("builder", "send", "+team", f"after {i}")
        assert w.bodies("tester") == []
        copy = w.broker_dir + ".copy"
        w.stop_broker()
        shutil.copytree(w.broker_dir, copy)
        # a broker that is on tester's side: a reader of the channel again, from the beginning
        db = sqlite3.connect(os.path.join(w.broker_dir, "broker.db"))
        waiting = db.execute("SELECT count(*) FROM frame WHERE kind = 8").fetchone()[0]
        db.execute("INSERT INTO member (group_id, agent_id, role, state, since_ms)"
                   " SELECT m.group_id, a.agent_id, 1, 2, m.since_ms FROM member m, agent a"
                   " WHERE m.role = 3 AND a.name = 'tester'")
        db.execute("INSERT INTO cursor SELECT s.stream_id, a.agent_id, 0, 0, NULL, 0 FROM stream s, agent a"
                   " WHERE s.kind = 2 AND a.name = 'tester'")
        db.commit()
        db.close()
        assert waiting >= 3, waiting
        w.start_broker()
        assert w.bodies("tester") == [] and w.json("tester", "inbox", "--all").of("header")[0]["size"] == len("before")
        assert len(w.json("tester", "inbox", "--all").of("header")) == 1
        assert w.bodies("reviewer") == ["after 0", "after 1", "after 2"]


@test("group: an invitation is held and is one question; accepted, accepted under another name, declined")
def held():
    with World() as w:
        three(w, "writer")
        others = ("reviewer", "tester", "writer")
        for who in others:
            w.sp(who, "config", "consent=ask")
        w.sp("reviewer", "group", "create", "team")
        w.sp("builder", "group", "create", "team", *others)

        def asked(who):
            requests = wait_until(lambda: (lambda all: all if any(r["mode"] == "group" for r in all) else None)(
                w.json(who, "requests").of("request")), "the invitation is held")
            assert [(r["mode"], r["inviter"]) for r in requests] == [("group", "builder")], requests
            return requests[0]["peer"]

        accepted = w.json("reviewer", "accept", asked("reviewer")).one
        assert accepted["state"] == "joined", accepted
        accepted = w.json("tester", "accept", asked("tester"), "--as", "fix").one
        assert accepted["name"] == "+fix" and accepted["state"] == "joined", accepted
        declined = asked("writer")
        w.sp("writer", "reject", declined)
        wait_until(lambda: joined(w, "builder") == ["builder", "reviewer", "tester"]
                   and len(group(w, "builder")["members"]) == 3 or w.sp("builder", "recv") is None,
                   "two have joined, one has declined")
        wait_until(lambda: "+team-2" in [g["name"] for g in w.json("reviewer", "group").of("group")]
                   or w.sp("builder", "recv") is None or w.sp("reviewer", "recv") is None, "its title has come")
        assert w.json("writer", "accept", declined, check=6).error["code"] in ("no_request", "unknown_group")
        w.sp("builder", "recv")
        wait_until(lambda: group(w, "tester", "fix")["keyed"] or w.sp("builder", "recv") is None
                   or w.sp("tester", "recv") is None, "it has the key")
        w.sp("builder", "send", "+team", "hello")
        assert w.json("tester", "recv").one["group"] == "+fix"


@test("group: roles, handing over, leaving and closing")
def roles():
    with World() as w:
        team(w)
        error = w.json("reviewer", "group", "remove", "team", "tester", "--yes", check=4).error
        assert error["code"] == "not_an_admin", error
        error = w.json("builder", "group", "leave", "team", "--yes", check=4).error
        assert error["code"] == "not_an_admin" and "owner" in (error["message"] + error["hint"]), error
        w.sp("builder", "group", "role", "team", "reviewer", "admin")
        w.sp("reviewer", "recv")
        w.sp("reviewer", "group", "rekey", "team")
        settle(w, "builder", "reviewer", "tester")
        w.sp("builder", "group", "role", "team", "reviewer", "owner")
        assert group(w, "builder")["role"] == "admin"
        w.sp("reviewer", "recv")
        assert group(w, "reviewer")["role"] == "owner"
        w.sp("builder", "group", "leave", "team", "--yes")
        assert w.json("builder", "send", "+team", "hello?", check=4).error["code"] == "not_a_member"
        w.sp("reviewer", "recv")
        wait_until(lambda: joined(w, "reviewer") == ["reviewer", "tester"] or w.sp("reviewer", "recv") is None,
                   "the leaver is gone")
        w.sp("reviewer", "group", "close", "team", "--yes")
        w.sp("tester", "recv")
        assert [g["state"] for g in w.json("tester", "group", "--all").of("group")] == ["closed"]
        assert w.json("tester", "send", "+team", "hello?", check=4).error["code"] in ("not_a_member", "group_state")


@test("group: what cannot be done is said, with the next command")
def errors():
    with World() as w:
        three(w)
        for wrong in (["group", "nonsense"], ["group", "create"], ["group", "show"], ["group", "invite", "team"],
                      ["group", "create", "Team"], ["group", "role", "team", "reviewer", "king"],
                      ["group", "rekey", "team", "reviewer"], ["group", "show", "team", "--strict"],
                      ["group", "invite", "team", "reviewer", "--role", "owner"], ["accept", "reviewer", "--as", "x"],
                      ["verify", "+team"], ["request", "+team"]):
            assert w.json("builder", *wrong, check=2).error["code"] in ("usage", "bad_value", "name_invalid"), wrong
        for wrong in (["group", "show", "team"], ["send", "+team", "x"], ["inbox", "--from", "+team"],
                      ["recv", "--from", "+team"], ["group", "rekey", "team"]):
            assert w.json("builder", *wrong, check=6).error["code"] == "unknown_group", wrong
        assert w.json("builder", "group", "create", "team", "nobody", check=6).error["code"] == "unknown_agent"
        assert w.json("builder", "group", "create", "team", "builder", check=2).error["code"] == "self"
        assert w.sp("builder", "group").err == b"note: in no group\n"
        w.sp("builder", "group", "create", "team", "reviewer")
        assert w.json("builder", "group", "create", "team", check=4).error["code"] == "group_exists"
        assert w.json("builder", "group", "invite", "team", "reviewer", check=4).error["code"] == "already_member"
        assert w.json("builder", "group", "remove", "team", "tester", "--yes", check=6).error["code"] == "unknown_agent"
        assert w.json("builder", "group", "remove", "team", "reviewer", check=2).error["code"] == "needs_yes"


@test("group: without a broker the step is signed, kept, and goes out later")
def without_broker():
    with World() as w:
        team(w)
        w.stop_broker()
        refused = w.json("builder", "group", "remove", "team", "tester", "--yes", check=3)
        assert refused.error["code"] == "broker_unreachable", refused
        queued = w.sp("builder", "send", "+team", "while it is down")
        assert sent(queued)[1] == "queued", queued
        w.start_broker()
        wait_until(lambda: w.sp("builder", "outbox", "--flush", check=None).code == 0, "the message is stored")
        assert joined(w, "builder") == ["builder", "reviewer"]
        assert w.bodies("tester") == []
        wait_until(lambda: w.bodies("reviewer") == ["while it is down"], "reviewer has it")


@test("group: the operator sees who is behind, never a title")
def operator():
    with World() as w:
        team(w)
        for text in ("one", "two"):
            w.sp("builder", "send", "+team", text, "--wait", "stored")
        w.sp("reviewer", "recv")
        channel = json.loads(w.ctl("groups", "--json").text)
        assert channel["type"] == "channel" and channel["state"] == "open", channel
        assert channel["owner"] == "builder" and channel["members"] == 3 and channel["slowest"] == "tester", channel
        name = channel["group"]
        assert name == "#" + group(w, "builder")["id"][:8], name
        readers = [json.loads(line) for line in w.ctl("groups", name, "--json").text.splitlines()]
        assert [r["name"] for r in readers][0] == "tester" and readers[0]["behind"] >= 2, readers
        assert {r["name"]: r["behind"] for r in readers}["reviewer"] == 0, readers
        frames = [json.loads(line) for line in w.ctl("queues", name, "--json").text.splitlines()]
        assert [f["seq"] for f in frames if f["kind"] == "group"][-2:] == [1, 2], frames
        for shown in (w.ctl("groups"), w.ctl("groups", name[1:]), w.ctl("queues")):
            assert "team" not in shown.text, shown
        assert name in w.ctl("groups").text and name in w.ctl("queues").text
        assert w.ctl("groups", "#00000000", check=6).err


@test("group: twenty messages at once, changes killed in between, and all of it arrives once")
def storm():
    with World() as w:
        team(w)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            results = list(pool.map(lambda i: w.sp("builder", "send", "+team", f"number {i}", check=None), range(20)))
        assert all(r.code == 0 for r in results), [r for r in results if r.code]
        wait_until(lambda: w.sp("builder", "outbox", "--flush", check=None).code == 0, "all are stored")
        assert sorted(w.bodies("reviewer")) == sorted(f"number {i}" for i in range(20))
        needs_test_build()
        for place in ("epoch.appended", "epoch.job", "epoch.queued"):
            killed = w.sp("builder", "group", "rekey", "team", env=at(place), check=None)
            assert killed.code == KILLED, killed
            settle(w, "builder", "reviewer", "tester")
        killed = w.sp("builder", "group", "remove", "team", "tester", "--yes", env=at("epoch.appended"), check=None)
        assert killed.code == KILLED, killed
        wait_until(lambda: w.sp("builder", "recv") and joined(w, "builder") == ["builder", "reviewer"], "it is removed")
        w.sp("builder", "send", "+team", "in the end")
        wait_until(lambda: w.bodies("reviewer") == ["in the end"], "reviewer has it")
        assert "in the end" not in w.bodies("tester")


@test("group: messages, and changes of two admins, all at once: one chain, and each message arrives once, in order")
def changes_at_once():
    with World() as w:
        team(w, "writer", "editor")
        w.sp("builder", "group", "role", "team", "reviewer", "admin")
        settle(w, "builder", "reviewer", "tester", "writer", "editor")
        before = group(w, "builder")["epoch"]
        start = threading.Barrier(4)
        plans = {
            "talk of builder": [("builder", "send", "+team", f"builder {i}") for i in range(8)],
            "talk of tester": [("tester", "send", "+team", f"tester {i}") for i in range(8)],
            "builder": [("builder", "group", "remove", "team", "writer", "--yes"), ("builder", "group", "rekey", "team"),
                        ("builder", "group", "invite", "team", "writer"), ("builder", "group", "rekey", "team")],
            "reviewer": [("reviewer", "group", "rekey", "team"), ("reviewer", "group", "remove", "team", "editor", "--yes"),
                         ("reviewer", "group", "rekey", "team"), ("reviewer", "group", "invite", "team", "editor")],
        }

        def act(plan):
            start.wait()
            return [w.sp(*command, check=None) for command in plan]

        with concurrent.futures.ThreadPoolExecutor(len(plans)) as pool:
            results = [r for done in pool.map(act, plans.values()) for r in done]
        assert all(r.code == 0 for r in results), [str(r) for r in results if r.code]
        everybody = ("builder", "reviewer", "tester", "writer", "editor")
        settle(w, *everybody)
        assert joined(w, "tester") == sorted(everybody)
        assert group(w, "tester")["epoch"] >= before + 6, group(w, "tester")
        wait_until(lambda: all(w.sp(who, "outbox", "--flush", check=None).code == 0 for who in ("builder", "tester")),
                   "all are stored")
        said = {who: [f"{who} {i}" for i in range(8)] for who in ("builder", "tester")}
        read = []
        wait_until(lambda: read.extend(w.fetch("reviewer")) or len(read) >= 16, "the reviewer has all")
        for who, bodies in said.items():
            assert [m["body"] for m in read if m["from"] == who] == bodies, read
        assert w.bodies("tester") == said["builder"] and w.bodies("builder") == said["tester"]
        w.sp("writer", "send", "+team", "writer is back")
        for who in ("builder", "reviewer", "tester", "editor"):
            wait_until(lambda: "writer is back" in w.bodies(who), f"{who} reads it")


@test("group: rekey tells how many keys wait until their member has answered first contact")
def unanswered():
    with World() as w:
        team(w)
        w.sp("builder", "group", "role", "team", "reviewer", "admin")
        w.sp("reviewer", "recv")
        # reviewer and tester have never spoken with each other
        rekeyed = w.sp("reviewer", "group", "rekey", "team")
        assert b"note: +team: 1 of the new keys waits until its member has accepted contact\n" in rekeyed.err, rekeyed
        settle(w, "builder", "reviewer", "tester")
        rekeyed = w.sp("reviewer", "group", "rekey", "team")
        assert not rekeyed.err, rekeyed


@test("group: thirty members in JSON: show names them all, trace tells who has signed")
def thirty():
    with World("quota/requests_open=100") as w:  # so that nobody waits for its title
        others = [f"m{i:02}" for i in range(29)]
        w.init_broker()
        w.start_broker()
        w.join("builder", *others)
        everybody, last = ["builder", *others], others[-1]
        w.sp("builder", "group", "create", "team", *others)
        for who in others:  # one after the other, so that no JOINED is signed in vain
            w.sp(who, "recv")
        wait_until(lambda: w.sp("builder", "recv") and joined(w, "builder") == everybody and
                   not group(w, "builder")["pending"], "all have joined, and their epoch has begun")
        message, _ = sent(w.sp("builder", "send", "+team", "to all"))

        def traced(count):
            found = wait_until(lambda: (lambda t: t if t["delivered_to"] == count else None)(
                w.json("builder", "trace", message).one), f"{count} have signed")
            assert found["recipients"] == 29 and found["missing"] == others[count:], found
            assert sorted(s["note"] for s in found["steps"] if s["state"] == "delivered") == others[:count], found
            return found["state"]

        assert traced(0) == "stored"
        for who in others[:-1]:
            wait_until(lambda: w.bodies(who) == ["to all"], f"{who} has the key, and reads")
        assert traced(28) == "stored"
        wait_until(lambda: w.bodies(last) == ["to all"], "the last reads")
        assert traced(29) == "delivered"
        shown = group(w, last)
        assert [m["name"] for m in shown["members"]] == everybody, shown
        assert [m["role"] for m in shown["members"]] == ["owner"] + ["member"] * 29, shown
        assert [m["state"] for m in shown["members"]] == ["joined"] * 30, shown
        assert len({m["fingerprint"] for m in shown["members"]}) == 30, shown
        assert shown["members"] == group(w, "builder")["members"]


@test("group: status --check tells of groups")
def told():
    with World() as w:
        three(w)
        w.sp("tester", "config", "consent=ask")
        w.sp("builder", "group", "create", "team", "reviewer", "tester")
        w.sp("reviewer", "recv")
        lines = {o["name"]: o for o in w.json("reviewer", "status", "--check").lines}
        assert lines["groups"]["result"] == "warn" and "1 without the current key" in lines["groups"]["detail"], lines
        w.sp("builder", "recv")
        wait_until(lambda: {o["name"]: o["result"] for o in w.json("reviewer", "status", "--check").lines}["groups"] == "ok"
                   or w.sp("builder", "recv") is None, "the key has come")
        assert w.sp("reviewer", "inbox").code == 0


@test("group: recv --events tells of an invitation, once")
def invitation_event():
    with World() as w:
        three(w)
        w.sp("tester", "config", "consent=ask")
        reader = w.start("sealpost", "-a", "tester", "recv", "--follow", "--events", "--json", stdout=subprocess.PIPE)
        w.wait_owner("tester")
        w.sp("builder", "group", "create", "team", "tester")
        seen = []
        while not any(o["type"] == "request" and o["mode"] == "group" for o in seen):
            line = reader.stdout.readline().decode()
            assert line, seen
            seen.append(json.loads(line))
            objects.check(seen[-1], line)
        assert seen[-1]["inviter"] == "builder", seen
        w.sp("tester", "accept", seen[-1]["peer"])
        reader.terminate()
        rest = [json.loads(line) for line in reader.stdout.read().decode().splitlines()]
        assert not any(o["type"] == "request" and o["mode"] == "group" for o in rest), rest
