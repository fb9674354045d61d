"""Fingerprints, the controller's log, alarms, and profiles that exist twice."""
import os
import shutil
import subprocess

from world import World, end, sent, test, wait_until


def pair(w):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")


def fingerprint(w, agent):
    return w.json(agent, "whoami").one["fingerprint"]


def replace_key(w, name="reviewer"):
    """The operator ends an agent and lets another one in under its name, as after a lost machine."""
    w.ctl("revoke", name, "--yes")
    w.sp(None, "join", "-a", "second", "-", input=w.invite(name) + "\n")
    return fingerprint(w, "second")


@test("trust: verify shows both fingerprints, compares, and keeps what was right")
def verify():
    with World() as w:
        pair(w)
        mine, theirs = fingerprint(w, "builder"), fingerprint(w, "reviewer")
        shown = w.sp("builder", "verify", "reviewer").text.splitlines()
        assert shown[0].split() == ["you", "builder", mine], shown
        assert shown[1].split() == ["reviewer", theirs], shown
        assert shown[2] == f"compare over another channel, then: sealpost verify reviewer {theirs}", shown
        assert w.json("builder", "peers", "reviewer").one["trust"] == "new", "looking changes nothing"
        wrong = w.json("builder", "verify", "reviewer", mine, check=7)
        assert wrong.error["code"] == "fingerprint_differs" and theirs in wrong.error["message"], wrong
        assert w.json("builder", "verify", "reviewer", theirs[:20], check=2).error["code"] == "bad_value"
        right = w.json("builder", "verify", "reviewer", "id:" + theirs.replace("-", "")).one
        assert right["trust"] == "verified" and right["name"] == "reviewer" and right["you"] == "builder", right
        assert right["your_fingerprint"] == mine and right["new_fingerprint"] is None, right
        assert w.json("builder", "verify", "reviewer", mine, check=7).error["code"] == "fingerprint_differs"
        assert w.json("builder", "peers", "reviewer").one["trust"] == "verified"
        w.sp("reviewer", "send", "builder", "hi")
        assert w.json("builder", "recv").one["trust"] == "verified"
        assert w.json("builder", "verify", "nobody", theirs, check=6).error["code"] == "unknown_agent"
        assert w.json("builder", "verify", "builder", mine, check=2).error["code"] == "self"
        assert w.json("builder", "verify", check=2).error["code"] == "usage"
        assert w.json("builder", "verify", "reviewer", "--replace", check=2).error["code"] == "usage"


@test("trust: verify --file takes what whoami --all prints, all it can, and fails with the first failure")
def verify_file():
    with World() as w:
        pair(w)
        w.join("tester")
        w.sp("builder", "peers")
        prints = w.sp(None, "whoami", "--all").text
        done = w.json("builder", "verify", "--file", "-", input="# mine\n\n" + prints)
        assert [(p["name"], p["trust"]) for p in done.of("peer")] == [("reviewer", "verified"), ("tester", "verified")]
        path = os.path.join(w.work, "prints")
        with open(path, "w") as f:
            f.write(f"reviewer {fingerprint(w, 'tester')}\nnobody {fingerprint(w, 'tester')}\n"
                    f"tester {fingerprint(w, 'tester')}\n")
        some = w.json("builder", "verify", "--file", path, check=7)
        assert some.error["code"] == "fingerprint_differs" and some.error["peer"] == "reviewer", some
        assert [p["name"] for p in some.of("peer")] == ["tester"], some
        with open(path, "w") as f:
            f.write("reviewer\n")
        assert w.json("builder", "verify", "--file", path, check=2).error["code"] == "bad_value"
        assert w.json("builder", "verify", "--file", path + "x", check=2).error["code"] == "bad_value"


@test("trust: trust = verified stops both ways until the fingerprint was compared")
def only_verified():
    with World() as w:
        pair(w)
        w.sp("builder", "config", "trust=verified")
        stopped = w.json("builder", "send", "reviewer", "hi", check=7)
        assert stopped.error["code"] == "not_verified" and stopped.error["hint"] == "sealpost verify reviewer", stopped
        assert w.json("builder", "outbox").lines == []
        w.sp("reviewer", "send", "builder", "who are you?")
        assert w.fetch("builder") == []
        assert w.json("builder", "requests").one["peer"] == "reviewer"
        assert w.json("builder", "accept", "reviewer", check=7).error["code"] == "not_verified"
        w.sp("builder", "verify", "reviewer", fingerprint(w, "reviewer"))
        assert w.bodies("builder") == ["who are you?"]
        w.sp("builder", "send", "reviewer", "hi")
        assert w.bodies("reviewer") == ["hi"]


@test("trust: accept_names and send_to are obeyed")
def names():
    with World() as w:
        pair(w)
        w.sp(None, "join", "-", input=w.invite("alice", "--guest") + "\n")
        w.sp("reviewer", "config", "accept_names=al* bob")
        w.sp("alice", "send", "reviewer", "I am on the list")
        assert w.bodies("reviewer") == ["I am on the list"]
        w.sp("builder", "config", "send_to=rev* bob")
        w.sp("builder", "send", "reviewer", "allowed")
        stopped = w.json("builder", "send", "alice", "not allowed", check=4)
        assert stopped.error["code"] == "not_in_send_to", stopped
        assert w.json("builder", "config", "trust=perhaps", check=2).error["code"] == "bad_value"
        assert w.json("builder", "config", "send_to").one["value"] == "rev* bob"


