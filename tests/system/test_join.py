"""Joining, interrupted and observed."""
import json
import os
import random
import signal
import subprocess
import time

from world import Silence, World, end, test, wait_until


def identity(w, agent):
    path = os.path.join(w.profile(agent), "identity")
    return json.load(open(path)) if os.path.exists(path) else None


@test("join killed anywhere: the same join again finishes with the same keys")
def killed():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with World() as w:
        w.init_broker()
        w.start_broker()
        for i in range(8):
            invite, name, known = w.invite(f"a{i}"), f"a{i}", None
            for _ in range(12):
                child = w.start("sealpost", "join", invite)
                time.sleep(chance.random() * 0.08)  # where it strikes is left to chance
                child.kill()
                child.wait()
                now = identity(w, name)
                assert known is None or now["fingerprint"] == known, "the keys have changed"
                known = now and now["fingerprint"]
            joined = w.json(None, "join", "-", input=invite).one
            assert joined["state"] == "active" and joined["fingerprint"] == (known or joined["fingerprint"])
            assert w.json(name, "whoami").one["fingerprint"] == joined["fingerprint"]
        assert len(w.json("a0", "peers").lines) == 7


@test("join killed at its crash points (of a test build)")
def crash_points():
    with World() as w:
        w.init_broker()
        w.start_broker()
        for i, point in enumerate(("join.keys", "join.enrolled", "join.credential")):
            invite = w.invite(f"c{i}")
            w.sp(None, "join", "-", input=invite, env={"SEALPOST_CRASH_AT": f"{point}:1"}, check=None)
            assert w.json(None, "join", "-", input=invite).one["state"] == "active", point


@test("an invite given as an argument leaves argv at once")
def argv():
    with World() as w:
        w.init_broker()
        w.start_broker()
        invite = w.invite("builder")
        w.kill_broker()
        with Silence(w.port):
            child = w.start("sealpost", "join", invite, "-t", "20s")
            secret = invite.split("#")[1].encode()

            def cleared():
                with open(f"/proc/{child.pid}/cmdline", "rb") as f:
                    line = f.read()
                return b"***" in line and secret not in line
            wait_until(cleared, "the argument is overwritten")
            assert end(child, signal.SIGINT) in (-2, 130)


@test("join --wait stays until the operator has approved")
def wait_for_approval():
    with World() as w:
        w.init_broker()
        w.start_broker()
        child = w.start("sealpost", "join", w.invite("late", "--approve"), "--wait", "-t", "50s", "--json",
                        stdout=subprocess.PIPE)
        wait_until(lambda: [a["name"] for a in w.ctl("agents", "--pending", "--json").lines] == ["late"], "it waits")
        w.ctl("agents", "--approve", "late", "--yes")
        out = child.stdout.read().decode()
        assert child.wait(timeout=60) == 0 and '"state":"active"' in out, out
