"""Every error of docs/cli.md section 6.2 that a command of the first stage can give: code, exit, form."""
import base64
import fcntl
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import threading

import world
from world import Clock, Skip, World, end, sent, test, wait_until


def pair(w):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")
    w.sp("builder", "status")  # reads the log: builder joined before reviewer was in it


def expect(w, exit, code, *argv, agent=None, **kw):
    """The same error as JSON and as text."""
    found = w.json(agent, *argv, check=exit, **kw)
    error = found.error
    assert error["code"] == code, f"{code} expected: {found}"
    text = w.sp(agent, *argv, check=exit, **kw)
    lines = text.err.decode().splitlines()
    assert any(line.startswith("error: ") for line in lines), text
    assert len(lines) <= 3 or exit == 2, text
    return error


@test("errors: wrong use (2)")
def wrong_use():
    with World() as w:
        pair(w)
        expect(w, 2, "usage", "recv", "--nonsense")
        expect(w, 2, "usage", "nonsense")
        expect(w, 2, "usage", "send")
        expect(w, 2, "usage", "recv", "--wai", agent="builder")
        assert w.sp("builder", "recv", "--raw", check=2).err.startswith(b"error: ")
        expect(w, 2, "usage", "recv", "--wait", "--follow", agent="builder")
        expect(w, 2, "usage", "whoami", "-t", "1s", "-t", "2s", agent="builder")
        expect(w, 2, "usage", "group", "show", agent="builder")
        expect(w, 2, "empty_body", "send", "reviewer", "", agent="builder")
        expect(w, 2, "empty_body", "send", "reviewer", "-", agent="builder", input="")
        expect(w, 2, "empty_body", "send", "reviewer", agent="builder")
        expect(w, 2, "self", "send", "builder", "x", agent="builder")
        expect(w, 2, "bad_value", "send", "reviewer", "x", "--wait", "seen", agent="builder")
        expect(w, 2, "bad_value", "send", "reviewer", "x", "--type", "nonsense", agent="builder")
        expect(w, 2, "bad_value", "recv", "-n", "0", agent="builder")
        expect(w, 2, "bad_value", "recv", "-t", "5", agent="builder")
        expect(w, 2, "bad_value", "show", "xyz", agent="builder")
        expect(w, 2, "bad_value", "config", "ttl=1s", agent="builder")
        expect(w, 2, "bad_value", "config", "consent=maybe", agent="builder")
        error = expect(w, 2, "unknown_setting", "config", "consents=any", agent="builder")
        assert "consent" in error["message"], error
        expect(w, 2, "name_invalid", "send", "No Such", "x", agent="builder")
        expect(w, 2, "name_invalid", "whoami", agent="UPPER")
        expect(w, 2, "name_invalid", "join", "-", "--name", "../x", input="x")
        expect(w, 2, "invite_malformed", "join", "-", input="sealpost://nonsense/#abc\n")
        expect(w, 2, "invite_malformed", "join", "sealpost://127.0.0.1:1/#AAAA")
        expect(w, 2, "invite_malformed", "join", "-", input="")
        assert w.sp(None, check=2).err, "the verb table stands on stderr"
        assert not os.path.exists(os.path.join(w.home, "agents", "..", "x"))


@test("errors: an id that two messages share is ambiguous (2)")
def ambiguous():
    with World() as w:
        pair(w)
        reader = w.start("sealpost", "-a", "builder", "recv", "--wait", stdout=subprocess.PIPE)
        w.wait_owner("builder")
        owner = w.owner("builder")
        for tail in ("0", "1"):
            said = owner.send("reviewer", "x", "abcd" + tail * 28)
            assert said[-1]["end"] == 0, said
        owner.close()
        end(reader)
        expect(w, 2, "ambiguous_id", "show", "abcd", agent="builder")
        assert w.json("builder", "show", "abcd1", "--offline").one["id"] == "abcd" + "1" * 28


