"""Disks, files and controllers that fail or lie: each gets its error, nothing is lost, the others go on."""
import json
import os
import random
import shutil
import subprocess

import world
from world import DEADLINE, Skip, World, sent, test, wait_until

PAGE = 4096


def pair(w):
    w.init_broker()
    w.start_broker()
    w.join("builder", "reviewer")
    w.befriend("builder", "reviewer")


def root_page(path, table):
    done = subprocess.run(["sqlite3", "-readonly", path, f"SELECT rootpage FROM sqlite_schema WHERE name = '{table}'"],
                          capture_output=True, check=True, text=True)
    return int(done.stdout)


def spoil(path, page, chance):
    with open(path, "r+b") as f:
        f.seek((page - 1) * PAGE)
        f.write(chance.randbytes(PAGE))


def namespace():
    """A command that runs its own in a place where it may mount."""
    command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    if subprocess.run([*command, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True).returncode != 0:
        raise Skip("no file system can be mounted here")
    return command


def fill(path):
    """Writes until the disk is full."""
    with open(path, "wb", buffering=0) as f:
        for size in (1 << 20, PAGE):
            try:
                while f.write(bytes(size)) == size:
                    pass
            except OSError:
                pass


@test("bad input: the broker's disk is full (4 broker_disk): mail can be taken, none is lost, and it goes on by itself")
def broker_disk():
    with World("store/ballast=4MiB store/disk_floor=16MiB") as w:
        w.init_broker()
        saved = os.path.join(w.root, "saved")
        shutil.copytree(w.broker_dir, saved)
        # the shell stays, and is the way in: sealpostd itself lets nobody look at it
        script = (f"mount -t tmpfs -o size=168m,mode=750 none '{w.broker_dir}' && cp -a '{saved}/.' '{w.broker_dir}' && "
                  f"{{ setpriv --pdeathsig KILL '{world.BIN}/sealpostd' run & wait $!; }}")
        with open(os.path.join(w.root, "broker.log"), "ab") as log:
            w.broker = subprocess.Popen([*namespace(), "sh", "-c", script], env=w.env, stdout=log, stderr=log)
        w.children.append(w.broker)
        inside = f"/proc/{w.broker.pid}/root{w.broker_dir}"
        w.env["SEALPOST_CONTROL"] = os.path.join(inside, "control.sock")
        w.ctl("status", "--wait", "20s")
        w.join("builder", "reviewer")
        w.befriend("builder", "reviewer")
        before = [f"before {i}" for i in range(5)]
        for body in before:
            assert sent(w.sp("builder", "send", "reviewer", body))[1] == "stored"
        late = w.invite("late")
        fill(os.path.join(inside, "fill"))
        first = w.sp("builder", "send", "reviewer", "first " + "x" * 60000)
        assert sent(first)[1] == "queued" and b"broker's disk is full" in first.err, first
        second = w.json("builder", "send", "reviewer", "second", "--wait", "stored", "-t", "2s", check=4)
        assert second.error["code"] == "broker_disk" and second.error["wire"] == "A2A_DISK", second
        assert second.error["hint"] == "operator: sealpostctl status" and second.error["retry_ms"], second
        assert w.json(None, "join", "-", "-t", "2s", input=late, check=4).error["code"] == "broker_disk"
        status = w.ctl("status", "--json").one
        assert status["state"] == "disk_low" and "disk_low" in [p["code"] for p in status["problems"]], status
        assert w.bodies("reviewer") == before, "what is there can be taken"
        w.sp("reviewer", "status")
        assert w.ctl("queues", "reviewer", "--json").lines == [], "and settled"
        os.unlink(os.path.join(inside, "fill"))
        wait_until(lambda: w.ctl("status", "--json").one["state"] == "running", "the broker sees the space")
        w.sp("builder", "outbox", "--flush", "-t", "60s")
        assert [b[:6] for b in w.bodies("reviewer")] == ["first ", "second"]
        assert w.json(None, "join", "-", input=late).one["state"] == "active"
        w.ctl("stop")
        assert w.broker.wait(timeout=DEADLINE) == 0


@test("bad input: any page of broker.db spoilt: refused or ended with 74, never worse; a damaged frame is sealed again")
def broker_pages():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with World() as w:
        pair(w)
        bodies = [f"{i} " + "y" * 3000 for i in range(3)]
        for body in bodies:
            w.sp("builder", "send", "reviewer", body)
        w.stop_broker()
        saved = os.path.join(w.root, "saved")
        shutil.copytree(w.broker_dir, saved)
        agents = os.path.join(w.root, "agents")
        shutil.copytree(os.path.join(w.home, "agents"), agents)
        log = open(os.path.join(w.root, "broker.log"), "ab")

        def put_back():
            shutil.rmtree(w.broker_dir)
            shutil.copytree(saved, w.broker_dir)
            shutil.rmtree(os.path.join(w.home, "agents"))
            shutil.copytree(agents, os.path.join(w.home, "agents"))

        for table in ("meta", "agent", "certificate", "log", "opk", "scope", "session", "stream", "cursor", "sender",
                      "frame", "frame_stream"):
            put_back()
            spoil(w.database, root_page(w.database, table), chance)
            child = w.start("sealpostd", "run", stdout=log, stderr=log)
            wait_until(lambda: child.poll() is not None or w.ctl("status", check=None).code == 0, "up, or over")
            if child.poll() is None:
                w.sp("builder", "send", "reviewer", "more", "-t", "2s")
                w.json("reviewer", "recv", "-t", "2s", check=None)
                w.ctl("stop", check=None)
            assert child.wait(timeout=DEADLINE) in (0, 74), (table, child.returncode)
        put_back()
        w.start_broker()
        assert w.bodies("reviewer") == bodies, "nothing was lost with the right file"


@test("bad input: a frame's bytes spoilt in broker.db: the message is sealed again and arrives once")
def damaged_frame():
    with World() as w:
        pair(w)
        for i in range(3):
            w.sp("builder", "send", "reviewer", f"{i}")
        w.stop_broker()
        subprocess.run(["sqlite3", w.database, "UPDATE frame SET frame = zeroblob(length(frame)) WHERE position = "
                        "(SELECT min(position) + 1 FROM frame WHERE kind = 1 AND frame IS NOT NULL)"], check=True)
        w.start_broker()
        got = []

        def all_there():
            got.extend(w.bodies("reviewer"))
            w.sp("builder", "outbox", "--flush", "-t", "5s", check=None)
            return len(got) >= 3
        wait_until(all_there, "the damaged one comes again")
        assert sorted(got) == ["0", "1", "2"] and w.bodies("reviewer") == [], got


@test("bad input: any page of agent.db spoilt: every command says so or the truth, and the others do not notice")
def agent_pages():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with World() as w:
        pair(w)
        w.sp("builder", "send", "reviewer", "waits")
        database = os.path.join(w.profile("reviewer"), "agent.db")
        w.sp("reviewer", "whoami")
        saved = os.path.join(w.root, "saved")
        shutil.copytree(w.profile("reviewer"), saved)
        verbs = [["whoami"], ["inbox", "--all", "--offline"], ["peers", "--offline"], ["outbox"]]
        right = [w.json("reviewer", *verb).out for verb in verbs]
        assert all(right[:3])
        for page in range(1, os.path.getsize(database) // PAGE + 1):
            spoil(database, page, chance)
            for verb, said in zip(verbs, right):
                found = w.json("reviewer", *verb, check=None)
                if found.code == 0:
                    assert found.out == said, f"page {page}: a lie: {found}"
                else:
                    last = json.loads(found.text.splitlines()[-1])
                    assert (found.code, last.get("code")) == (1, "store_error"), f"page {page}: {found}"
            shutil.rmtree(w.profile("reviewer"))
            shutil.copytree(saved, w.profile("reviewer"))
        assert sent(w.sp("builder", "send", "reviewer", "undisturbed"))[1] == "stored"
        assert w.bodies("reviewer") == ["waits", "undisturbed"]


@test("bad input: a controller that tells two stories is noticed (7 split_view), once as an error, then as a note")
def split_view():
    with World() as w:
        pair(w)
        w.stop_broker()
        saved = os.path.join(w.root, "saved")
        shutil.copytree(w.broker_dir, saved)
        w.start_broker()
        w.join("carol")
        w.sp("builder", "peers")  # has read that carol joined
        w.stop_broker()
        shutil.rmtree(w.broker_dir)  # all of it, so that the broker itself cannot know
        shutil.copytree(saved, w.broker_dir)
        w.start_broker()
        w.join("dave")
        told = w.json("builder", "peers", check=7)
        assert told.error["code"] == "split_view" and "entry 2" in told.error["message"], told
        assert told.error["hint"], told
        problems = {p["code"]: p for p in w.json("builder", "status", check=7).one["problems"]}
        assert problems["split_view"]["message"] == told.error["message"], problems
        note = w.sp("builder", "send", "reviewer", "go on")
        assert b"alarm split_view: " in note.err and b"sealpost status" in note.err, note
        log = w.json("builder", "log", check=7).lines
        assert log[0]["type"] == "alarm" and log[0]["code"] == "split_view", log
        assert log[0]["hint"].endswith("sealpost log --clear split_view"), log
        assert [e["agent"] for e in log[1:]] == ["builder", "reviewer", "carol"], "what was seen first stays"
        assert w.sp("builder", "log", check=7).text.startswith("ALARM split_view: ")
        assert w.json("reviewer", "recv").of("message")[0]["body"] == "go on", "who saw one story only goes on"
        assert w.json("carol", "recv", check=4).error["code"] == "not_joined"
        w.json("builder", "log", "--clear", "split_view", "--offline")
        assert w.json("builder", "log", "--clear", "split_view", "--offline", check=6).error["code"] == "unknown_alarm"
        assert b"alarm" not in w.sp("builder", "inbox", "--offline").err


@test("bad input: a controller that presents a forged credential is not believed (7 certificate_invalid)")
def forged_credential():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        w.stop_broker()
        subprocess.run(["sqlite3", w.database, "UPDATE certificate SET sig = randomblob(64) WHERE agent_id = "
                        "(SELECT agent_id FROM agent WHERE name = 'reviewer')"], check=True)
        w.start_broker()
        for flags in ([], ["--wait", "stored", "-t", "20s"]):
            told = w.json("builder", "send", "reviewer", "secret", *flags, check=7)
            assert told.error["code"] == "certificate_invalid" and "reviewer" in told.error["message"], told
            assert told.lines[0]["state"] == "queued" and told.error["id"] == told.lines[0]["id"], told
            assert told.took < 5, told
        assert w.ctl("queues", "--json").lines == [], "nothing was sealed"


FILE_SYSTEM_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/statfs.h>
int fstatfs(int fd, struct statfs *fs)
{
    static int (*real)(int, struct statfs *);
    int rc;
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fstatfs");
    rc = real(fd, fs);
    fs->f_type = 0x6969;
    return rc;
}
"""


@test("bad input: a profile or a broker on a network file system is refused (1 bad_filesystem, 78)")
def network_file_system():
    with World() as w:
        pair(w)
        source, library = os.path.join(w.root, "nfs.c"), os.path.join(w.root, "nfs.so")
        with open(source, "w") as f:
            f.write(FILE_SYSTEM_SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        nfs = {"LD_PRELOAD": library}
        found = w.json("builder", "whoami", env=nfs, check=1).error
        assert found["code"] == "bad_filesystem" and "SEALPOST_HOME" in found["hint"], found
        assert w.json(None, "join", "-", input=w.invite("late"), env=nfs, check=1).error["code"] == "bad_filesystem"
        w.stop_broker()
        assert w.run("sealpostd", "run", "--json", env=nfs, check=78).lines[-1]["code"] == "bad_filesystem"


@test("bad input: a full mailbox, too many requests (4 quota)")
def shares():
    with World("quota/queue_frames=2") as w:
        pair(w)
        w.join("tester")
        w.sp("reviewer", "config", "consent=ask")
        w.sp("builder", "status")
        for i in range(2):
            assert sent(w.sp("builder", "send", "reviewer", f"{i}"))[1] == "stored"
        full = w.json("builder", "send", "reviewer", "2", "--wait", "stored", "-t", "2s", check=4)
        assert (full.error["code"], full.error["wire"]) == ("quota", "A2A_QUOTA_MAILBOX"), full
        assert w.bodies("reviewer") == ["0", "1"]
        w.sp("builder", "outbox", "--flush", "-t", "60s")
        assert w.bodies("reviewer", "--wait", "-t", "30s") == ["2"]
        w.set_broker("quota/requests=1")
        w.ctl("reload")
        w.join("other")
        assert sent(w.sp("tester", "send", "reviewer", "may I?"))[1] == "stored"
        w.sp("reviewer", "status")
        many = w.json("other", "send", "reviewer", "may I, too?", "--wait", "stored", "-t", "2s", check=4)
        assert (many.error["code"], many.error["wire"]) == ("quota", "A2A_QUOTA_MAILBOX"), many
        assert w.json("reviewer", "status").one["held"] == 1


@test("bad input: join --local by somebody who may not operate (4 not_permitted)")
def local():
    if os.geteuid() != 0:
        raise Skip("another user needs root")
    with World() as w:
        w.init_broker()
        w.start_broker()
        for path in (w.root, w.home, w.broker_dir):
            os.chmod(path, 0o755)
        home = os.path.join(w.root, "guest")
        os.mkdir(home, 0o700)
        os.chown(home, 65534, 65534)
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                               os.path.join(world.BIN, "sealpost"), "join", "--local", "--name", "x", "--json"],
                              env={**w.env, "SEALPOST_HOME": home, "SEALPOST_CONTROL":
                                   os.path.join(w.broker_dir, "control.sock")}, capture_output=True, timeout=DEADLINE)
        assert done.returncode == 4 and b'"code":"not_permitted"' in done.stdout, done
        assert os.listdir(home) == [], "nothing is left behind"
