"""T34: a protected profile: what its files say, who opens it, and how the passphrase is given."""
import os
import re
import shutil
import sqlite3
import time

from terminal import Terminal
from test_secrets import contents, nowhere
from world import World, end, test

WORDS = "correct horse battery staple"
BODY = "the otter sleeps under the third bridge"


def secret_file(w, name, words, mode=0o600):
    path = os.path.join(w.work, name)
    with open(path, "w") as f:
        f.write(words + "\nnot this line\n")
    os.chmod(path, mode)
    return {"SEALPOST_PASSPHRASE_FILE": path}


def protected(w):
    """reviewer behind WORDS, builder as usual; gives the environment that opens reviewer."""
    w.init_broker()
    w.start_broker()
    w.join("builder")
    env = secret_file(w, "words", WORDS)
    w.sp(None, "join", "-", "--passphrase", input=w.invite("reviewer") + "\n", env=env)
    return env


@test("T34_at_rest: the files of a protected profile say nothing, and the key is not among them")
def at_rest():
    with World() as w:
        env = protected(w)
        w.sp("builder", "send", "reviewer", BODY)
        assert [m["body"] for m in w.json("reviewer", "recv", env=env).of("message")] == [BODY]
        w.sp("reviewer", "send", "builder", BODY[::-1], env=env)
        key = open(os.path.join(w.profile("reviewer"), "agent.key"), "rb").read()
        assert len(key) == 112 and key.startswith(b"sealkey1"), key
        places = list(contents(w.profile("reviewer")))
        for needle in (BODY, BODY[::-1], WORDS, "otter", "horse"):
            nowhere(needle, places)
        # what a raw profile's key would open is not opened by any 32 bytes of this one
        stolen = os.path.join(w.home, "agents", "stolen")
        shutil.copytree(w.profile("reviewer"), stolen)
        with open(os.path.join(stolen, "agent.key"), "wb") as f:
            f.write(key[64 + 24:64 + 24 + 32])
        opened = w.json("stolen", "inbox", "--offline", check=1)
        assert opened.error["code"] == "store_error", opened


@test("T34_refused: without the passphrase and with a wrong one nothing is opened, changed or sent")
def refused():
    with World() as w:
        env = protected(w)
        before = {p: d for p, d in contents(w.profile("reviewer")) if not p.endswith("lock")}
        cases = [
            ("none", {}, "passphrase_needed"),
            ("wrong", secret_file(w, "wrong", "correct horse"), "passphrase_wrong"),
            ("no such file", {"SEALPOST_PASSPHRASE_FILE": "/nowhere"}, "passphrase_needed"),
            ("readable for others", secret_file(w, "open", WORDS, 0o644), "unsafe_permissions"),
        ]
        for name, given, code in cases:
            for verb in (["inbox"], ["send", "builder", "x"], ["status"], ["whoami"]):
                failed = w.json("reviewer", *verb, env=given, check=4)
                assert failed.error["code"] == code, (name, failed)
        empty = w.json("reviewer", "inbox", env=secret_file(w, "empty", ""), check=2)
        assert empty.error["code"] == "bad_value", empty
        after = {p: d for p, d in contents(w.profile("reviewer")) if not p.endswith("lock")}
        assert before == after, "a refused command has changed the profile"
        assert w.sp("reviewer", "send", "builder", "x", env=env).text.endswith(" stored\n")


@test("passphrase: what needs no key works without it, and an owner works for others")
def without():
    with World() as w:
        env = protected(w)
        lines = w.sp(None, "whoami", "--all").text.splitlines()
        assert [line.split()[0] for line in lines] == ["builder", "reviewer"], lines
        w.sp("reviewer", "config", "consent=any")
        assert w.run("sealpost", "__complete", "-a", "reviewer", "send", "b", check=None).text == ""
        reader = w.start("sealpost", "-a", "reviewer", "recv", "--follow", env=env)
        w.wait_owner("reviewer")
        assert w.json("reviewer", "status").one["connected"], "the owner has the key"
        assert w.run("sealpost", "__complete", "-a", "reviewer", "send", "b", check=None).text == "builder\n"
        assert end(reader) == 0
        assert w.json("reviewer", "status", check=4).error["code"] == "passphrase_needed"