@test("errors: nothing of that name (6)")
def unknown():
    with World() as w:
        expect(w, 6, "no_profile", "whoami")
        expect(w, 6, "no_profile", "whoami", "--all")
        pair(w)
        error = expect(w, 6, "profile_unspecified", "whoami")
        assert "builder" in error["hint"] and "reviewer" in error["hint"], error
        expect(w, 6, "no_profile", "whoami", agent="nobody")
        error = expect(w, 6, "unknown_agent", "send", "reviewr", "x", agent="builder")
        assert "reviewer" in error["message"] and error["wire"] == "A2A_UNKNOWN_AGENT", error
        expect(w, 6, "unknown_agent", "peers", "nobody", agent="builder")
        expect(w, 6, "unknown_agent", "recv", "--from", "nobody", agent="builder")
        expect(w, 6, "unknown_group", "send", "+team", "x", agent="builder")
        for verb in ("show", "trace", "ack"):
            expect(w, 6, "unknown_message", verb, "abcdef", agent="builder")
        expect(w, 6, "unknown_message", "reply", "abcdef", "x", agent="builder")
        expect(w, 6, "unknown_message", "send", "reviewer", "x", "--reply-to", "abcdef", agent="builder")
        assert w.json("builder", "outbox").lines == []


@test("errors: the broker cannot be reached (3)")
def unreachable():
    with World() as w:
        pair(w)
        invite = w.invite("late")
        w.stop_broker()
        expect(w, 3, "broker_unreachable", "recv", agent="builder")
        expect(w, 3, "broker_unreachable", "recv", "--wait", "-t", "1s", agent="builder")
        expect(w, 3, "broker_unreachable", "send", "nobody", "x", agent="builder")
        expect(w, 3, "broker_unreachable", "join", "-", "-t", "3s", input=invite)
        expect(w, 3, "broker_not_running", "join", "--local", "--name", "x")
        assert w.json("builder", "status").one["connected"] is False
        assert w.json("builder", "outbox").lines == []


@test("errors: another broker answers at the address (3)")
def wrong_broker():
    with World() as w, World() as other:
        pair(w)
        invite = w.invite("late")
        w.stop_broker()
        other.port = w.port
        other.init_broker()
        other.start_broker()
        expect(w, 3, "broker_unreachable", "recv", "-t", "3s", agent="builder")
        expect(w, 3, "broker_unreachable", "join", "-", "-t", "3s", input=invite)
        assert w.sp("builder", "send", "reviewer", "still mine", "-t", "3s").text.endswith(" queued\n")


@test("errors: invites used, expired, withdrawn, of another name, of another root (4, 7)")
def invites():
    with World() as w:
        w.init_broker()
        w.start_broker()
        used = w.invite("builder")
        assert w.json(None, "join", "-", input=used).one["state"] == "active"
        again = w.json(None, "join", "-", input=used).one
        assert again["agent"] == "builder" and again["state"] == "active", "the same join again is a success"
        expect(w, 4, "invite_refused", "join", "-", "--name", "second", input=used, env={
            "SEALPOST_HOME": os.path.join(w.root, "elsewhere")})
        withdrawn = w.json_invite("gone")
        w.ctl("invite", "--withdraw", str(withdrawn["number"]))
        expect(w, 4, "invite_refused", "join", "-", input=withdrawn["url"])
        bound = w.invite("bound")
        expect(w, 4, "invite_refused", "join", "-", "--name", "other", input=bound)
        assert not os.path.exists(w.profile("other"))
        expect(w, 4, "profile_exists", "join", "-", "-a", "builder", input=bound)
        expect(w, 4, "name_taken", "join", "-", "--name", "builder", "-a", "b2", input=w.invite())
        assert not os.path.exists(w.profile("b2"))
        forged = forge_root(w.invite("victim"))
        error = expect(w, 7, "root_mismatch", "join", "-", input=forged)
        assert error["hint"], error
        assert w.sp(None, "join", w.invite("by-argument")).text.endswith("peers\n")
        expect(w, 2, "name_invalid", "join", "-", input=w.invite())
        named = w.json(None, "join", "-", "--name", "chosen", "-a", "prof", input=w.invite()).one
        assert named["agent"] == "chosen" and named["profile"] == "prof", named
        local = w.json(None, "join", "--local", "--name", "near", "--circle", "lab", "--circle", "home").one
        assert local["circles"] == ["home", "lab"], local


