"""What must stand nowhere: bodies, media types, invites and keys; and which files others may see.

Claims of docs/security.md 1, 2 and 6; the list of files is docs/storage.md's.
"""
import os
import re
import socket
import stat
import threading

from world import Skip, World, test

BODY = "the otter sleeps under the third bridge"
TYPE = "application/x-otter"


class Tap:
    """A TCP relay that keeps everything that crosses it."""

    def __init__(self, port):
        self.heard = bytearray()
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, source, sink):
        try:
            while data := source.recv(65536):
                self.heard += data
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def contents(*places):
    """Every file below, with its bytes."""
    for place in places:
        for directory, _, names in os.walk(place):
            for name in names:
                path = os.path.join(directory, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb") as f:
                        yield path, f.read()


def nowhere(needle, places, but=()):
    needle = needle if isinstance(needle, bytes) else needle.encode()
    for path, data in places:
        assert needle not in data or os.path.basename(path) in but, f"{needle[:16]!r} stands in {path}"


def memory_of(pid):
    """All that a core file would hold of it."""
    found = bytearray()
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, mode = line.split()[:2]
                if not mode.startswith("rw") or "[v" in line:
                    continue
                first, last = (int(x, 16) for x in span.split("-"))
                if last - first > 256 << 20:
                    continue
                try:
                    memory.seek(first)
                    found += memory.read(last - first)
                except (OSError, ValueError):
                    pass
    except PermissionError:
        raise Skip("may not read a process that has switched dumps off") from None
    return bytes(found)


@test("T1_markers: nothing readable crosses the network, or lies in the broker's files, logs, memory or an agent's database")
def markers():
    with World() as w:
        w.init_broker()
        tap = Tap(w.port)
        w.set_broker(f"broker/public=127.0.0.1:{tap.address} log/level=debug")
        w.start_broker()
        w.join("builder", "reviewer")
        w.sp("builder", "send", "reviewer", BODY, "--type", TYPE, "-v")
        waiting = list(contents(w.broker_dir))
        assert w.bodies("reviewer") == [BODY]
        w.sp("reviewer", "send", "builder", BODY[::-1], "--type", TYPE)
        assert w.bodies("builder") == [BODY[::-1]]
        w.sp("builder", "send", "reviewer", BODY, "--wait", "stored")
        core = memory_of(w.broker.pid)
        assert b"builder" in core, "the names at least are there"
        w.kill_broker()
        assert len(tap.heard) > 10000
        log = ("broker.log", open(os.path.join(w.root, "broker.log"), "rb").read())
        places = [*waiting, *contents(w.broker_dir), *contents(w.profile("builder"), w.profile("reviewer")),
                  log, ("the network", bytes(tap.heard)), ("the broker's memory", core)]
        for text in (BODY, BODY[::-1], TYPE, "otter"):
            nowhere(text, places)
        nowhere("builder", [("the network", bytes(tap.heard))])


# ciphertext of a session frame, without its tag: protocol.md 6.2
BUCKETS = {256 * 2**i * n // 4 for i in range(8) for n in (4, 5, 6, 7)} | {65536}


@test("T2_sizes: every ciphertext at the broker is a bucket and a tag, and holds no word of the message")
def sizes():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        w.befriend("builder", "reviewer")
        said = [0, 1, 40, 200, 300, 700, 2000, 5000, 20000, 60000]
        for size in said:
            w.sp("builder", "send", "reviewer", "-", input=(BODY + " ") * (size // 40) + "x", timeout=30)
        found = [int(n) for n in w.sql("SELECT length(frame) FROM frame WHERE frame IS NOT NULL AND kind = 3")]
        assert len(found) == len(said), found
        for size in found:
            assert size - 214 - 16 in BUCKETS, f"a frame of {size} bytes"
        assert len(set(found)) > 5
        nowhere("otter", contents(w.broker_dir))


@test("an invite's secret and an agent's key stand only where they belong")
def keys():
    with World() as w:
        w.init_broker()
        w.set_broker("log/level=debug")
        w.start_broker()
        invite = w.invite("builder", "--note", "otter")
        secret = invite.split("#")[1]
        w.sp(None, "join", "-", "-v", input=invite + "\n")
        w.join("reviewer")
        w.befriend("builder", "reviewer")
        w.stop_broker()
        places = [*contents(w.home), ("broker.log", open(os.path.join(w.root, "broker.log"), "rb").read())]
        nowhere(secret[-60:], places)
        for agent in ("builder", "reviewer"):
            with open(os.path.join(w.profile(agent), "agent.key"), "rb") as f:
                key = f.read()
            assert len(key) >= 32
            nowhere(key[-32:], places, but=("agent.key",))
        for name in os.listdir(os.path.join(w.broker_dir, "keys")):
            with open(os.path.join(w.broker_dir, "keys", name), "rb") as f:
                nowhere(f.read()[-32:], places, but=(name,))


@test("files and directories have the modes of docs/storage.md")
def modes():
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "storage.md")
    with open(page) as f:
        section = re.search(r"^## 2\. Files\n(.*?)^## 3", f.read(), re.S | re.M).group(1)
    said = {}
    for names, mode in re.findall(r"^ *([a-zA-Z./ -]+?) +(0[0-7]{3})\b", section, re.M):
        first, *more = names.split()
        said[first.rstrip("/").split("/")[-1]] = int(mode, 8)
        for suffix in more:
            said[first + suffix] = int(mode, 8)
    said.update({"controller.key": 0o600, "curve.key": 0o600, "agents": 0o700})
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.join("builder", "reviewer")
        w.befriend("builder", "reviewer")
        w.sp("builder", "config", "consent=any")
        seen = set()
        for top in (w.broker_dir, os.path.join(w.home, "agents")):
            for directory, directories, names in os.walk(top):
                for name in [*directories, *names]:
                    path = os.path.join(directory, name)
                    mode = stat.S_IMODE(os.lstat(path).st_mode) & 0o777
                    known = "NAME" if name in ("builder", "reviewer") else name
                    assert known in said, f"{path} is not on the page"
                    assert mode == said[known], f"{path} has mode {mode:04o}, the page says {said[known]:04o}"
                    seen.add(known)
        assert stat.S_IMODE(os.stat(w.broker_dir).st_mode) & 0o777 == said["broker"]
        missing = set(said) - seen - {"broker", "agents", "agent.sock", "agent.db-wal"}
        assert not missing, f"on the page, but not there: {missing}"
