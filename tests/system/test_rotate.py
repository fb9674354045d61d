"""New keys for sessions and for an agent, profiles that were put back, and the end of an agent."""
import os
import shutil
import subprocess

from world import DEADLINE, World, end, sent, test, wait_until


def pair(w):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")
    w.befriend("builder", "reviewer")


@test("rotate: PEER has a new session at once if both are there; mail goes on in it")
def rotate_peer():
    with World() as w:
        pair(w)
        old = w.json("builder", "sessions").one["id"]
        owner = w.start("sealpost", "-a", "reviewer", "recv", "--follow", stdout=subprocess.PIPE)
        w.wait_owner("reviewer")
        new = w.json("builder", "rotate", "reviewer").one
        assert new["state"] == "active" and new["peer"] == "reviewer" and new["id"] != old, new
        assert [s["id"] for s in w.json("builder", "sessions").of("session")] == [new["id"]]
        ended = [s for s in w.json("reviewer", "sessions", "--all").of("session") if s["id"] == old]
        assert ended[0]["state"] == "rotated" and ended[0]["reason"] == "rotated", ended
        w.sp("builder", "send", "reviewer", "in the new one", "--wait", "delivered")
        assert owner.stdout.readline() and end(owner) == 0
        assert w.json("builder", "rotate", "nobody", check=6).error["code"] == "unknown_agent"
        assert w.json("builder", "rotate", check=2).error["code"] == "usage"
        assert w.json("builder", "rotate", "reviewer", "--keys", check=2).error["code"] == "usage"
        w.join("tester")
        w.sp("builder", "peers")
        assert w.json("builder", "rotate", "tester", check=6).error["code"] == "no_session"


@test("rotate: a peer who is away agrees when it is back; until then the old session goes on")
def rotate_away():
    with World() as w:
        pair(w)
        old = w.json("builder", "sessions").one["id"]
        still = w.sp("builder", "rotate", "reviewer", "-t", "1s")
        assert still.text.split() == ["reviewer", old, "active"], still
        assert b"has not agreed yet" in still.err, still
        w.sp("builder", "send", "reviewer", "meanwhile")
        assert w.bodies("reviewer") == ["meanwhile"]
        w.sp("builder", "recv")
        assert w.json("builder", "sessions").one["id"] != old
        w.sp("builder", "send", "reviewer", "later")
        assert w.bodies("reviewer") == ["later"]


@test("rotate: --keys makes a new card under the same identity, and everything goes on")
def rotate_keys():
    with World() as w:
        pair(w)
        before = w.json("builder", "whoami", "--full").one
        after = w.json("builder", "rotate", "--keys").one
        assert after["card"]["gen"] == before["card"]["gen"] + 1, after
        assert after["fingerprint"] == before["fingerprint"] and after["aid"] == before["aid"], after
        message, _ = sent(w.sp("builder", "send", "reviewer", "hello"))
        assert w.bodies("reviewer") == ["hello"]
        w.sp("builder", "recv")
        assert w.json("builder", "trace", message).one["state"] == "delivered"
        w.join("tester")
        w.sp("tester", "send", "builder", "to the new keys")
        assert w.bodies("builder") == ["to the new keys"]
        assert w.json("tester", "peers", "builder").one["card"]["gen"] == before["card"]["gen"] + 1
        assert [e["event"] for e in w.json("tester", "log").of("log_entry")].count("card") == 1