def forge_root(url):
    """The same invite, but for another controller."""
    head, text = url.split("#")
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    at = 2 + 34 + 2  # array head, version, server key, head of the root id
    raw[at] ^= 1
    return head + "#" + base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")


@test("errors: an invite that is over (4), a clock that is off (4)")
def clocks():
    with World() as w:
        w.init_broker()
        w.start_broker()
        clock = Clock(w)
        short = w.invite("late", "--ttl", "1m")
        clock.shift(3600)
        expect(w, 4, "invite_refused", "join", "-", input=short, env=clock.env)
        clock.shift(0)
        w.join("builder", "reviewer")
        clock.shift(600)
        error = expect(w, 4, "clock", "recv", agent="builder", env=clock.env)
        assert error["wire"] == "A2A_STALE_TS", error
        clock.shift(0)
        assert w.sp("builder", "recv", env=clock.env).code == 0


@test("errors: a message that nobody took in time (5)")
def expired():
    with World() as w:
        pair(w)
        clock = Clock(w)
        w.sp("builder", "send", "reviewer", "contact")
        w.sp("builder", "config", "ttl=1m")
        w.stop_broker()
        message, state = sent(w.sp("builder", "send", "reviewer", "perishable"))
        assert state == "queued"
        clock.shift(3600)
        traced = wait_until(lambda: (lambda t: t if t["state"] == "expired" else None)(
            w.json("builder", "trace", message, env=clock.env).one), "it expires")
        assert traced["reason"] == "expired" and traced["waits_for"] is None, traced
        assert w.json("builder", "status", env=clock.env).one["dead"] == 1
        owner = w.start("sealpost", "-a", "builder", "recv", "--follow", env=clock.env)
        w.wait_owner("builder")
        sender = w.start("sealpost", "-a", "builder", "send", "reviewer", "x", "--wait", "stored", "-t", "50s", "--json",
                         env=clock.env, stdout=subprocess.PIPE)
        wait_until(lambda: "queued" in [o["state"] for o in w.json("builder", "outbox", env=clock.env).lines],
                   "it is queued")
        clock.shift(10800)
        end(owner, 9)  # whoever owns next looks at once
        out = sender.stdout.read().decode()
        assert sender.wait(timeout=60) == 5 and '"code":"expired"' in out, out


@test("errors: time is up (5)")
def timeouts():
    with World() as w:
        pair(w)
        error = w.json("builder", "send", "reviewer", "x", "--wait", "delivered", "-t", "1s", check=5)
        assert [o["type"] for o in error.lines] == ["outgoing", "error"], error
        assert error.error["code"] == "timeout" and error.lines[0]["state"] == "stored", error
        assert error.error["id"] == error.lines[0]["id"]
        expect(w, 5, "nothing_received", "recv", "--wait", "-t", "600ms", agent="builder")
        expect(w, 5, "nothing_received", "recv", "--follow", "-t", "600ms", agent="builder")
        w.sp("builder", "send", "reviewer", "second")
        waits = w.json("builder", "outbox", "--flush", "-t", "2s", check=None)
        assert waits.code == 0, waits


@test("errors: waiting for the operator (4)")
def approval():
    with World() as w:
        pair(w)
        joined = w.json(None, "join", "-", input=w.invite("late", "--approve")).one
        assert joined["state"] == "pending" and joined["certificate_expires_at"] is None, joined
        error = expect(w, 4, "pending_approval", "send", "reviewer", "x", agent="late")
        assert "--approve late" in error["hint"], error
        expect(w, 4, "pending_approval", "recv", agent="late")
        assert w.json("late", "whoami").one["state"] == "pending"
        assert "pending_approval" in [p["code"] for p in w.json("late", "status").one["problems"]]
        needs = w.ctl("agents", "--approve", "late", "--json", check=2)
        assert needs.error["code"] == "needs_yes", needs
        w.ctl("agents", "--approve", "late", "--yes")
        assert sent(w.sp("late", "send", "reviewer", "x"))[1] == "stored"


