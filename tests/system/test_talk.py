"""Conversations, answers that are waited for, events, and the check of everything: docs/cli.md 3.2, 3.5, 3.7."""
import json
import os
import re
import signal
import subprocess

import objects
import world
from terminal import Terminal
from world import ID, World, end, test, wait_until

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "cli.md")


def two(w, *more):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer", *more)


class Pipe:
    """communicate over pipes: lines in, lines out."""

    def __init__(self, w, agent, *args):
        self.child = w.start("sealpost", "-a", agent, "communicate", *args, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def say(self, *lines):
        self.child.stdin.write("".join(line + "\n" for line in lines).encode())
        self.child.stdin.flush()

    def heard(self):
        """The next line of stdout."""
        return self.child.stdout.readline().decode().rstrip("\n")

    def told(self, needle):
        """Reads stderr up to this line, and gives it."""
        for line in self.child.stderr:
            if needle in line.decode():
                return line.decode().rstrip("\n")
        raise AssertionError(f"{needle!r} was not told")

    def close(self):
        """The exit code, and what is left of stdout and stderr."""
        out, err = self.child.communicate(timeout=world.DEADLINE)
        return self.child.returncode, out.decode(), err.decode()


def meet(w, *flags):
    """builder asks reviewer, who accepts by name; both talk."""
    a = Pipe(w, "builder", "reviewer", *flags)
    wait_until(lambda: w.json("reviewer", "requests").lines, "the request is held")
    b = Pipe(w, "reviewer", "builder", *flags)
    return a, b


def transcript():
    """The page's, as patterns: names, ids, times and trust aside."""
    with open(PAGE) as f:
        text = re.search(r"^\$ sealpost -a builder communicate\n(.*?)^```", f.read(), re.S | re.M).group(1)
    lines = []
    for line in text.splitlines():
        line = re.escape(line)
        line = re.sub(r"^(\\ )*(\d)(\\ )+(\w+)(\\ )+\w+(\\ )+\w+$", r" +\2  +\4 +(online|-|\\d+[a-z]+) +[a-z]+", line)
        line = re.sub(r"[0-9a-f]{32}", "[0-9a-f]{32}", line)
        line = re.sub(r"pinned,\\ valid\\ \w+", r"(new|pinned), valid \\d+[a-z]+", line)
        lines.append(line)
    return lines


@test("talk: the transcript of the page, line for line, on two terminals")
def terminals():
    with World() as w:
        two(w, "tester")
        b = Terminal(w, "-a", "reviewer", "communicate")
        b.line("Talk to (number or name): ")
        a = Terminal(w, "-a", "builder", "communicate")
        a.line("Talk to (number or name): ")
        a.type("1\n")
        b.line("[!] Incoming communication request from builder (")
        b.type("y\n")
        a.line("[YOU] > ")
        b.line("[YOU] > ")
        a.type("hello\n")
        a.line("Delivered")
        b.line("[builder] > hello")
        b.type("hi, go ahead\n")
        a.line("[reviewer] > hi, go ahead")
        b.line("Delivered")
        a.type("exit\n")
        assert a.close() == 0 and b.close() == 0, (a.seen, b.seen)
        said = [line for line in a.lines if line]
        wanted = transcript()
        assert len(wanted) == 15, wanted
        for line, pattern in zip(said, wanted):
            assert re.fullmatch(pattern, line), (pattern, said)
        assert len(said) == len(wanted), said
        other = [line for line in b.lines if line]
        assert other[2] == "Talk to (number or name): " or other[2].startswith("[!]"), other
        asked = [line for line in other if line.startswith("[!]")]
        assert re.fullmatch(r"\[!\] Incoming communication request from builder \([a-z2-7]{4}-…\)\. Accept\? \(y/n\) y",
                            asked[0]), other
        after = other[other.index(asked[0]) + 1:]
        for line, pattern in zip(after, [
                r"\[1/4\] Checking the certificate of builder \.\.\. ok, (new|pinned), valid \d+[a-z]+",
                r"\[2/4\] Answering builder \.\.\. accepted",
                r"\[3/4\] Agreeing on keys \.\.\. ok, X25519 ChaCha20-Poly1305", r"\[4/4\] Session active",
                r"Communicating with: builder", r"Session ID: [0-9a-f]{32}", r"\[builder\] > hello",
                r"\[YOU\] > hi, go ahead", r"Stored", r"Delivered", r"Session closed\. Keys cleared\."]):
            assert re.fullmatch(pattern, line), (pattern, other)
        for agent in ("builder", "reviewer"):
            assert w.json(agent, "sessions").lines == [], "the live session is over, and there was no other"
            over = w.json(agent, "sessions", "--all").of("session")
            assert [s["state"] for s in over if s["mode"] == "live"] == ["closed"], over


@test("talk: a line that is being typed moves out of the way and comes back")
def editing():
    with World() as w:
        two(w)
        a = Terminal(w, "-a", "builder", "communicate", "reviewer")
        wait_until(lambda: w.json("reviewer", "requests").lines, "the request is held")
        b = Pipe(w, "reviewer", "builder")
        a.line("[YOU] > ")
        a.type("half a thuoght\x7f\x7f\x7f\x7f\x7fou")
        a.line("[YOU] > half a thou")
        b.say("listen first")
        a.line("[reviewer] > listen first")
        a.until(lambda t: t.lines[-1] == "[YOU] > half a thou")
        assert sum("half a thou" in line for line in a.lines) == 1, a.lines
        a.type("ght\x1b[D\n")
        assert b.heard() == "[builder] > half a thought"
        a.type("nothing of this\x15")
        a.type("\x04")
        assert a.close() == 0 and a.lines[-2:] == ["Session closed. Keys cleared.", ""], a.lines
        assert b.close()[0] == 0


@test("talk: over pipes stdout has the peer's words only, both ways at once, and everything said arrives")
def pipes():
    with World() as w:
        two(w)
        w.befriend("builder", "reviewer")
        mailbox = w.json("builder", "sessions").one["id"]
        a, b = meet(w)
        for side, other in ((a, "reviewer"), (b, "builder")):
            assert side.told("[1/4]") == f"[1/4] Checking the certificate of {other} ... ok, pinned, valid 23h"
        a.say(*[f"a{n}" for n in range(50)])
        b.say(*[f"b{n}" for n in range(50)])
        assert [b.heard() for _ in range(50)] == [f"[builder] > a{n}" for n in range(50)]
        assert [a.heard() for _ in range(50)] == [f"[reviewer] > b{n}" for n in range(50)]
        a.say("the last word", "exit")
        code, out, err = a.close()
        assert code == 0 and out == "", (code, out, err)
        assert err.count("Stored\n") == 51 and err.count("Delivered\n") == 51, err
        assert err.endswith("Session closed. Keys cleared.\n") and "[YOU]" not in err, err
        code, out, err = b.close()
        assert code == 0 and out == "[builder] > the last word\n" and err.endswith("Keys cleared.\n"), (code, out, err)
        for agent in ("builder", "reviewer"):
            assert w.bodies(agent) == [], "nothing of it is left for recv"
            assert w.json(agent, "sessions").one["id"] == mailbox, "the mailbox session is not touched"


@test("talk: foreign words cannot pass for anybody else's, nor move the cursor")
def forged():
    with World() as w:
        two(w)
        a, b = meet(w)
        session = wait_until(lambda: [s for s in w.json("builder", "sessions").lines if s["state"] == "active"], "active")
        assert session[0]["mode"] == "live", session
        b.told("[4/4]")
        a.say("one\ttwo\x1b[2J\x07")
        assert b.heard() == "[builder] > one\ttwo\\x1b[2J\\x07"
        a.say("exit")
        assert a.close()[0] == 0 and b.close()[0] == 0


@test("talk: --json gives session, message and receipt, and keeps stderr empty")
def as_json():
    with World() as w:
        two(w)
        a, b = meet(w, "--json")
        lines = [a.heard(), a.heard()]
        asked, active = map(json.loads, lines)
        assert (asked["state"], active["state"]) == ("asked", "active") and asked["mode"] == "live", (asked, active)
        assert json.loads(b.heard())["id"] == active["id"]
        a.say("hello")
        lines += [a.heard(), a.heard()]
        states = [json.loads(line) for line in lines[2:]]
        assert [(o["type"], o["state"], o["to"]) for o in states] == [
            ("receipt", "stored", "reviewer"), ("receipt", "delivered", "reviewer")], states
        lines.append(b.heard())
        got = json.loads(lines[-1])
        assert got["type"] == "message" and got["body"] == "hello" and got["session"] == active["id"], got
        assert got["id"] == states[0]["id"], got
        a.child.stdin.close()
        rest, err = a.child.stdout.read().decode(), a.child.stderr.read()
        assert a.child.wait(timeout=world.DEADLINE) == 0 and err == b"", (rest, err)
        lines.append(rest.strip())
        closed = json.loads(rest)
        assert closed["state"] == "closed" and closed["reason"] == "closed", closed
        code, out, err = b.close()
        assert code == 0 and json.loads(out)["state"] == "closed" and err == "", (code, out, err)
        for line in lines:
            objects.check(json.loads(line), line)
        assert w.json("builder", "communicate", check=2).error["code"] == "usage"
        assert w.json("builder", "communicate", "reviewer", "--offline", check=2).error["code"] == "usage"


@test("talk: SIGINT, SIGTERM and the end of stdin close cleanly at both ends")
def signals():
    with World() as w:
        two(w)
        for how in (signal.SIGINT, signal.SIGTERM, None):
            a, b = meet(w)
            a.told("[4/4]")
            b.told("[4/4]")
            a.say("last words")
            assert b.heard() == "[builder] > last words"
            if how:
                a.child.send_signal(how)
            code, _, err = a.close()
            assert code == 0 and err.endswith("Session closed. Keys cleared.\n"), (how, code, err)
            code, _, err = b.close()
            assert code == 0 and err.endswith("Session closed. Keys cleared.\n"), (how, code, err)
            assert w.json("builder", "sessions").lines == [], how


@test("talk: a signal before the answer takes the request back, and the exit code is the signal's")
def taken_back():
    with World() as w:
        two(w)
        a = Pipe(w, "builder", "reviewer")
        wait_until(lambda: w.json("reviewer", "requests").lines, "the request is held")
        assert end(a.child, signal.SIGINT) == 130
        wait_until(lambda: not w.json("reviewer", "requests").lines, "the request is taken back")
        assert w.json("builder", "sessions").lines == []


@test("talk: a step that fails ends with the exit code of its error")
def failing_steps():
    with World() as w:
        two(w, "tester")
        a, b = Pipe(w, "builder", "reviewer"), Pipe(w, "reviewer")
        assert b.told("[!]").startswith("[!] Incoming communication request from builder (")
        b.say("n")
        code, out, err = a.close()
        assert code == 4 and out == "" and "[2/4] Asking reviewer ... rejected\nerror: " in err, (code, out, err)
        b.say("exit")
        assert b.close()[0] == 0
        late = w.sp("builder", "communicate", "reviewer", "-t", "700ms", check=5)
        assert b"[2/4] Asking reviewer ... timeout\nerror: reviewer did not answer in time" in late.err, late
        assert w.json("reviewer", "requests").lines == [], "and it is taken back"
        nobody = w.sp("builder", "communicate", "nobody", check=6)
        assert nobody.err.startswith(b"[1/4] Checking the certificate of nobody ... unknown_agent\n"), nobody
        assert w.sp("builder", "communicate", "builder", check=2).err.startswith(b"[1/4]")
        w.sp("builder", "config", "trust=verified")
        strict = w.sp("builder", "communicate", "reviewer", check=7)
        assert b"... not_verified\n" in strict.err, strict
        w.sp("builder", "config", "trust=")
        w.stop_broker()
        down = w.json("builder", "communicate", "reviewer", check=3)
        assert down.error["code"] == "broker_unreachable", down


@test("talk: two who ask each other at the same moment meet in one session")
def crossing():
    with World() as w:
        two(w)
        for _ in range(3):
            a, b = Pipe(w, "builder", "reviewer", "--json"), Pipe(w, "reviewer", "builder", "--json")
            sessions = []
            for side in (a, b):
                obj = json.loads(side.heard())
                while obj["state"] != "active":
                    obj = json.loads(side.heard())
                sessions.append(obj["id"])
            assert sessions[0] == sessions[1], sessions
            a.say("met", "exit")
            assert '"body":"met"' in b.heard()
            assert a.close()[0] == 0 and b.close()[0] == 0


@test("talk: another command owns the profile, ends in the middle, and nothing is lost")
def through_owners():
    with World() as w:
        two(w)
        follow = w.start("sealpost", "-a", "builder", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        w.wait_owner("builder")
        a, b = meet(w)
        a.told("[4/4]")
        b.told("[4/4]")
        b.say("through an owner")
        assert a.heard() == "[reviewer] > through an owner"
        a.say("yes")
        assert b.heard() == "[builder] > yes"
        assert end(follow) == 0
        assert follow.stdout.read() == b"", "recv has nothing of the conversation"
        b.say("and now?")
        assert a.heard() == "[reviewer] > and now?"
        a.say("still here", "exit")
        assert b.heard() == "[builder] > still here"
        code, out, err = a.close()
        assert code == 0 and err.count("Delivered\n") == 2, (code, out, err)
        assert b.close()[0] == 0


@test("talk: the broker goes and comes back in the middle")
def broker_gone():
    with World() as w:
        two(w)
        a, b = meet(w)
        a.told("[4/4]")
        b.told("[4/4]")
        w.stop_broker()
        a.say("into the dark")
        w.start_broker()
        assert b.heard() == "[builder] > into the dark"
        b.say("exit")
        assert b.close()[0] == 0
        code, _, err = a.close()
        assert code == 0 and err.endswith("Session closed. Keys cleared.\n"), (code, err)


@test("talk: a line that is too long is said to be lost, and the exit code knows")
def too_long():
    with World() as w:
        two(w)
        a, b = meet(w, "--json")
        a.say("x" * 61441, "short")
        a.child.stdin.close()
        a.child.stdin = None
        code, out, err = a.close()
        last = json.loads(out.splitlines()[-1])
        assert code == 4 and last["code"] == "undelivered" and not err, (code, out, err)
        code, out, _ = b.close()
        assert code == 0 and [json.loads(line)["body"] for line in out.splitlines() if '"body"' in line] == ["short"]


@test("talk: who is revoked in the middle is told so, and the other, too")
def revoked():
    with World() as w:
        two(w)
        a, b = meet(w)
        a.told("Session active")
        b.told("Session active")
        w.ctl("revoke", "reviewer", "--yes")
        assert b.child.wait(timeout=world.DEADLINE) == 4, "who is revoked"
        assert "agent is revoked" in b.close()[2]
        assert a.child.wait(timeout=world.DEADLINE) == 4, "who talked to it"
        assert "the session is over: revoked" in a.close()[2]


@test("send --wait replied: prints the answer like recv, marks it done, and says when there is none")
def replied():
    with World() as w:
        two(w)
        asker = w.start("sealpost", "-a", "builder", "send", "reviewer", "which branch?", "--wait", "replied",
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        question = w.json("reviewer", "recv", "--wait", "-t", "30s").one
        w.sp("reviewer", "send", "builder", "something else")
        w.sp("reviewer", "reply", question["id"], "main\n")
        out, err = asker.communicate(timeout=world.DEADLINE)
        assert asker.returncode == 0 and err == b"", (out, err)
        first, header, body, empty = out.decode().split("\n")[:4]
        assert re.fullmatch(ID.pattern + " (stored|delivered)", first) and first.startswith(question["id"]), out
        assert header.startswith("from reviewer   ") and (body, empty) == ("main", ""), out
        assert w.bodies("builder") == ["something else"], "the answer is done, the rest is not"
        none = w.json("builder", "send", "reviewer", "and?", "--wait", "replied", "-t", "900ms", check=5)
        assert none.error["code"] == "timeout" and none.lines[0]["type"] == "outgoing", none
        assert none.error["message"].startswith("no answer within "), none
        assert w.json("builder", "send", "reviewer", "x", "--wait", "read", check=2).error["code"] == "bad_value"


@test("send --wait replied: an answer that another command has taken is the answer all the same")
def replied_elsewhere():
    with World() as w:
        two(w)
        follow = w.start("sealpost", "-a", "builder", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        w.wait_owner("builder")
        asker = w.start("sealpost", "-a", "builder", "send", "reviewer", "which branch?", "--wait", "replied", "--json",
                        stdout=subprocess.PIPE)
        question = w.json("reviewer", "recv", "--wait", "-t", "30s").one
        w.sp("reviewer", "reply", question["id"], "main")
        out, _ = asker.communicate(timeout=world.DEADLINE)
        got = [json.loads(line) for line in out.splitlines()]
        assert asker.returncode == 0 and [o["type"] for o in got] == ["outgoing", "message"], got
        assert got[1]["body"] == "main" and got[1]["reply_to"] == question["id"], got
        assert end(follow) == 0


@test("send --wait replied: a change of owners in the middle loses nothing and doubles nothing")
def replied_handover():
    with World() as w:
        two(w)
        follow = w.start("sealpost", "-a", "builder", "log", "--follow")
        w.wait_owner("builder")
        asker = w.start("sealpost", "-a", "builder", "send", "reviewer", "which branch?", "--wait", "replied", "--json",
                        stdout=subprocess.PIPE)
        question = w.json("reviewer", "recv", "--wait", "-t", "30s").one
        assert end(follow) == 0
        w.sp("reviewer", "reply", question["id"], "main")
        out, _ = asker.communicate(timeout=world.DEADLINE)
        got = [json.loads(line) for line in out.splitlines()]
        assert [o["type"] for o in got] == ["outgoing", "message"] and got[1]["body"] == "main", got
        assert w.bodies("reviewer") == [] and w.bodies("builder") == []


@test("recv --events: receipts, requests, sessions, alarms and the link, as objects of the page")
def events():
    with World() as w:
        two(w)
        w.sp(None, "join", "-", input=w.invite("alice", "--guest") + "\n")
        assert w.sp("builder", "recv", "--events", check=2).err.startswith(b"error: --events needs --json")
        reader = w.start("sealpost", "-a", "builder", "recv", "--follow", "--events", "--json", stdout=subprocess.PIPE)
        seen = []

        def until(what, **fields):
            while True:
                line = reader.stdout.readline().decode()
                obj = json.loads(line)
                objects.check(obj, line)
                seen.append(obj)
                if obj["type"] == what and all(obj[k] == v for k, v in fields.items()):
                    return obj

        assert until("link", state="up")["reason"] is None
        w.sp("builder", "send", "reviewer", "hello")
        until("receipt", state="stored", to="reviewer")
        assert w.bodies("reviewer") == ["hello"]
        until("session", state="active", peer="reviewer")
        until("receipt", state="delivered", to="reviewer")
        w.sp("alice", "send", "builder", "may I?")
        request = until("request", peer="alice", direction="in")
        assert request["text"] is None and request["size"] == 6, request
        w.sp("builder", "accept", "alice")
        until("session", id=request["session"], state="active")
        assert until("message")["body"] == "may I?"
        w.sp("builder", "close", "alice", "--yes")
        until("session", id=request["session"], state="closed")
        w.stop_broker()
        assert until("link", state="down")["broker"].endswith(f":{w.port}")
        assert end(reader) == 0
        assert [o["type"] for o in seen].count("message") == 1, seen
        quiet = w.json("builder", "recv", "--offline")
        assert quiet.lines == [], quiet


@test("status --check: every line is ok in a good world, and the broken part is named in a bad one")
def check():
    with World() as w:
        two(w)
        w.befriend("builder", "reviewer")
        good = w.json("builder", "status", "--check")
        names = ["reach", "broker_key", "clock", "permissions", "store", "prekeys", "certificate", "log", "groups",
                 "round_trip"]
        assert [o["name"] for o in good.lines] == names, good
        assert {o["result"] for o in good.lines} == {"ok"}, good
        text = w.sp("builder", "status", "--check").text.splitlines()
        assert [line.split()[:2] for line in text] == [["ok", name] for name in names], text
        key = os.path.join(w.profile("builder"), "agent.key")
        os.chmod(key, 0o644)
        loose = w.json("builder", "status", "--check", check=1).one
        assert loose["name"] == "permissions" and loose["result"] == "fail" and loose["hint"].startswith("chmod 600 "), loose
        os.chmod(key, 0o600)
        clock = world.Clock(w)
        clock.shift(200)
        off = {o["name"]: o for o in w.json("builder", "status", "--check", env=clock.env, check=1).lines}
        assert off["clock"]["result"] == "fail" and off["clock"]["hint"] == "set the clock", off
        w.stop_broker()
        down = {o["name"]: o["result"] for o in w.json("builder", "status", "--check", check=1).lines}
        assert down["reach"] == "fail" and down["store"] == "ok" and down["round_trip"] == "warn", down
        away = {o["name"]: o["result"] for o in w.json("builder", "status", "--check", "--offline").lines}
        assert away["reach"] == "warn" and "fail" not in away.values(), away
        path = os.path.join(w.profile("builder"), "agent.db")
        with open(path, "r+b") as f:
            f.seek(8192)
            f.write(os.urandom(8192))
        broken = w.json("builder", "status", "--check", "--offline", check=1).lines
        assert any(o["name"] == "store" and o["result"] == "fail" for o in broken), broken


@test("talk: completion knows the new words")
def completion():
    with World() as w:
        two(w)
        w.sp("builder", "peers")
        assert w.run("sealpost", "__complete", "-a", "builder", "communicate", "rev", check=None).text == "reviewer\n"
