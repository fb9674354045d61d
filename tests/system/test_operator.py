"""The broker as its operator sees it: sealpostd init, run, check and sealpostctl, with their errors and exit codes."""
import fcntl
import grp
import json
import os
import signal
import socket
import stat
import subprocess
import time

import world
from world import DEADLINE, Skip, World, end, free_port, test, wait_until


def file_of(w, *names):
    return os.path.join(w.broker_dir, *names)


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def start_fails(w, code, *args):
    """`run` ends by itself with this exit code; its words."""
    return w.run("sealpostd", "run", *args, check=code).err.decode()


def try_daemon(w, code, name, *args):
    found = w.run("sealpostd", *args, "--json", check=code).lines[-1]  # the log goes to stderr all the same
    assert (found["type"], found["code"], found["exit"]) == ("error", name, code), found
    return found


@test("operator: init makes what the page says, once")
def init():
    with World() as w:
        made = w.run("sealpostd", "init", "--json").one
        assert made["type"] == "initialised" and made["dir"] == os.path.realpath(w.broker_dir)
        assert made["public"] is None and made["endpoint"] == "tcp://127.0.0.1:5752"
        assert mode_of(w.broker_dir) & 0o777 == 0o750
        assert mode_of(file_of(w, "sealpostd.conf")) == 0o640
        assert mode_of(file_of(w, "broker.db")) == 0o640
        assert mode_of(file_of(w, "keys")) == 0o700
        for name in ("controller.key", "curve.key"):
            assert mode_of(file_of(w, "keys", name)) == 0o600
        before = {n: os.stat(file_of(w, n)).st_mtime_ns for n in os.listdir(w.broker_dir)}
        try_daemon(w, 73, "exists", "init")
        assert before == {n: os.stat(file_of(w, n)).st_mtime_ns for n in os.listdir(w.broker_dir)}
        os.unlink(file_of(w, "sealpostd.conf"))
        try_daemon(w, 73, "exists", "init")
        assert w.run("sealpostd", "check", check=78).out


@test("operator: init with a state of its own")
def init_elsewhere():
    with World() as w:
        state = os.path.join(w.root, "state")
        w.run("sealpostd", "init", "--state", state, "--name", "lab", "--listen", f"tcp://127.0.0.1:{w.port}",
              "--public", "broker.example:5752")
        assert os.path.exists(os.path.join(state, "broker.db"))
        assert not os.path.exists(file_of(w, "broker.db"))
        w.start("sealpostd", "run", stderr=subprocess.DEVNULL)
        ctl = ["--socket", os.path.join(state, "control.sock")]
        status = w.ctl("status", "--wait", "20s", "--json", *ctl).one
        assert status["name"] == "lab" and status["public"] == "broker.example:5752"
        assert w.ctl("invite", "x", *ctl).text.startswith("sealpost://broker.example:5752/#")
        w.ctl("stop", *ctl)


@test("operator: wrong use of sealpostd is 64")
def usage():
    with World() as w:
        for args in (["frob"], ["run", "--frob"], ["run", "extra"], ["init", "--listen", "ftp://x"],
                     ["init", "--name", "No Name"], ["init", "--public", "nowhere"], ["run", "--ready-fd", "x"]):
            found = w.run("sealpostd", *args, "--json", check=64).error
            assert found["exit"] == 64, found
            assert w.run("sealpostd", *args, check=64).err.startswith(b"error: ")
        assert not os.path.exists(w.broker_dir), "nothing was done"
        assert w.run("sealpostd", check=64).err
        assert w.run("sealpostd", "-V").text == "sealpostd 0.1.0 (protocol a2a/1)\n"
        assert w.run("sealpostctl", "-V").text == "sealpostctl 0.1.0 (protocol a2a/1)\n"
        assert w.ctl(check=2).err and w.ctl("statsu", check=2).err
        assert "did you mean status?" in w.ctl("statsu", check=2).err.decode()