@test("passphrase: join again goes on with what it began, and never without protection")
def join_again():
    with World() as w:
        w.init_broker()
        w.start_broker()
        invite = w.invite("reviewer", "--approve") + "\n"
        env = secret_file(w, "words", WORDS)
        first = w.json(None, "join", "-", "--passphrase", input=invite, env=env).one
        assert first["state"] == "pending", first
        unsaid = w.json(None, "join", "-", input=invite, check=4)
        assert unsaid.error["code"] == "passphrase_needed", unsaid
        wrong = w.json(None, "join", "-", "--passphrase", input=invite, check=4, env=secret_file(w, "wrong", "x"))
        assert wrong.error["code"] == "passphrase_wrong", wrong
        w.ctl("agents", "--approve", "reviewer", "--yes")
        again = w.json(None, "join", "-", "--passphrase", input=invite, env=env).one
        assert again["state"] == "active" and again["fingerprint"] == first["fingerprint"], again
        raw = w.invite("builder") + "\n"
        w.sp(None, "join", "-", input=raw)
        late = w.json(None, "join", "-", "--passphrase", input=raw, env=env, check=4)
        assert late.error["code"] == "profile_exists", late
        unasked = w.json(None, "join", "-", "--passphrase", input=w.invite("tester") + "\n", check=4)
        assert unasked.error["code"] == "passphrase_needed", unasked
        assert not os.path.exists(w.profile("tester")), "nothing was begun"


@test("passphrase: on a terminal it is asked for without echo, twice when it is new")
def terminal():
    with World() as w:
        w.init_broker()
        w.start_broker()
        t = Terminal(w, "join", w.invite("reviewer"), "--passphrase")
        t.until(b"New passphrase of reviewer:")
        t.type(WORDS + "\n")
        t.until(b"The same again:")
        t.type(WORDS + "x\n")
        assert t.close() == 2 and b"not the same" in t.seen, t.seen
        t = Terminal(w, "join", w.invite("reviewer"), "--passphrase")
        t.until(b"New passphrase of reviewer:")
        t.type(WORDS + "\n")
        t.until(b"The same again:")
        t.type(WORDS + "\n")
        assert t.close() == 0, t.seen
        assert b"horse" not in t.seen, t.seen
        t = Terminal(w, "-a", "reviewer", "whoami")
        t.until(b"Passphrase of reviewer:")
        t.type(WORDS + "\n")
        assert t.close() == 0 and b"certificate" in t.seen and b"horse" not in t.seen, t.seen
        t = Terminal(w, "-a", "reviewer", "whoami")
        t.until(b"Passphrase of reviewer:")
        t.type("nonsense\n")
        assert t.close() == 4 and b"wrong passphrase" in t.seen, t.seen
        t = Terminal(w, "-a", "reviewer", "whoami")
        t.until(b"Passphrase of reviewer:")
        t.type("\x03")
        assert t.close() == 130, t.seen


@test("passphrase: the time that a person takes to type is not the broker's, and what has no end is not read to it")
def slow_person():
    with World() as w:
        protected(w)
        t = Terminal(w, "-a", "reviewer", "status", "-t", "3s")
        t.until(b"Passphrase of reviewer:")
        asked = time.monotonic()
        t.until(lambda _: time.monotonic() > asked + 3.5)
        t.type(WORDS + "\n")
        assert t.close() == 0 and b"not connected" not in t.seen and b"connected" in t.seen, t.seen
        endless = w.json("reviewer", "status", env={"SEALPOST_PASSPHRASE_FILE": "/dev/zero"}, check=2)
        assert endless.error["code"] == "bad_value", endless


@test("T34_moved: a sealed value that was moved to another row is refused and named")
def moved():
    with World() as w:
        env = protected(w)
        assert re.search(r"^ok +store ", w.sp("reviewer", "status", "--check", env=env).text, re.M)
        db = sqlite3.connect(os.path.join(w.profile("reviewer"), "agent.db"))
        db.execute("UPDATE secret SET private = (SELECT private FROM secret WHERE kind = 2) WHERE kind = 4")
        db.commit()
        db.close()
        checked = w.sp("reviewer", "status", "--check", env=env, check=1).text
        assert re.search(r"^fail +store .*secret\.private of row \d+ does not open", checked, re.M), checked
