"""Verbs of mail: bodies, threads, lists, waits."""
import os

from world import World, sent, test, wait_until


def pair(w):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")


@test("bodies come out as they went in")
def bodies():
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        cases = {
            "text": ("héllo wörld".encode(), "text/plain"),
            "lines": (b"a\nb\n\n", "text/plain"),
            "control": (b"\x1b[31mred\x07 \xe2\x80\xae", "text/plain"),
            "binary": (bytes(range(256)), "application/octet-stream"),
            "nul": (b"a\0b", "text/plain"),
            "one": (b"x", "text/plain"),
            "largest": (b"y" * 61440, "text/plain"),
        }
        for name, (body, media_type) in cases.items():
            w.sp("builder", "send", "reviewer", "-", input=body)
        wait_until(lambda: len(w.json("reviewer", "inbox").of("header")) == len(cases), "all came")
        for name, (body, media_type) in cases.items():
            header = w.json("reviewer", "inbox").of("header")[0]
            assert header["size"] == len(body) and header["media_type"] == media_type, (name, header)
            text = w.sp("reviewer", "show", header["id"]).out
            assert b"\x1b" not in text and b"\xe2\x80\xae" not in text, name
            assert w.sp("reviewer", "recv", "-n", "1", "--raw").out == body, name


@test("a thread is one chain, seen from both sides")
def thread():
    with World() as w:
        pair(w)
        first, _ = sent(w.sp("builder", "send", "reviewer", "question"))
        w.fetch("reviewer")
        second = w.json("reviewer", "reply", first, "answer").one
        assert second["thread"] == first and second["reply_to"] == first, second
        got = w.fetch("builder", "--wait", "-t", "20s")[0]
        assert got["thread"] == first and got["reply_to"] == first, got
        third = w.json("builder", "send", "reviewer", "thanks", "--reply-to", second["id"]).one
        assert third["thread"] == first
        lines = w.json("builder", "show", second["id"], "--thread").lines
        assert [o["body"] for o in lines] == ["question", "answer", "thanks"], lines
        assert [o["type"] for o in lines] == ["outgoing", "message", "outgoing"], lines


@test("--from takes only that sender's mail; -n stops in time")
def filters():
    with World() as w:
        pair(w)
        w.join("tester")
        w.sp("builder", "send", "reviewer", "b1")
        w.sp("tester", "send", "reviewer", "t1")
        w.sp("tester", "send", "reviewer", "t2")
        w.sp("tester", "outbox", "--flush")
        wait_until(lambda: len(w.json("reviewer", "inbox").of("header")) >= 2, "both knock")
        w.sp("tester", "outbox", "--flush")
        wait_until(lambda: len(w.json("reviewer", "inbox").of("header")) == 3, "all three")
        assert [h["from"] for h in w.json("reviewer", "inbox", "--from", "builder").lines] == ["builder"]
        assert w.bodies("reviewer", "--from", "tester", "-n", "1") == ["t1"]
        assert w.bodies("reviewer", "--from", "builder", "--from", "tester") in (["b1", "t2"], ["t2", "b1"])
        fingerprint = w.json("tester", "whoami").one["fingerprint"]
        w.sp("tester", "send", "reviewer", "t3")
        assert w.bodies("reviewer", "--wait", "-t", "20s", "--from", "id:" + fingerprint) == ["t3"]


@test("send --wait queued and --offline do not touch the network")
def offline():
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "first contact")
        assert w.bodies("reviewer") == ["first contact"]
        for flags in (["--wait", "queued"], ["--offline"]):
            assert sent(w.sp("builder", "send", "reviewer", "later", *flags))[1] == "queued"
        assert len(w.json("builder", "outbox").of("outgoing")) >= 2
        assert w.bodies("reviewer") == []
        w.sp("builder", "outbox", "--flush")
        assert w.bodies("reviewer") == ["later", "later"]
        assert [p["name"] for p in w.json("builder", "peers", "--offline").lines] == ["reviewer"]
        assert w.json("builder", "status", "--offline").one["connected"] is False


@test("silence of the broker costs what --timeout says, refusal less than a second or two")
def patience():
    from world import Silence
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "first contact")
        w.bodies("reviewer")
        w.stop_broker()
        refused = w.sp("builder", "send", "reviewer", "x")
        assert sent(refused)[1] == "queued" and refused.took < 2.5, refused
        assert w.json("reviewer", "recv", check=3).error["code"] == "broker_unreachable"
        with Silence(w.port):
            silent = w.sp("builder", "send", "reviewer", "y")
            assert sent(silent)[1] == "queued" and 4.5 < silent.took < 9, silent
            short = w.sp("builder", "send", "reviewer", "z", "-t", "500ms")
            assert sent(short)[1] == "queued" and short.took < 3, short