@test("operator: help of every command fits a terminal")
def help_fits():
    with World() as w:
        for program in ("sealpostd", "sealpostctl", "sealpost"):
            for command in w.run(program, "help", "--json").of("command"):
                text = w.run(program, "help", command["name"]).text
                assert len(text.splitlines()) <= 60, command["name"]
                assert all(len(line) <= 80 for line in text.splitlines()), text
                assert text == w.run(program, command["name"], "-h").text


@test("operator: every problem of a configuration is told at once (78)")
def bad_config():
    with World() as w:
        w.init_broker()
        path = file_of(w, "sealpostd.conf")
        with open(path, "w") as f:
            f.write("broker\n    name = lab\nquota\n    queue_frame = 7\nlog\n    level = loud\n\tformat = json\n")
        found = w.run("sealpostd", "check", "--json", check=78).of("problem")
        assert [(p["line"], p["key"], p["code"]) for p in found] == [
            (4, "quota/queue_frame", "unknown_key"), (6, "log/level", "bad_value"), (7, None, "bad_form")], found
        text = w.run("sealpostd", "check", path, check=78).text
        assert text.splitlines()[0] == f"{path}:4: quota/queue_frame: unknown key; did you mean queue_frames?"
        assert text.splitlines()[1] == f'{path}:6: log/level: "loud" is none of error warn info debug'
        assert f"{path}:4: quota/queue_frame" in start_fails(w, 78)
        with open(path, "w"):
            pass
        assert "no setting stands" in start_fails(w, 78), "an empty file"
        os.unlink(path)
        assert "no such file" in start_fails(w, 78), "no file"
        with open(path, "w") as f:
            f.write("listen\n    connections = 100000\n")
        small = subprocess.run(
            ["sh", "-c", 'ulimit -n 1000 && exec "$0" run', os.path.join(world.BIN, "sealpostd")],
            env=w.env, capture_output=True, timeout=DEADLINE)
        assert small.returncode == 78 and b"open files" in small.stderr, small
        with open(path, "w") as f:
            f.write("control\n    group = nosuchgroup\n")
        assert "nosuchgroup" in start_fails(w, 78)


@test("operator: check looks at keys and database, too")
def check():
    with World() as w:
        w.init_broker()
        assert w.run("sealpostd", "check").text == "ok\n"
        found = w.run("sealpostd", "check", "--json").one
        assert found["type"] == "checked" and found["keys"] == 2, found
        os.chmod(file_of(w, "keys", "curve.key"), 0o640)
        assert w.run("sealpostd", "check", "--json", check=77).of("problem")[0]["code"] == "unsafe_permissions"
        os.chmod(file_of(w, "keys", "curve.key"), 0o600)
        with open(file_of(w, "broker.db"), "r+b") as f:
            f.write(b"no database at all")
        assert w.run("sealpostd", "check", check=78).out


@test("operator: unsafe permissions refuse the start (77)")
def unsafe():
    with World() as w:
        w.init_broker()
        for path, bad in ((("keys", "curve.key"), 0o644), (("keys", "controller.key"), 0o660), (("keys",), 0o750),
                          ((), 0o770), (("sealpostd.conf",), 0o666)):
            good = mode_of(file_of(w, *path))
            os.chmod(file_of(w, *path), bad)
            found = try_daemon(w, 77, "unsafe_permissions", "run")
            assert found["hint"], found
            os.chmod(file_of(w, *path), good)
        os.rename(file_of(w, "keys", "curve.key"), os.path.join(w.root, "elsewhere"))
        os.symlink(os.path.join(w.root, "elsewhere"), file_of(w, "keys", "curve.key"))
        try_daemon(w, 77, "unsafe_permissions", "run")
        os.unlink(file_of(w, "keys", "curve.key"))
        os.rename(os.path.join(w.root, "elsewhere"), file_of(w, "keys", "curve.key"))
        w.start_broker()
        w.stop_broker()