@test("rotate: --all ends profile_restored: the copy is the only one from now on")
def rotate_all():
    with World() as w:
        pair(w)
        copy = os.path.join(w.root, "copy")
        shutil.copytree(w.profile("builder"), copy)
        for i in range(3):
            w.sp("builder", "send", "reviewer", f"{i}")
        assert w.bodies("reviewer") == ["0", "1", "2"]
        w.sp("reviewer", "send", "builder", "for whoever has it")
        shutil.rmtree(w.profile("builder"))
        shutil.copytree(copy, w.profile("builder"))
        assert w.json("builder", "recv", check=7).error["code"] == "profile_restored"
        assert w.json("builder", "rotate", "reviewer", check=7).error["code"] == "profile_restored"
        assert w.json("builder", "rotate", "--keys", check=7).error["code"] == "profile_restored"
        for verb in ("accept", "reject"):
            told = w.sp("builder", verb, "reviewer", check=None).err
            assert b"by itself" not in told and b"sealpost rotate --all" in told, told
        w.sp("builder", "rotate", "--all", "-t", "2s")
        w.sp("reviewer", "recv")
        assert w.json("builder", "status").one["problems"] == []
        message, _ = sent(w.sp("builder", "send", "reviewer", "again"))
        wait_until(lambda: w.bodies("reviewer") == ["again"], "mail goes on")
        w.sp("builder", "recv")
        assert w.json("builder", "trace", message).one["state"] == "delivered"
        w.sp("reviewer", "send", "builder", "and back")
        wait_until(lambda: "and back" in w.bodies("builder"), "both ways")


@test("leave: ends the agent for good; with messages on the way only with --yes")
def leave():
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "on its way")
        needs = w.sp("builder", "leave", check=2)
        assert b"--yes" in needs.err, needs
        assert w.bodies("reviewer") == ["on its way"]
        w.sp("builder", "recv")
        left = w.json("builder", "leave", "--yes").one
        assert left["agent"] == "builder" and left["erased"] is False, left
        assert w.json("builder", "leave", "--yes").one["agent"] == "builder", "said twice"
        status = w.json("builder", "status").one
        assert [p["code"] for p in status["problems"]] == ["revoked"] and status["problems"][0]["hint"], status
        checked = w.json("builder", "status", "--check", check=1)
        found = {c["name"]: c for c in checked.of("check")}
        assert found["reach"]["result"] == "warn" and "has left" in found["reach"]["detail"], checked
        assert found["certificate"]["result"] == "fail" and checked.took < 4, checked
        assert w.json("builder", "send", "reviewer", "x", check=4).error["code"] == "revoked"
        w.sp("reviewer", "recv")
        assert w.json("reviewer", "peers", "builder").one["trust"] == "revoked"
        assert w.json("reviewer", "sessions", "--all").of("session")[0]["state"] == "closed"


@test("leave: --erase leaves nothing on this disk")
def leave_erase():
    with World() as w:
        pair(w)
        w.sp("builder", "config", "ttl=1h")
        left = w.json("builder", "leave", "--erase", "--yes").one
        assert left["erased"] is True, left
        assert not os.path.exists(w.profile("builder"))
        w.sp("reviewer", "recv")
        assert w.json("reviewer", "peers", "builder").one["trust"] == "revoked"
        w.stop_broker()
        gone = w.json("reviewer", "leave", "--erase", "--yes", "-t", "2s", check=3)
        assert gone.error["code"] == "broker_unreachable", gone
        assert os.path.exists(w.profile("reviewer")), "nothing is erased that was not ended"


@test("leave: who has left is told so at once, whatever waits or talks")
def left_for_good():
    with World() as w:
        pair(w)
        w.sp("builder", "leave", "--yes")
        assert w.json("builder", "recv", "--wait", check=4).error["code"] == "revoked"
        assert "revoked" in [p["code"] for p in w.json("builder", "status").one["problems"]]
        assert w.json("builder", "communicate", "reviewer", check=4).error["code"] == "revoked"


@test("leave: --erase says that all is erased when it is, though another command serves the profile")
def leave_served():
    with World() as w:
        pair(w)
        follower = w.start("sealpost", "-a", "builder", "recv", "--follow")
        w.wait_owner("builder")
        left = w.sp("builder", "leave", "--erase", "--yes")
        assert left.text == "builder has left; its keys and mail are erased.\n", left
        assert not os.path.exists(w.profile("builder"))
        assert follower.wait(timeout=DEADLINE) == 4