@test("errors: quota, rate and disk of the broker (4)")
def quotas():
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "contact")
        w.bodies("reviewer")
        w.set_broker("quota/pair_frames=2")
        w.ctl("reload")
        for i in range(2):
            assert sent(w.sp("builder", "send", "reviewer", f"{i}"))[1] == "stored"
        full = w.sp("builder", "send", "reviewer", "2")
        assert sent(full)[1] == "queued" and b"note: broker: " in full.err, full
        error = w.json("builder", "send", "reviewer", "3", "--wait", "stored", "-t", "2s", check=4)
        assert error.error["code"] == "quota" and error.error["wire"] == "A2A_QUOTA_SENDER", error
        w.set_broker("quota/pair_frames=100 store/disk_floor=1024GiB")
        w.ctl("reload")
        assert w.bodies("reviewer", "--wait", "-t", "20s")
        error = w.json("reviewer", "send", "builder", "x", "--wait", "stored", "-t", "2s", check=4)
        assert error.error["code"] == "broker_disk" and error.error["wire"] == "A2A_DISK", error
        w.set_broker("quota/send_per_s=1 quota/send_burst=1")
        w.ctl("reload")
        w.sp("builder", "outbox", "--flush", "-t", "60s")
        for i in range(6):
            w.sp("builder", "send", "reviewer", f"fast {i}", "--wait", "queued")
        error = w.json("builder", "send", "reviewer", "slow", "--wait", "stored", "-t", "1s", check=4)
        assert error.error["code"] == "busy" and error.error["wire"] in ("A2A_RATE", "A2A_BUSY"), error


@test("errors: too large (4)")
def too_large():
    with World() as w:
        pair(w)
        expect(w, 4, "too_large", "send", "reviewer", "-", agent="builder", input=b"z" * 61441)
        error = expect(w, 4, "too_large", "send", "reviewer", "-", agent="builder", input=b"z" * 70000)
        assert "70000" in error["message"] and "61440" in error["message"], error
        assert w.json("builder", "outbox").lines == []