@test("operator: not initialised is 78, and never becomes a new identity")
def not_initialised():
    with World() as w:
        w.init_broker()
        os.rename(file_of(w, "broker.db"), os.path.join(w.root, "gone.db"))
        for name in ("broker.db-wal", "broker.db-shm"):
            if os.path.exists(file_of(w, name)):
                os.unlink(file_of(w, name))
        try_daemon(w, 78, "not_initialised", "run")
        assert not os.path.exists(file_of(w, "broker.db"))
        os.rename(os.path.join(w.root, "gone.db"), file_of(w, "broker.db"))
        os.rename(file_of(w, "keys"), os.path.join(w.root, "gone.keys"))
        try_daemon(w, 78, "not_initialised", "run")


@test("operator: a database from the future, or none at all, is not touched (78, 74)")
def bad_database():
    with World() as w:
        w.init_broker()
        w.start_broker()
        w.stop_broker()
        subprocess.run(["sqlite3", w.database, "pragma user_version = 99"], check=True)
        try_daemon(w, 78, "database_newer", "run")
        for name in ("broker.db-wal", "broker.db-shm"):
            if os.path.exists(file_of(w, name)):
                os.unlink(file_of(w, name))
        with open(w.database, "r+b") as f:
            f.write(b"x" * 8192)
        try_daemon(w, 74, "store_error", "run")


@test("operator: a second broker on the same files leaves with 75, the first goes on")
def second_broker():
    with World() as w:
        w.init_broker()
        w.start_broker()
        try_daemon(w, 75, "already_running", "run")
        assert w.ctl("status", "--json").one["pid"] == w.broker.pid
        w.join("builder")


@test("operator: an address that is taken is 71")
def address_taken():
    with World() as w:
        w.init_broker()
        with socket.socket() as s:
            s.bind(("127.0.0.1", w.port))
            s.listen()
            try_daemon(w, 71, "system", "run")
        w.start_broker()


@test("operator: --ready-fd gets a newline when agents can connect")
def ready_fd():
    with World() as w:
        w.init_broker()
        read, write = os.pipe()
        child = subprocess.Popen([os.path.join(world.BIN, "sealpostd"), "run", "--ready-fd", str(write)],
                                 env=w.env, pass_fds=[write], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        w.children.append(child)
        os.close(write)
        assert os.read(read, 10) == b"\n"
        assert os.read(read, 10) == b"", "and is closed"
        socket.create_connection(("127.0.0.1", w.port)).close()
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=DEADLINE)
        assert child.returncode == 0 and out == b"", (child.returncode, out)
        events = [line.split(b"event=")[1].split()[0] for line in err.splitlines()]
        for event in (b"starting", b"listening", b"ready", b"stopping", b"stopped"):
            assert event in events, err


