"""The walk-throughs of docs/cli.md, section 9."""
import subprocess

from world import World, end, sent, test, wait_until


@test("walk 9.1: one machine, five minutes")
def one_machine():
    with World() as w:
        w.init_broker()
        w.start_broker()
        for name in ("builder", "reviewer"):
            url = w.invite(name)
            joined = w.sp(None, "join", "-", input=url + "\n")
            assert joined.text.splitlines()[-1] == f"joined; next: sealpost -a {name} peers", joined
        said = "please look at src/queue.c"
        message, state = sent(w.sp("builder", "send", "reviewer", said))
        assert state == "stored", state
        got = w.json("reviewer", "recv").one
        assert got["id"] == message and got["body"] == said and got["from"] == "builder", got
        assert got["thread"] == message and got["reply_to"] is None and got["state"] == "handed" or "done", got
        assert got["trust"] == "pinned" and got["first_contact"] and not got["again"], got
        answer, state = sent(w.sp("reviewer", "reply", message[:4], "done, two remarks"))
        assert state in ("stored", "delivered"), state
        text = w.sp("builder", "recv").text
        assert text.startswith("from reviewer   ") and text.splitlines()[0].endswith(answer), text
        assert text.splitlines()[1:] == ["done, two remarks", ""], text
        traced = w.json("builder", "trace", message[:8]).one
        assert traced["state"] == "delivered" and traced["direction"] == "out", traced
        assert [s["state"] for s in traced["steps"]] == ["queued", "stored", "delivered"], traced
        assert [s["by"] for s in traced["steps"]] == ["agent", "broker", "recipient"], traced
        assert w.json("builder", "trace", answer).one["reply_to"] == message
        assert "reviewer signed for it" in w.sp("builder", "trace", message).text


@test("walk 9.2: two machines, the sender waits for delivery")
def two_machines():
    with World() as w:
        w.run("sealpostd", "init", "--listen", f"tcp://*:{w.port}", "--public", f"localhost:{w.port}")
        w.start_broker()
        w.join("laptop", "gpu1")
        sender = w.start("sealpost", "-a", "laptop", "send", "gpu1", "-", "--wait", "delivered", "-t", "10m",
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        sender.stdin.write(b"Please run the tests of branch fix-queue.\n")
        sender.stdin.close()
        got = w.json("gpu1", "recv", "--wait", "-t", "60s").one
        assert got["body"] == "Please run the tests of branch fix-queue.\n", got
        out = sender.stdout.read().decode()
        assert sender.wait(timeout=60) == 0
        assert out == f"{got['id']} delivered\n", out


@test("walk 9.4: recv --wait wakes an AI agent")
def wake():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        waiting = w.start("sealpost", "-a", "reviewer", "recv", "--wait", "--json", "-t", "10m",
                          stdout=subprocess.PIPE)
        w.wait_owner("reviewer")
        w.sp("builder", "send", "reviewer", "wake up")
        out = waiting.stdout.read().decode()
        assert waiting.wait(timeout=60) == 0
        assert '"body":"wake up"' in out, out
        nothing = w.json("reviewer", "recv", "--wait", "-t", "700ms", check=5)
        assert nothing.error["code"] == "nothing_received", nothing


@test("walk 9.5: broker down, both arrive in order, once")
def broker_down():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        w.sp("builder", "send", "reviewer", "hello")
        assert w.bodies("reviewer") == ["hello"]
        w.sp("builder", "outbox", "--flush")
        w.stop_broker()
        first = w.sp("builder", "send", "reviewer", "while you were out")
        assert sent(first)[1] == "queued" and first.took < 2.5, first
        assert b"does not answer" in first.err, first
        second = w.sp("builder", "send", "reviewer", "again", "--wait", "stored", "-t", "2s", check=3)
        assert sent(second)[1] == "queued" and second.err.startswith(b"error: "), second
        assert 1.9 < second.took < 10, second
        w.start_broker()
        w.sp("builder", "outbox", "--flush")
        assert [o["state"] for o in w.json("builder", "outbox").lines] == ["stored", "stored"]
        assert w.bodies("reviewer") == ["while you were out", "again"]
        assert w.bodies("reviewer") == []


@test("walk 9.7: sqlite3 -readonly, running and stopped")
def look_inside():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        secret = "the quick brown fox is nobody's business"
        w.sp("builder", "send", "reviewer", secret)
        for _ in ("running", "stopped"):
            assert any("reviewer" in line for line in w.sql("select * from v_queues order by oldest_s desc"))
            frames = w.sql("select * from v_frames where \"to\" = 'reviewer' limit 20")
            assert len(frames) == 1 and "builder" in frames[0], frames
            assert w.sql("select * from v_health")
            if w.broker.poll() is None:
                w.stop_broker()
        everything = subprocess.run(["grep", "-raF", secret, w.broker_dir], capture_output=True)
        assert everything.returncode == 1, everything.stdout[:200]


@test("recv --follow ends in order, and lives through a restart of the broker")
def follow():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        reader = w.start("sealpost", "-a", "reviewer", "recv", "--follow", "--json", stdout=subprocess.PIPE)
        w.wait_owner("reviewer")
        w.sp("builder", "send", "reviewer", "one")
        assert b'"body":"one"' in reader.stdout.readline()
        w.kill_broker()
        w.start_broker()
        w.sp("builder", "send", "reviewer", "two", "--wait", "stored")
        assert b'"body":"two"' in reader.stdout.readline()
        assert end(reader) == 0
        assert reader.stdout.read() == b""


@test("signals end a waiting command with 128 + n")
def signals():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder")
        for number, code in ((2, 130), (15, 143)):
            waiting = w.start("sealpost", "-a", "builder", "recv", "--wait", stdout=subprocess.PIPE)
            w.wait_owner("builder")
            assert end(waiting, number) == code
            wait_until(lambda: w.json("builder", "status").one["owner"] is None, "the owner has gone")
