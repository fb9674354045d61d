"""One owner, many commands: nobody notices who owns the profile, and nothing is lost when that changes."""
import json
import signal
import subprocess

from world import World, end, sent, test, wait_until


def pair(w):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")


@test("commands work through recv --follow, unnoticed")
def through_an_owner():
    with World() as w:
        pair(w)
        reader = w.start("sealpost", "-a", "builder", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        w.wait_owner("builder")
        message, state = sent(w.sp("builder", "send", "reviewer", "through the owner"))
        assert state == "stored"
        assert w.json("builder", "whoami").one["agent"] == "builder"
        status = w.json("builder", "status").one
        assert status["connected"] and status["owner"]["pid"] == reader.pid, status
        assert status["owner"]["command"] == "recv --follow", status
        assert w.bodies("reviewer") == ["through the owner"]
        wait_until(lambda: w.json("builder", "trace", message).one["state"] == "delivered", "receipt")
        w.sp("reviewer", "send", "builder", "for whoever asked first")
        assert b"for whoever asked first" in reader.stdout.readline()
        assert w.fetch("builder") == []
        assert [p["name"] for p in w.json("builder", "peers").lines] == ["reviewer"]
        headers = w.json("builder", "inbox", "--all").of("header")
        assert [h["state"] for h in headers] == ["done"], headers
        assert w.json("builder", "send", "nobody", "x", check=6).error["code"] == "unknown_agent"
        assert end(reader) == 0


@test("T20_two_at_once: of two recv each message goes to one of them, the first that asked")
def two_readers():
    with World() as w:
        pair(w)
        first = w.start("sealpost", "-a", "reviewer", "recv", "--wait", "-n", "1", "--json", stdout=subprocess.PIPE)
        w.wait_owner("reviewer")
        second = w.start("sealpost", "-a", "reviewer", "recv", "--wait", "-n", "1", "--json", stdout=subprocess.PIPE)
        with open(f"/proc/{second.pid}/comm"):
            pass
        w.sp("builder", "send", "reviewer", "1")
        w.sp("builder", "send", "reviewer", "2")
        got = sorted([first.stdout.read(), second.stdout.read()])
        assert first.wait() == 0 and second.wait() == 0
        assert b'"body":"1"' in got[0] + got[1] and b'"body":"2"' in got[0] + got[1], got
        assert all(g.count(b"\n") == 1 for g in got), got


def hand_over(number, code):
    with World() as w:
        pair(w)
        owner = w.start("sealpost", "-a", "reviewer", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        w.wait_owner("reviewer")
        served = w.start("sealpost", "-a", "reviewer", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        waiting = w.start("sealpost", "-a", "reviewer", "send", "builder", "and back", "--wait", "delivered",
                          "-t", "60s", stdout=subprocess.PIPE)
        w.sp("builder", "send", "reviewer", "zero")
        assert b'"zero"' in owner.stdout.readline()
        owner.send_signal(number)
        assert owner.wait(timeout=60) in code
        for i in range(20):
            w.sp("builder", "send", "reviewer", f"m{i}")
        got = []
        while len(got) < 20:
            message = json.loads(served.stdout.readline())
            if message["body"] != "zero" or not message["again"]:  # printed, killed before that was noted
                got.append(message)
        bodies = [m["body"] for m in got]
        assert bodies == [f"m{i}" for i in range(20)], bodies
        assert w.bodies("builder", "--wait", "-t", "30s") == ["and back"]
        assert waiting.wait(timeout=60) == 0
        assert waiting.stdout.read().split()[1] == b"delivered"
        assert end(served) == 0 and served.stdout.read() == b""
        assert w.bodies("builder") == [] and w.bodies("reviewer") == []


@test("an owner that ends hands over")
def hand_over_in_order():
    hand_over(signal.SIGTERM, (0,))


@test("T20_killed_owner: the commands it served go on")
def hand_over_killed():
    hand_over(signal.SIGKILL, (0, -9))


@test("a send that is asked for again by a hand-over is one message")
def no_double_send():
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        reader = w.start("sealpost", "-a", "builder", "recv", "--wait", stdout=subprocess.PIPE)
        w.wait_owner("builder")
        owner = w.owner("builder")
        message = "ab" * 16
        for _ in range(3):
            assert owner.send("reviewer", "once", message)[-1]["end"] == 0
        owner.close()
        end(reader)
        w.sp("builder", "outbox", "--flush")
        assert w.bodies("reviewer") == ["once"]


@test("many commands at once: each gets its turn")
def crowd():
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        crowd = [w.start("sealpost", "-a", "builder", "send", "reviewer", f"c{i}", stdout=subprocess.PIPE)
                 for i in range(12)]
        for child in crowd:
            assert child.wait(timeout=60) == 0, child.args
        w.sp("builder", "outbox", "--flush")
        got = []
        wait_until(lambda: got.extend(w.bodies("reviewer")) or len(got) >= 12, "all twelve arrive")
        assert sorted(got) == sorted(f"c{i}" for i in range(12)), got


@test("SIGHUP makes an owner read agent.conf again")
def reload():
    with World() as w:
        pair(w)
        reader = w.start("sealpost", "-a", "reviewer", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        w.wait_owner("reviewer")
        w.sp("reviewer", "config", "consent=ask")
        reader.send_signal(signal.SIGHUP)
        owner = w.owner("reviewer")
        assert owner.call("reload")[-1]["end"] == 0  # answered after the signal's, in order
        owner.close()
        message, state = sent(w.sp("builder", "send", "reviewer", "may I?"))
        assert state == "stored"
        wait_until(lambda: w.json("reviewer", "status").one["held"] == 1, "the request is held")
        assert w.json("builder", "trace", message).one["waits_for"] == "consent"
        assert end(reader) == 0 and reader.stdout.read() == b""


@test("--no-ack gives each once in a run, and again in the next")
def no_ack():
    with World() as w:
        pair(w)
        w.befriend("builder", "reviewer")
        for i in range(3):
            w.sp("builder", "send", "reviewer", f"{i}", "--wait", "stored")
        first = w.fetch("reviewer", "-n", "2", "--no-ack")
        assert [(m["body"], m["again"]) for m in first] == [("0", False), ("1", False)], first
        again = w.fetch("reviewer", "--no-ack")
        assert [(m["body"], m["again"]) for m in again] == [("0", True), ("1", True), ("2", False)], again
        acked = w.json("reviewer", "ack", *[m["id"] for m in again]).lines
        assert [a["state"] for a in acked] == ["done"] * 3
        assert w.fetch("reviewer") == []
        assert w.json("reviewer", "ack", "--new", again[1]["id"]).one["state"] == "new"
        assert w.bodies("reviewer") == ["1"]


@test("a message that nobody could read is not done")
def closed_output():
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "precious")
        reader = w.start("sealpost", "-a", "reviewer", "recv", "--wait", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        reader.stdout.close()
        assert reader.wait(timeout=60) == 1
        assert reader.stderr.read() == b""
        got = w.fetch("reviewer")
        assert [m["body"] for m in got] == ["precious"] and got[0]["again"], got


@test("nonsense on agent.sock harms nobody")
def nonsense():
    with World() as w:
        pair(w)
        reader = w.start("sealpost", "-a", "reviewer", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        w.wait_owner("reviewer")
        for garbage in ("", "\n", "hello\n", "[]\n", "{}\n", '{"call":"nothing"}\n', '{"call":"send"}\n',
                        '{"call":"recv","params":{"from":[1]}}\n', '{"took":"zz"}\n', '{"finish":true}\n',
                        '{"call":"show","params":{"id":7}}\n', '{"call":"ack","params":{"ids":[null]}}\n',
                        '{"call":"peers","params":[]}\n', "x" * 5_000_000):
            owner = w.owner("reviewer")
            try:
                owner.file.write(garbage)
                owner.file.flush()
            except OSError:
                pass  # it hung up, as it may
            owner.abandon()
        w.sp("builder", "send", "reviewer", "unharmed")
        assert b'"unharmed"' in reader.stdout.readline()
        assert end(reader) == 0