@test("operator: stop comes back when the lock is free, and TERM is orderly")
def stop():
    with World() as w:
        w.init_broker()
        for _ in range(3):
            w.start_broker()
            assert w.ctl("stop", "--json").one["state"] == "stopping"
            with open(file_of(w, "lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert w.broker.wait(timeout=DEADLINE) == 0
        w.start_broker()
        assert end(w.broker) == 0
        assert not os.path.exists(file_of(w, "control.sock"))
        w.start_broker()
        w.kill_broker()
        assert w.ctl("status", "--json", check=3).error["code"] == "broker_not_running"
        w.start_broker()
        for verb in ("status", "agents", "queues", "config"):
            w.ctl(verb)
        w.stop_broker()
        for verb in ("status", "agents", "queues", "config", "reload", "stop", "invite"):
            assert w.ctl(verb, "--json", check=3).error["code"] == "broker_not_running"


@test("operator: reload takes over what it may, and nothing of a file with mistakes")
def reload():
    with World() as w:
        w.init_broker()
        w.start_broker()
        path = file_of(w, "sealpostd.conf")

        def settings():
            return {s["key"]: s for s in w.ctl("config", "--json").of("setting")}

        before = settings()
        assert before["listen/endpoint"]["value"] == f"tcp://127.0.0.1:{w.port}"
        assert before["listen/endpoint"]["source"] == "file"
        assert before["quota/queue_frames"] == {"v": 1, "type": "setting", "key": "quota/queue_frames",
                                                "value": "10000", "default": "10000", "source": "default",
                                                "needs_restart": False}
        with open(path, "w") as f:
            f.write(f"broker\n    name = lab\nlisten\n    endpoint = tcp://127.0.0.1:{free_port()}\n"
                    "quota\n    queue_frames = 5\n")
        status = w.ctl("reload", "--json").one
        assert status["type"] == "broker_status" and status["name"] == "lab"
        after = settings()
        assert after["quota/queue_frames"]["value"] == "5"
        assert after["listen/endpoint"]["value"] == f"tcp://127.0.0.1:{w.port}", "until a restart"
        assert after["listen/endpoint"]["needs_restart"]
        w.join("builder")
        assert w.ctl("agents", "builder", "--json").one["quota_frames"] == 5
        with open(path, "a") as f:
            f.write("nonsense\n")
        found = w.ctl("reload", "--json", check=1)
        assert found.lines[0]["type"] == "problem" and found.lines[0]["line"] == 7, found
        assert found.lines[-1]["code"] == "bad_config"
        assert f"{path}:7: nonsense" in w.ctl("reload", check=1).err.decode()
        assert settings() == after
        with open(path, "w") as f:
            f.write(f"listen\n    endpoint = tcp://127.0.0.1:{w.port}\nquota\n    queue_frames = 6\n")
        w.broker.send_signal(signal.SIGHUP)
        wait_until(lambda: settings()["quota/queue_frames"]["value"] == "6", "SIGHUP reloads")
        assert not settings()["listen/endpoint"]["needs_restart"]


@test("operator: the control socket is the owner's alone")
def control_permissions():
    with World() as w:
        w.init_broker()
        w.start_broker()
        assert mode_of(file_of(w, "control.sock")) == 0o600
        if os.geteuid() != 0:
            raise Skip("another user needs root")
        # open the way, so that only the socket itself stands in it
        for path in (w.root, w.home, w.broker_dir):
            os.chmod(path, 0o755)
        os.chmod(file_of(w, "control.sock"), 0o666)
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                               os.path.join(world.BIN, "sealpostctl"), "status", "--json"],
                              env=w.env, capture_output=True, timeout=DEADLINE)
        assert done.returncode in (3, 4), done
        assert b"broker_status" not in done.stdout
        os.chmod(file_of(w, "control.sock"), 0o600)
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                               os.path.join(world.BIN, "sealpostctl"), "status", "--json"],
                              env=w.env, capture_output=True, timeout=DEADLINE)
        assert done.returncode == 4, done
        assert json.loads(done.stdout)["code"] == "not_permitted", done
        w.ctl("status")


@test("operator: a group may operate, if the file says so")
def control_group():
    if os.geteuid() != 0:
        raise Skip("needs root")
    with World() as w:
        w.init_broker()
        w.set_broker("control/group=daemon")
        w.start_broker()
        for path in (w.root, w.home, w.broker_dir):
            os.chmod(path, 0o755)
        daemon = grp.getgrnam("daemon").gr_gid
        assert mode_of(file_of(w, "control.sock")) == 0o660
        assert os.stat(file_of(w, "control.sock")).st_gid == daemon
        for groups, code in ((["--groups", str(daemon)], 0), (["--clear-groups"], 4)):
            done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", *groups,
                                   os.path.join(world.BIN, "sealpostctl"), "status", "--json"],
                                  env=w.env, capture_output=True, timeout=DEADLINE)
            assert done.returncode == code, (groups, done)