@test("errors: a profile that others can read (4), damaged (1), or full of nonsense (1)")
def profiles():
    with World() as w:
        pair(w)
        for name, mode in (("agent.key", 0o644), ("agent.db", 0o640), (".", 0o755)):
            path = os.path.join(w.profile("builder"), name)
            before = os.stat(path).st_mode & 0o777
            os.chmod(path, mode)
            error = expect(w, 4, "unsafe_permissions", "whoami", agent="builder")
            assert "chmod" in error["hint"], error
            os.chmod(path, before)
        conf = os.path.join(w.profile("builder"), "agent.conf")
        with open(os.open(conf, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write("consent = any\nconsnt = any\n")
        error = expect(w, 1, "bad_config", "whoami", agent="builder")
        assert "agent.conf:2" in error["message"], error
        os.unlink(conf)
        w.sp("builder", "whoami")
        with open(os.path.join(w.profile("builder"), "agent.db"), "r+b") as f:
            f.write(b"not a database, no more")
        expect(w, 1, "store_error", "whoami", agent="builder")
        key = os.path.join(w.profile("reviewer"), "agent.key")
        with open(key, "r+b") as f:
            f.write(bytes(32))
        expect(w, 1, "store_error", "whoami", agent="reviewer")


@test("errors: a profile that somebody holds and does not serve (1)")
def busy():
    with World() as w:
        pair(w)
        with open(os.path.join(w.profile("builder"), "lock"), "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = w.json("builder", "whoami", check=1)
            assert held.error["code"] == "profile_busy" and 4.5 < held.took < 9, held
            begin = w.sp(None, "__complete", "--", "-a", "builder", "send", "r")
            assert begin.out == b"" and begin.took < 2, begin
        w.sp("builder", "whoami")


@test("errors: a profile that is held for longer than the command may take is named, not the broker (1)")
def busy_for_longer():
    with World() as w:
        pair(w)
        with open(os.path.join(w.profile("builder"), "lock"), "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for argv in (("status",), ("send", "reviewer", "x")):
                held = w.json("builder", *argv, "-t", "1s", check=1)
                assert held.error["code"] == "profile_busy" and 0.9 < held.took < 3, held
                assert "profile builder" in held.error["message"], held
        lock = open(os.path.join(w.profile("builder"), "lock"), "r+")
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.7, lock.close).start()
        status = w.json("builder", "status", "-t", "500ms")
        assert status.took > 0.6 and status.one["connected"], status


@test("errors: a profile that cannot be written to (1): the next step is said")
def read_only():
    with World() as w:
        command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        if subprocess.run([*command, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True).returncode != 0:
            raise Skip("no file system can be mounted here")
        pair(w)
        profile = w.profile("builder")
        script = (f"mount --bind '{profile}' '{profile}' && mount -o remount,bind,ro '{profile}' && "
                  f"exec sealpost -a builder whoami --json")
        done = subprocess.run([*command, "sh", "-c", script], capture_output=True, timeout=60,
                              env={**w.env, "PATH": world.BIN + ":" + w.env["PATH"]})
        error = json.loads(done.stdout.splitlines()[-1])
        assert done.returncode == 1 and error["code"] == "read_only", done
        assert profile in error["message"] and error["hint"], error


@test("errors: the broker does not know this agent's key (4)")
def not_joined():
    with World() as w:
        w.init_broker()
        saved = os.path.join(w.root, "before")
        w.start_broker()
        w.join("builder", "reviewer")
        w.sp("builder", "send", "reviewer", "contact")
        w.stop_broker()
        # the same keys, another broker.db: nobody is known any more
        shutil.copytree(os.path.join(w.broker_dir, "keys"), saved)
        shutil.rmtree(w.broker_dir)
        w.init_broker()
        shutil.rmtree(os.path.join(w.broker_dir, "keys"))
        shutil.copytree(saved, os.path.join(w.broker_dir, "keys"))
        started = w.start("sealpostd", "run", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if w.ctl("status", "--wait", "10s", check=None).code != 0:
            started.kill()
            raise Skip("the broker refuses keys that do not fit its database")
        error = w.json("builder", "send", "reviewer", "x", check=4)
        assert error.error["code"] == "not_joined", error
        assert [o["type"] for o in error.lines] == ["outgoing", "error"], error
        assert w.json("builder", "recv", check=4).error["code"] == "not_joined"


@test("T20_copy: a copy of a profile that has gone on is noticed (7)")
def restored():
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "contact")
        w.bodies("reviewer")
        w.sp("builder", "recv")
        copy = os.path.join(w.root, "copy")
        shutil.copytree(w.profile("builder"), copy)
        for i in range(3):
            w.sp("builder", "send", "reviewer", f"{i}")
        shutil.rmtree(w.profile("builder"))
        shutil.copytree(copy, w.profile("builder"))
        noticed = w.json("builder", "recv", check=7)
        assert noticed.error["code"] == "profile_restored", noticed
        after = w.json("builder", "recv", check=7)
        assert after.error["code"] == "profile_restored", after
        status = w.json("builder", "status", check=7).one
        assert "profile_restored" in [p["code"] for p in status["problems"]], status
        assert w.bodies("reviewer") == ["0", "1", "2"]


@test("errors: no space for the profile (1)")
def disk_full():
    with World() as w:
        if os.geteuid() != 0 and subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0:
            raise Skip("no mount namespace without root")
        pair(w)
        profile = w.profile("builder")
        saved = os.path.join(w.root, "saved")
        shutil.copytree(profile, saved)
        script = (f"mount -t tmpfs -o size=400k,mode=700 none '{profile}' && cp -a '{saved}/.' '{profile}' && "
                  f"head -c 65536 /dev/zero > '{profile}/room'; dd if=/dev/zero of='{profile}/fill' bs=4k 2>/dev/null; "
                  f"rm -f '{profile}/room'; "
                  f"head -c 60000 /dev/zero | exec sealpost -a builder send reviewer - --wait queued --json")
        done = subprocess.run(["unshare", "-Urm", "sh", "-c", script] if os.geteuid() != 0
                              else ["unshare", "-m", "sh", "-c", script], capture_output=True, timeout=60,
                              env={**w.env, "PATH": world.BIN + ":" + w.env["PATH"]})
        if b"mount:" in done.stderr:
            raise Skip("no tmpfs in a namespace")
        assert done.returncode == 1 and b'"code":"disk_full"' in done.stdout, (done.stdout, done.stderr)


@test("errors: a disk that was full before the command began (1 disk_full)")
def disk_was_full():
    with World() as w:
        command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        if subprocess.run([*command, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True).returncode != 0:
            raise Skip("no file system can be mounted here")
        pair(w)
        profile, saved = w.profile("builder"), os.path.join(w.root, "saved")
        shutil.copytree(profile, saved)
        script = (f"mount -t tmpfs -o size=600k,mode=700 none '{profile}' && cp -a '{saved}/.' '{profile}' && "
                  f"dd if=/dev/zero of='{profile}/fill' bs=4k 2>/dev/null; "
                  f"exec sealpost -a builder sessions --offline --json")
        done = subprocess.run([*command, "sh", "-c", script], capture_output=True, timeout=60,
                              env={**w.env, "PATH": world.BIN + ":" + w.env["PATH"]})
        assert done.returncode == 1 and b'"code":"disk_full"' in done.stdout, (done.stdout, done.stderr)


@test("errors: arguments that are no text are named, neither dropped nor let through to the terminal")
def no_text():
    with World() as w:
        pair(w)
        for args in (("verify", "reviewer", "\udcff"), ("sessions", "\udcff"), ("show", "\udcffabcd"), ("\udcff",),
                     ("log", "--clear", "\udcff"), ("ack", "\udcff"), ("reply", "\udcff", "x")):
            error = w.json("builder", *args, check=None).error
            assert error["exit"] in (2, 6) and "\\xff" in error["message"], (args, error)
        for args in (("sessions", "\x1b[31m"), ("log", "--clear", "\x1b[31m"), ("\x1b[31m",)):
            told = w.sp("builder", *args, check=None)
            assert told.code in (2, 6) and b"\\x1b[31m" in told.err and b"\x1b" not in told.err, told
        long = w.json("builder", "log", "--clear", "a" * 39 + "\u00e9" * 300, check=6)
        assert long.error["message"].startswith('no alarm "aaa'), long


@test("a stranger, a used key, an agent: who gets an answer")
def strangers():
    with World() as w:
        pair(w)
        before = w.ctl("status", "--json").one
        for _ in range(200):
            with socket.create_connection(("127.0.0.1", w.port)) as s:
                s.sendall(os.urandom(200))
        assert sent(w.sp("builder", "send", "reviewer", "undisturbed"))[1] == "stored"
        after = w.ctl("status", "--json").one
        assert after["agents"] == before["agents"] and after["state"] == "running", after


@test("errors: an outbox that is full (4)")
def outbox_full():
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "one", "--wait", "queued")
        with sqlite3.connect(os.path.join(w.profile("builder"), "agent.db")) as db:
            names = [row[1] for row in db.execute("PRAGMA table_info(outbox)")]
            rest = [n for n in names if n not in ("outbox_id", "msg_id")]
            # 9,999 more of the same: what they say cannot be opened, but they count
            db.execute(f"INSERT INTO outbox (msg_id, {', '.join(rest)}) SELECT randomblob(16), {', '.join(rest)} "
                       "FROM outbox, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
                       "SELECT i FROM n) WHERE outbox_id = (SELECT max(outbox_id) FROM outbox)")
        db.close()
        full = w.json("builder", "send", "reviewer", "one too many", "--wait", "queued", check=4)
        assert full.error["code"] == "outbox_full", full