@test("trust: another key under a known name stops all traffic until verify --replace")
def key_changed():
    with World() as w:
        pair(w)
        old = fingerprint(w, "reviewer")
        w.sp("builder", "verify", "reviewer", old)
        w.befriend("builder", "reviewer")
        new = replace_key(w)
        assert w.sp("builder", "recv", check=None).code in (0, 7)
        stopped = w.json("builder", "send", "reviewer", "secret", check=7)
        assert stopped.error["code"] == "key_changed", stopped
        assert old in stopped.error["message"] and new in stopped.error["message"], stopped
        assert stopped.error["hint"].endswith("sealpost verify reviewer FINGERPRINT --replace"), stopped
        assert w.json("builder", "outbox").lines == []
        assert b"alarm key_changed: " in w.sp("builder", "inbox").err, "every command warns"
        changed = w.json("builder", "peers", "reviewer").one
        assert changed["trust"] == "changed" and changed["fingerprint"] == new, changed
        both = w.sp("builder", "verify", "reviewer").text.splitlines()
        assert both[1].split() == ["reviewer", old, "known"] and both[2].split() == ["reviewer", new, "new"], both
        needs = w.json("builder", "verify", "reviewer", new, check=7)
        assert needs.error["code"] == "key_changed" and "--replace" in needs.error["hint"], needs
        assert w.json("builder", "accept", "reviewer", check=7).error["code"] == "key_changed"
        wrong = fingerprint(w, "builder")
        assert w.json("builder", "verify", "reviewer", wrong, "--replace", check=7).error["code"] == "fingerprint_differs"
        assert w.json("builder", "log", "--clear", "key_changed", check=2).error["code"] == "bad_value"
        done = w.json("builder", "verify", "reviewer", new, "--replace").one
        assert done["trust"] == "verified" and done["fingerprint"] == new, done
        w.sp("builder", "send", "reviewer", "secret")
        assert w.bodies("second") == ["secret"]
        assert w.json("builder", "status").one["problems"] == []


@test("trust: the log is shown, followed through a change of owners, and nothing twice")
def log():
    with World() as w:
        pair(w)
        entries = w.json("builder", "log").of("log_entry")
        assert [(e["index"], e["event"], e["agent"]) for e in entries] == [
            (0, "enrolled", "builder"), (1, "enrolled", "reviewer")], entries
        assert entries[0]["fingerprint"] == fingerprint(w, "builder") and entries[0]["circles"] == ["home"], entries
        assert [e["index"] for e in w.json("builder", "log", "-n", "1").of("log_entry")] == [1]
        assert "enrolled" in w.sp("builder", "log").text
        owner = w.start("sealpost", "-a", "builder", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        w.wait_owner("builder")
        watcher = w.start("sealpost", "-a", "builder", "log", "--follow", "--json", stdout=subprocess.PIPE)
        first = [watcher.stdout.readline() for _ in range(2)]
        assert b'"index":0' in first[0] and b'"index":1' in first[1], first
        assert end(owner) == 0
        w.wait_owner("builder")
        w.join("tester")
        assert b'"index":2' in watcher.stdout.readline()
        w.ctl("revoke", "tester", "--yes")
        line = watcher.stdout.readline()
        assert b'"index":3' in line and b'"event":"revoked"' in line, line
        assert end(watcher) == 0 and watcher.stdout.read() == b""
        assert w.json("builder", "log", "--clear", "split_view", check=6).error["code"] == "unknown_alarm"
        assert w.json("builder", "log", "--clear", "x", "--follow", check=2).error["code"] == "usage"


@test("trust: a profile that is copied: the copy ends with 7, no number twice, the original's mail is unharmed")
def copied():
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        shutil.copytree(w.profile("builder"), w.profile("copy"))
        for i in range(3):
            w.sp("builder", "send", "reviewer", f"original {i}")
        assert w.bodies("reviewer") == ["original 0", "original 1", "original 2"]
        w.sp("builder", "recv")
        session = w.json("builder", "sessions").one["id"]
        copy = w.json("copy", "recv", check=7)
        assert copy.error["code"] == "profile_restored", copy
        assert copy.error["hint"].endswith("sealpost rotate --all"), copy
        assert w.json("copy", "recv", check=7).error["code"] == "profile_restored", "and the next"
        assert w.json("copy", "send", "reviewer", "x", check=7).error["code"] == "profile_restored"
        assert w.json("copy", "log", "--clear", "profile_restored", check=2).error["hint"] == "sealpost rotate --all"
        assert b"alarm profile_restored: " in w.sp("copy", "whoami").err, "every command warns"
        status = w.json("copy", "status", check=7).one
        assert [p["code"] for p in status["problems"]] == ["profile_restored"], "told once"
        assert status["problems"][0]["message"].startswith("this profile is older"), "its own trouble, not a peer's"
        assert w.bodies("reviewer") == []
        message, _ = sent(w.sp("builder", "send", "reviewer", "still here"))
        got = w.fetch("reviewer")
        assert [(m["id"], m["body"]) for m in got] == [(message, "still here")], got
        assert got[0]["session"] == session, "as if there were no copy"
        wait_until(lambda: w.json("builder", "trace", message).one["state"] == "delivered", "the original goes on")


@test("trust: verify --file takes a list whole or not at all")
def odd_lists():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        line = f"reviewer {w.json('reviewer', 'whoami').one['fingerprint']}\n".encode()
        path = os.path.join(w.work, "list")
        for text in (b"#" * (1 << 20) + b"\n" + line, b"\0\n" + line, line + b"reviewer \xff\n"):
            with open(path, "wb") as f:
                f.write(text)
            assert w.json("builder", "verify", "--file", path, check=2).error["code"] == "bad_value"
        for path in ("/", "/dev/zero"):
            assert w.json("builder", "verify", "--file", path, check=2).error["code"] == "bad_value"
        assert b"names nobody" in w.sp("builder", "verify", "--file", "/dev/null").err