@test("operator: nonsense on the control socket harms nobody")
def control_nonsense():
    with World() as w:
        w.init_broker()
        w.start_broker()
        place = os.open(w.broker_dir, os.O_RDONLY)

        def say(text):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(DEADLINE)
                s.connect(f"/proc/self/fd/{place}/control.sock")
                try:
                    s.sendall(text)
                    s.shutdown(socket.SHUT_WR)
                    answer = b""
                    while chunk := s.recv(65536):
                        answer += chunk
                except ConnectionError:
                    return None
                return answer

        for text in (b"{}\n", b"[]\n", b"nothing\n", b'{"verb":"frob"}\n', b'{"verb":7}\n', b"\n", b"\xff\xfe\n",
                     b'{"verb":"agents","args":[7,null]}\n', b'{"verb":"invite","circle":"x","args":{}}\n',
                     b'{"verb":"invite","withdraw":-1}\n', b'{"verb":"queues","args":["' + b"x" * 300 + b'"]}\n'):
            answer = say(text)
            assert answer == b"" or json.loads(answer.splitlines()[-1])["type"] in ("error", "invite"), (text, answer)
        say(b"x" * 200000)
        say(b'{"verb":"status"')
        idle = [socket.socket(socket.AF_UNIX) for _ in range(70)]
        for s in idle:
            s.connect(f"/proc/self/fd/{place}/control.sock")
        for s in idle:
            s.close()
        os.close(place)
        wait_until(lambda: w.ctl("status", check=None).code == 0, "it answers again")


@test("operator: invites of every kind, listed and withdrawn")
def invites():
    with World() as w:
        w.init_broker()
        w.start_broker()
        made = w.ctl("invite", "one", "two", "--circle", "lab", "--circle", "home", "--note", "for us", "--ttl", "2h",
                     "--json").of("invite")
        assert [i["name"] for i in made] == ["one", "two"]
        assert made[0]["circles"] == ["home", "lab"] and made[0]["note"] == "for us" and made[0]["state"] == "open"
        assert w.ctl("invite", "--guest", "--json").one["circles"] == []
        assert w.ctl("invite", "--json").one["name"] is None
        url = w.ctl("invite", "three", "--host", "[::1]:5752").text
        assert url.startswith("sealpost://[::1]:5752/#") and len(url) <= 401
        listed = w.ctl("invite", "--list", "--json").of("invite")
        assert len(listed) == 5 and all(i["url"] is None for i in listed)
        number = made[1]["number"]
        assert w.ctl("invite", "--withdraw", str(number), "--json").one["state"] == "withdrawn"
        for args, code, name in ((["--withdraw", str(number)], 6, "unknown_invite"),
                                 (["--withdraw", "999"], 6, "unknown_invite"), (["No"], 2, "name_invalid"),
                                 (["x", "--circle", "No"], 2, "name_invalid"),
                                 (["--guest", "--circle", "x"], 2, "usage"), (["--ttl", "31d"], 2, "bad_value"),
                                 (["--ttl", "1s"], 2, "bad_value"), (["--ttl", "soon"], 2, "bad_value"),
                                 (["--host", "nowhere"], 2, "bad_value"), (["--list", "x"], 2, "usage")):
            found = w.ctl("invite", *args, "--json", check=code).error
            assert found["code"] == name, (args, found)
        w.join("builder")
        assert w.ctl("invite", "builder", "--json", check=4).error["code"] == "name_taken"
        used = [i for i in w.ctl("invite", "--list", "--json").of("invite") if i["used_by"]]
        assert [i["used_by"] for i in used] == ["builder"]


@test("operator: a wildcard needs a public address")
def wildcard():
    with World() as w:
        w.run("sealpostd", "init", "--listen", f"tcp://*:{w.port}")
        w.start_broker()
        assert w.ctl("invite", "--json", check=4).error["code"] == "no_public_address"
        w.ctl("invite", "--host", f"127.0.0.1:{w.port}")
        status = w.ctl("status", "--json").one
        assert status["public"] is None and [p["code"] for p in status["problems"]] == ["no_public_address"]


