"""The end of an agent: revoked while it is connected, while it is not, with mail on both ways; and its return."""
import os
import subprocess

from world import DEADLINE, World, sent, test, wait_until


def trio(w):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")


def revoke(w, name, *args):
    row = w.ctl("revoke", name, "--yes", "--json", *args).one
    assert row["type"] == "agent" and row["name"] == name and row["state"] == "revoked", row
    assert row["online"] is False and row["prekeys"] == 0, row
    return row


def follower(w, agent):
    """A command that stays and is connected."""
    child = w.start("sealpost", "-a", agent, "recv", "--follow", "--json", stdout=subprocess.PIPE)
    w.wait_owner(agent)
    wait_until(lambda: w.ctl("agents", agent, "--json").one["online"], "it is connected")
    return child


def state_of(w, agent, message):
    return w.json(agent, "trace", message).lines[-1]["state"]


@test("revoke: asks, says whom, and refuses what makes no sense")
def asks():
    with World() as w:
        trio(w)
        fingerprint = w.json("builder", "whoami").one["fingerprint"]
        assert w.ctl("revoke", "builder", "--json", check=2).error["code"] == "needs_yes"
        for args, code, name in ((["nobody"], 6, "unknown_agent"), (["builder", "--reason", "left"], 2, "bad_value"),
                                 (["builder", "--note", "x" * 300], 2, "bad_value"), ([], 2, "usage")):
            assert w.ctl("revoke", *args, "--yes", "--json", check=code).error["code"] == name, args
        assert w.json("builder", "status").one["connected"] is True
        assert revoke(w, "builder", "--reason", "lost", "--note", "on a bus")["fingerprint"] == fingerprint
        assert w.ctl("revoke", "builder", "--yes", "--json", check=4).error["code"] == "revoked"
        assert w.sql("SELECT act, about, detail FROM v_audit WHERE act LIKE 'agent.revoke'") \
            == ["agent.revoke|builder|lost: on a bus"]
        assert w.sql("SELECT state FROM v_agents WHERE name = 'builder'") == ["revoked"]
        assert w.sql("SELECT type FROM log ORDER BY idx DESC LIMIT 1") == ["3"]


@test("revoke: a connected agent is put out at once, and told")
def connected():
    with World() as w:
        trio(w)
        w.befriend("builder", "reviewer")
        child = follower(w, "builder")
        witness = follower(w, "reviewer")
        revoke(w, "builder", "--reason", "stolen")
        out, _ = child.communicate(timeout=DEADLINE)
        assert child.returncode == 4, child.returncode
        assert b'"code":"revoked"' in out and b'"wire":"A2A_CERT_REVOKED"' in out, out
        # and remembers, although the door is only shut from now on
        found = w.json("builder", "send", "reviewer", "x", check=4).lines[-1]
        assert found["code"] == "revoked", found
        assert "revoked" in [p["code"] for p in w.json("builder", "status").one["problems"]]
        # whoever is connected hears of it by itself
        wait_until(lambda: w.json("reviewer", "peers", "builder").one["trust"] == "revoked", "the witness has heard")
        assert witness.poll() is None
        assert w.sql("SELECT state FROM v_sessions") == ["expired"]
        log = open(os.path.join(w.root, "broker.log")).read()
        assert "event=revoked agent=builder reason=stolen" in log, log


@test("revoke: an agent that was away finds the door shut")
def away():
    with World() as w:
        trio(w)
        w.befriend("builder", "reviewer")
        revoke(w, "builder")
        found = w.json("builder", "send", "reviewer", "x", check=4).lines[-1]
        assert found["code"] == "not_joined", found  # nobody has told it why
        assert w.bodies("reviewer") == []
        assert w.json("builder", "status").one["connected"] is False
        assert w.json("reviewer", "send", "builder", "x", check=4).error["code"] == "refused"
        assert w.json("reviewer", "peers", "builder").one["trust"] == "revoked"
        assert w.sql("SELECT count(*) FROM v_sessions WHERE state <> 'expired'") == ["0"]


