"""What must stand nowhere: bodies, media types, invites and keys; and which files others may see.

Claims of docs/security.md 1, 2 and 6; the list of files is docs/storage.md's.
"""
import os
import re
import socket
import stat
import threading

from world import World, test

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


@test("nothing readable crosses the network, or lies in the broker's files, logs or an agent's database")
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
        w.kill_broker()
        assert len(tap.heard) > 10000
        log = ("broker.log", open(os.path.join(w.root, "broker.log"), "rb").read())
        places = [*waiting, *contents(w.broker_dir), *contents(w.profile("builder"), w.profile("reviewer")),
                  log, ("the network", bytes(tap.heard))]
        for text in (BODY, BODY[::-1], TYPE, "otter"):
            nowhere(text, places)
        nowhere("builder", [("the network", bytes(tap.heard))])


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