@test("operator: agents and queues, what they say and what they do not")
def agents_and_queues():
    with World() as w:
        w.init_broker()
        w.start_broker()
        assert w.ctl("agents").out == b"" and w.ctl("queues", "--json").lines == []
        w.join("builder", "reviewer")
        names = [a["name"] for a in w.ctl("agents", "--json").of("agent")]
        assert names == ["builder", "reviewer"]
        one = w.ctl("agents", "builder", "--json").one
        assert one["state"] == "active" and one["circles"] == ["home"] and one["prekeys"] > 0
        assert w.ctl("agents", "bilder", "--json", check=6).error["hint"] == "sealpostctl agents builder"
        w.sp("builder", "send", "reviewer", "a very secret body")
        queue = w.ctl("queues", "--json").of("queue")
        assert [(q["name"], q["frames"], q["online"]) for q in queue] == [("reviewer", 1, 0)], queue
        frame = w.ctl("queues", "reviewer", "--json").one
        assert (frame["kind"], frame["from"], frame["to"], frame["seq"]) == ("request", "builder", "reviewer", 1)
        assert "secret" not in w.ctl("queues", "reviewer").text
        assert w.ctl("queues", "nobody", "--json", check=6).error["code"] == "unknown_agent"
        status = w.ctl("status", "--json").one
        assert (status["agents"], status["frames"], status["accepted_total"]) == (2, 1, 1), status


@test("operator: joining can wait for a person")
def approval():
    with World() as w:
        w.init_broker()
        w.start_broker()
        invites = {name: w.invite(name, "--approve") for name in ("alice", "mallory")}
        for name, url in invites.items():
            w.sp(None, "join", "-", input=url + "\n")
        waiting = w.ctl("agents", "--pending", "--json").of("agent")
        assert sorted(a["name"] for a in waiting) == ["alice", "mallory"]
        assert {a["state"] for a in waiting} == {"pending"}
        assert w.ctl("agents", "--approve", "alice", "--json", check=2).error["code"] == "needs_yes"
        done = w.ctl("agents", "--approve", "alice", "--yes", "--json").one
        assert done["name"] == "alice" and done["state"] == "active"
        assert w.ctl("agents", "--deny", "mallory", "--yes", "--json").one["name"] == "mallory"
        assert w.ctl("agents", "--pending", "--json").lines == []
        assert w.ctl("agents", "--approve", "mallory", "--yes", "--json", check=6).error["code"] == "unknown_agent"
        assert w.ctl("agents", "--approve", "a", "--deny", "b", check=2).err


@test("operator: status --wait is how scripts wait")
def status_wait():
    with World() as w:
        begin = time.monotonic()
        assert w.ctl("status", "--wait", "300ms", "--json", check=3).error["code"] == "broker_not_running"
        assert time.monotonic() - begin >= 0.3
        w.init_broker()
        waiting = w.start("sealpostctl", "status", "--wait", "60s", "--json", stdout=subprocess.PIPE)
        w.start("sealpostd", "run", stderr=subprocess.DEVNULL)
        out, _ = waiting.communicate(timeout=DEADLINE)
        assert waiting.returncode == 0 and json.loads(out)["state"] == "running"
        assert w.ctl("status", "--wait", "soon", check=2).err


@test("operator: a full log or a closed one does not stop the mail")
def log_closed():
    with World() as w:
        w.init_broker()
        with open("/dev/full", "w") as full:
            w.broker = w.start("sealpostd", "run", "--log-level", "debug", stdout=full, stderr=full)
        w.ctl("status", "--wait", "20s")
        w.join("builder", "reviewer")
        w.sp("builder", "send", "reviewer", "hello")
        assert w.bodies("reviewer") == ["hello"]
        w.stop_broker()
        daemon = os.path.join(world.BIN, "sealpostd")
        w.broker = subprocess.Popen(["sh", "-c", 'exec "$0" run --log-level debug <&- >&- 2>&-', daemon], env=w.env)
        w.children.append(w.broker)
        w.ctl("status", "--wait", "20s")
        w.sp("builder", "send", "reviewer", "again", "--wait", "stored")
        assert w.bodies("reviewer") == ["again"]
        w.stop_broker()
        for name in os.listdir(w.broker_dir):
            path = file_of(w, name)
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    assert b"event=" not in f.read(), f"log lines in {name}"