@test("revoke: mail on both ways ends, and everybody can see how")
def mail():
    with World() as w:
        trio(w)
        w.befriend("builder", "reviewer")
        waiting = [sent(w.sp("reviewer", "send", "builder", f"waits {i}"))[0] for i in range(2)]
        before = w.sql("SELECT count(*) FROM v_frames WHERE kind = 'data' AND \"to\" = 'builder'")
        assert before == ["2"], before
        revoke(w, "builder")
        dead = w.sql("SELECT reason, \"from\", \"to\" FROM v_dead")
        assert dead.count("recipient revoked|reviewer|builder") == 2, dead
        assert w.sql("SELECT DISTINCT state FROM v_frames WHERE kind = 'data'") == ["tombstone"]
        for message in waiting:
            wait_until(lambda: state_of(w, "reviewer", message) == "refused", "its sender knows")
            assert w.json("reviewer", "trace", message).lines[-1]["reason"] == "recipient_revoked"
        assert w.sql("SELECT count(*) FROM v_frames WHERE \"to\" = 'reviewer'") == ["0"], "all of it was settled"


@test("revoke: what it sent and nobody has taken is not delivered any more")
def unread():
    with World() as w:
        trio(w)
        w.befriend("builder", "reviewer")
        for i in range(2):
            assert sent(w.sp("builder", "send", "reviewer", f"from {i}"))[1] == "stored"
        revoke(w, "builder")
        assert w.sql("SELECT count(*) FROM v_dead WHERE reason = 'session ended'") == ["2"]
        assert w.bodies("reviewer") == []
        wait_until(lambda: w.sql("SELECT count(*) FROM v_frames WHERE \"to\" = 'reviewer'") == ["0"]
                   or w.bodies("reviewer"), "tombstones and end are settled")


@test("revoke: a request that waits is not shown any more")
def request():
    with World() as w:
        trio(w)
        w.sp(None, "join", "-", input=w.invite("alice", "--guest") + "\n")
        assert sent(w.sp("alice", "send", "reviewer", "may I?"))[1] == "stored"
        revoke(w, "alice")
        assert w.bodies("reviewer") == []
        status = w.json("reviewer", "status").one
        assert status["held"] == 0 and status["unread"] == 0, status
        assert w.sql("SELECT requests_in FROM v_agents WHERE name = 'reviewer'") == ["0"]


@test("revoke: the identity does not come back, the name may")
def again():
    with World() as w:
        trio(w)
        w.befriend("builder", "reviewer")
        keep = w.profile("builder")
        revoke(w, "builder")
        # the same keys with a fresh invite, as a thief would try: ENROL itself is refused
        found = w.json(None, "join", "-", "-a", "builder", input=w.invite("builder") + "\n", check=None)
        assert found.code == 4, found
        assert w.sql("SELECT count(*) FROM v_agents WHERE name = 'builder' AND state = 'active'") == ["0"]
        os.rename(keep, keep + ".old")
        w.sp(None, "join", "-", input=w.invite("builder") + "\n")
        assert sorted(w.sql("SELECT state FROM v_agents WHERE name = 'builder'")) == ["active", "revoked"]
        assert [a["state"] for a in w.ctl("agents", "builder", "--json").lines].count("active") == 1
        # to whoever knew the old one it is another agent
        w.json("reviewer", "send", "builder", "is it you?", check=None)  # reads the log
        assert w.json("reviewer", "send", "builder", "is it you?", check=7).error["code"] == "key_changed"
        assert w.bodies("builder") == []


@test("revoke: holds over a restart, and over a database that was put back")
def restart():
    with World() as w:
        trio(w)
        w.befriend("builder", "reviewer")
        w.stop_broker()
        old = os.path.join(w.root, "old.db")
        subprocess.run(["cp", w.database, old], check=True)
        w.start_broker()
        revoke(w, "builder")
        w.stop_broker()
        w.start_broker()
        assert w.ctl("agents", "builder", "--json").one["state"] == "revoked"
        assert w.json("builder", "status").one["connected"] is False
        w.stop_broker()
        subprocess.run(["cp", old, w.database], check=True)
        w.start_broker()
        assert w.ctl("agents", "builder", "--json").one["state"] == "revoked", "enrol.log has it"
        assert w.json("builder", "status").one["connected"] is False
        assert w.json("reviewer", "status").one["connected"] is True