@test("contact by circle: others are held and counted, and nothing wakes")
def consent():
    with World() as w:
        pair(w)
        w.sp(None, "join", "-", input=w.invite("alice", "--guest"))
        alice = w.sp("alice", "send", "reviewer", "may I ask?")
        message, state = sent(alice)
        assert state == "stored" and b"has not accepted contact yet" in alice.err, alice
        assert w.bodies("reviewer") == []
        assert w.json("reviewer", "status").one["held"] == 1
        assert b"1 request waits" in w.sp("reviewer", "inbox").err
        second = w.json("alice", "send", "reviewer", "hello?").one
        assert second["state"] == "queued" and second["waits_for"] == "consent", second
        assert w.json("alice", "trace", message).one["waits_for"] == "consent"
        assert w.json("reviewer", "recv", "--wait", "-t", "1s", check=5).error["code"] == "nothing_received"
        w.sp("builder", "config", "consent=any")
        w.sp("alice", "send", "builder", "and you?")
        assert w.bodies("builder", "--wait", "-t", "20s") == ["and you?"]


@test("config: values, sources, and one line changed while all others stay")
def config():
    with World() as w:
        pair(w)
        settings = {s["key"]: s for s in w.json("builder", "config").lines}
        assert settings["consent"]["value"] == "circle" and settings["consent"]["source"] == "default"
        assert settings["broker"]["value"] == f"127.0.0.1:{w.port}", settings["broker"]
        assert settings["ttl"]["value"] == "7d" and settings["dead.keep"]["value"] == "30d"
        path = os.path.join(w.profile("builder"), "agent.conf")
        changed = w.json("builder", "config", "ttl=2h").one
        assert changed["value"] == "2h" and changed["source"] == "file" and changed["default"] == "7d"
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write("#   kept\n" + text)
        w.sp("builder", "config", "card.description=looks at # queues")
        w.sp("builder", "config", "ttl=")
        with open(path) as f:
            text = f.read()
        assert "#   kept\n" in text and "ttl" not in text, text
        assert w.json("builder", "config", "card.description").one["value"] == "looks at # queues"
        w.sp("builder", "status")
        card = wait_until(lambda: w.json("reviewer", "peers", "builder").one["card"], "the card")
        wait_until(lambda: w.json("reviewer", "peers", "builder").one["card"]["description"] == "looks at # queues",
                   "the new card")
        assert w.json("builder", "whoami", "--full").one["card"]["gen"] == card["gen"] + 1 or card["gen"] > 1


@test("peers, whoami, status, help, version, completion")
def about():
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "hi")
        peer = w.json("builder", "peers", "reviewer").one
        assert peer["circles"] == ["home"] and peer["trust"] in ("pinned", "new"), peer
        assert w.json("builder", "peers", "rev*").one["name"] == "reviewer"
        assert w.json("builder", "peers", "x*").lines == []
        who = w.json("builder", "whoami").one
        assert who["broker_name"] == w.ctl("status", "--json").one["name"]
        assert who["state"] == "active" and who["broker"] == f"127.0.0.1:{w.port}", who
        both = w.sp(None, "whoami", "--all").text.splitlines()
        assert [b.split()[0] for b in both] == ["builder", "reviewer"]
        assert both[0] == f"builder {who['fingerprint']}"
        assert len(w.json(None, "whoami", "--all").lines) == 2
        status = w.json("builder", "status").one
        assert status["connected"] and status["log_index"] == 2 and status["owner"] is None, status
        assert w.sp(None, "-V").text == "sealpost 0.1.0 (protocol a2a/1)\n"
        assert w.json(None, "version").one["protocol"] == "a2a/1"
        names = {c["name"] for c in w.json(None, "help").lines}
        assert {"join", "whoami", "config", "send", "reply", "recv", "inbox", "show", "ack", "trace", "outbox",
                "peers", "status", "help", "version", "completion", "verify", "request", "requests", "accept", "reject",
                "sessions", "close", "rotate", "leave", "log", "communicate", "group"} == names, names
        for name in names:
            text = w.sp(None, "help", name).text
            assert len(text.splitlines()) <= 60 and max(map(len, text.splitlines())) <= 80, name
            assert w.sp(None, name, "--help").text == text
        for shell in ("bash", "zsh", "fish"):
            assert w.sp(None, "completion", shell).text
        assert w.sp(None, "__complete", "--", "-a", "builder", "send", "rev").text == "reviewer\n"
        assert w.sp(None, "__complete", "--", "-a", "bu").text == "builder\n"
        assert w.sp(None, "__complete", "--", "-a", "none", "send", "rev", check=0).out == b""


@test(".sealpost chooses the profile, unless others could have written it")
def pointer():
    with World() as w:
        pair(w)
        deep = os.path.join(w.work, "a", "b")
        os.makedirs(deep)
        path = os.path.join(w.work, ".sealpost")
        with open(path, "w") as f:
            f.write("# here lives\n\nreviewer\n")
        os.chmod(path, 0o644)
        assert w.run("sealpost", "whoami", "--json", cwd=deep).one["agent"] == "reviewer"
        assert w.run("sealpost", "whoami", "--json", env={"SEALPOST_AGENT": "builder"}).one["agent"] == "builder"
        os.chmod(path, 0o666)
        loose = w.run("sealpost", "whoami", check=6)
        assert b"note: " in loose.err and b"ignored" in loose.err and b"builder reviewer" in loose.err, loose
