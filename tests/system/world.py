"""A whole Sealpost world in one temporary HOME: a broker, agents, and the commands of people.

Everything goes through the programs, as docs/cli.md describes them.  Waits are for conditions.
"""
import base64
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import objects

BIN = None  # directory of sealpost, sealpostd, sealpostctl; set by run
DEADLINE = 60  # a condition that does not come true within this time is a failure


def wait_until(condition, what, timeout=DEADLINE):
    """Polls until the condition is true, and gives its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"did not happen within {timeout} s: {what}"
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@functools.cache
def exits(program):
    """The exit codes that the help of each command names."""
    done = subprocess.run([os.path.join(BIN, program), "help", "--json"], capture_output=True, check=True)
    return {o["name"]: o["exits"] for o in map(json.loads, done.stdout.splitlines())}


def check_exit(program, args, result):
    """Nobody is surprised by an exit code: wrong use and signals aside, help has told it."""
    told = exits(program)
    verb = next((arg for before, arg in zip(("", *args), args) if arg in told and before != "-a"), None)
    if verb and result.code not in (2, 64) and 0 <= result.code < 128:
        assert result.code in told[verb], f"the help of {verb} does not name exit {result.code}: {result}"


class Result:
    """What a command said."""

    def __init__(self, argv, code, out, err, took):
        self.argv, self.code, self.out, self.err, self.took = argv, code, out, err, took

    @property
    def text(self):
        return self.out.decode()

    @property
    def lines(self):
        """Objects of --json output, each held against the page."""
        found = []
        for line in self.text.splitlines():
            obj = json.loads(line)
            objects.check(obj, line)
            found.append(obj)
        return found

    def of(self, kind):
        return [o for o in self.lines if o["type"] == kind]

    @property
    def one(self):
        assert len(self.lines) == 1, f"one object expected: {self}"
        return self.lines[0]

    @property
    def error(self):
        """The error object, which must be the last line of stdout."""
        lines = self.lines
        assert lines and lines[-1]["type"] == "error", f"no error object: {self}"
        assert lines[-1]["exit"] == self.code, f"exit {self.code} differs from the object's: {self}"
        assert not self.err, f"stderr is not empty: {self}"
        return lines[-1]

    def __str__(self):
        return (f"{' '.join(self.argv)} -> {self.code}\n  stdout: {self.out[:1500]!r}\n"
                f"  stderr: {self.err.decode(errors='replace')[:1500]}")


class World:
    """One HOME.  Use as a context; what it started ends with it."""

    def __init__(self, config="", port=None):
        # a long path: sockets must not care
        self.root = tempfile.mkdtemp(prefix="sealpost-test-")
        self.home = os.path.join(self.root, "home-" + "x" * 100)
        os.mkdir(self.home, 0o700)
        self.work = os.path.join(self.root, "work")
        os.mkdir(self.work, 0o700)
        self.config = config
        self.port = port or free_port()
        self.env = {"PATH": os.environ["PATH"], "SEALPOST_HOME": self.home, "HOME": self.root, "LANG": "C"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.children = []
        self.broker = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        if kind is not None:
            self.print_log()
        shutil.rmtree(self.root, ignore_errors=True)

    def print_log(self):
        log = os.path.join(self.root, "broker.log")
        if os.path.exists(log):
            with open(log, errors="replace") as f:
                tail = f.read()[-2000:]
            print("  | " + "\n  | ".join(tail.splitlines()))

    # -------------------------------------------------------------- programs

    def run(self, program, *args, input=None, timeout=DEADLINE, env=None, cwd=None, check=0):
        """Runs to the end.  `check`: the exit code that it must have; None: any."""
        argv = [os.path.join(BIN, program), *args]
        if isinstance(input, str):
            input = input.encode()
        begin = time.monotonic()
        done = subprocess.run(argv, input=input, stdin=subprocess.DEVNULL if input is None else None,
                              capture_output=True, timeout=timeout, env={**self.env, **(env or {})},
                              cwd=cwd or self.work)
        result = Result([program, *args], done.returncode, done.stdout, done.stderr, time.monotonic() - begin)
        if check is not None:
            assert result.code == check, f"exit {check} expected: {result}"
        check_exit(program, args, result)
        return result

    def sp(self, agent, *args, **kw):
        """sealpost -a AGENT ARGS"""
        return self.run("sealpost", *(["-a", agent] if agent else []), *args, **kw)

    def json(self, agent, *args, **kw):
        return self.sp(agent, *args, "--json", **kw)

    def ctl(self, *args, **kw):
        return self.run("sealpostctl", *args, **kw)

    def start(self, program, *args, env=None, **kw):
        """A process that stays; what is not asked for of its streams is empty or thrown away."""
        kw.setdefault("stdout", subprocess.DEVNULL)
        kw.setdefault("stderr", subprocess.DEVNULL)
        child = subprocess.Popen([os.path.join(BIN, program), *args], stdin=kw.pop("stdin", subprocess.DEVNULL),
                                 env={**self.env, **(env or {})}, cwd=self.work, **kw)
        self.children.append(child)
        return child

    def start_shell(self, script, *args):
        """sh -c SCRIPT with our programs first in the path; its stdout is a pipe."""
        child = subprocess.Popen(["sh", "-c", script, "sh", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, cwd=self.work,
                                 env={**self.env, "PATH": BIN + ":" + self.env["PATH"]})
        self.children.append(child)
        return child

    # -------------------------------------------------------------- broker

    @property
    def broker_dir(self):
        return os.path.join(self.home, "broker")

    @property
    def database(self):
        return os.path.join(self.broker_dir, "broker.db")

    def init_broker(self):
        self.run("sealpostd", "init", "--listen", f"tcp://127.0.0.1:{self.port}")
        if self.config:
            self.set_broker(self.config)

    def set_broker(self, settings):
        """section/key=value lines into sealpostd.conf."""
        path = os.path.join(self.broker_dir, "sealpostd.conf")
        sections = {"listen": [f"endpoint = tcp://127.0.0.1:{self.port}"]}
        for line in settings.split():
            key, value = line.split("=")
            section, name = key.split("/")
            sections.setdefault(section, []).append(f"{name} = {value}")
        with open(path, "w") as f:
            for section, lines in sections.items():
                f.write(section + "\n" + "".join(f"    {line}\n" for line in lines))

    def start_broker(self, env=None):
        log = open(os.path.join(self.root, "broker.log"), "ab")
        self.broker = self.start("sealpostd", "run", env=env, stdout=log, stderr=log)
        log.close()
        self.ctl("status", "--wait", "20s")
        return self.broker

    def kill_broker(self):
        self.broker.kill()
        self.broker.wait()

    def stop_broker(self):
        self.ctl("stop")
        assert self.broker.wait(timeout=DEADLINE) == 0

    # -------------------------------------------------------------- agents

    def invite(self, *args):
        return self.ctl("invite", *args).text.strip()

    def json_invite(self, *args):
        return self.ctl("invite", *args, "--json").one

    def join(self, *names):
        for name in names:
            self.sp(None, "join", "-", input=self.invite(name) + "\n")

    def befriend(self, a, b):
        """First contact is behind them: both have a session that both know to be active."""
        self.sp(a, "send", b, "first contact")
        assert self.bodies(b, "--wait", "-t", "30s") == ["first contact"]
        wait_until(lambda: self.json(a, "status").one["sessions"] > 0 and not self.json(a, "outbox").lines,
                   "the sender has heard")

    def profile(self, agent):
        return os.path.join(self.home, "agents", agent)

    def fetch(self, agent, *args):
        """Everything that recv gives, as objects."""
        return self.json(agent, "recv", *args, check=None).of("message")

    def bodies(self, agent, *args):
        return [m["body"] for m in self.fetch(agent, *args)]

    def wait_owner(self, agent):
        """Until a command that stays serves the profile."""
        path = os.path.join(self.profile(agent), "agent.sock")
        wait_until(lambda: os.path.exists(path), f"{agent} is served")

    def owner(self, agent):
        return Owner(os.path.join(self.profile(agent), "agent.sock"))

    def sql(self, query):
        done = subprocess.run(["sqlite3", "-readonly", "-separator", "|", self.database, query],
                              capture_output=True, text=True, check=False, timeout=DEADLINE)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


class Owner:
    """The private language of agent.sock, for what only a race could provoke."""

    def __init__(self, path):
        self.dir = os.open(os.path.dirname(path), os.O_RDONLY)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"/proc/self/fd/{self.dir}/agent.sock")
        self.file = self.socket.makefile("rw")

    def call(self, verb, **params):
        """Lines up to the end of the call."""
        self.file.write(json.dumps({"call": verb, "params": params, "started_ms": 0, "timeout_ms": None,
                                    "offline": True, "settle": []}) + "\n")
        self.file.flush()
        lines = []
        while not lines or "end" not in lines[-1]:
            line = self.file.readline()
            assert line, f"the owner hung up after {lines}"
            lines.append(json.loads(line))
        return lines

    def send(self, to, body, message_id):
        b64 = base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
        return self.call("send", to=to, id=message_id, body_b64=b64, media_type="text/plain", wait="queued")

    def abandon(self):
        """Hangs up in the middle of whatever it was."""
        self.socket.close()
        os.close(self.dir)
        try:
            self.file.close()
        except OSError:
            pass

    def close(self):
        self.file.close()
        self.socket.close()
        os.close(self.dir)


class Silence:
    """Accepts connections and never says a word."""

    def __init__(self, port):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(64)

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.socket.close()


CLOCK_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static long offset(void)
{
    const char *path = getenv("TEST_CLOCK_FILE");
    FILE *f = path ? fopen(path, "re") : NULL;
    long s = 0;
    if (f) { if (fscanf(f, "%ld", &s) != 1) s = 0; fclose(f); }
    return s;
}
int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*real)(clockid_t, struct timespec *);
    int rc;
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    rc = real(id, ts);
    if (rc == 0 && id == CLOCK_REALTIME) ts->tv_sec += offset();
    return rc;
}
"""


class Clock:
    """A process's wall clock, shifted; give .env to what shall live in it."""

    def __init__(self, world):
        source, library = os.path.join(world.root, "clock.c"), os.path.join(world.root, "clock.so")
        self.file = os.path.join(world.root, "clock-offset")
        with open(source, "w") as f:
            f.write(CLOCK_SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self.env = {"LD_PRELOAD": library, "TEST_CLOCK_FILE": self.file,
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.shift(0)

    def shift(self, seconds):
        with open(self.file + ".new", "w") as f:
            f.write(f"{seconds}\n")
        os.replace(self.file + ".new", self.file)


class Skip(Exception):
    """The machine lacks what a test needs; said aloud."""


TESTS = []


def test(title, long=False):
    """A long one begins first, so that nothing waits for it at the end."""
    def add(function):
        TESTS.insert(0 if long else len(TESTS), (title, function))
        return function
    return add


def end(child, number=signal.SIGTERM, timeout=DEADLINE):
    """Sends a signal and gives the exit code."""
    child.send_signal(number)
    return child.wait(timeout=timeout)


ID = re.compile(r"[0-9a-f]{32}")


def sent(result):
    """(id, state) of the fixed line that send prints."""
    match = re.fullmatch(r"([0-9a-f]{32}) (queued|stored|delivered|expired|refused)\n", result.text)
    assert match, f"not ID STATE: {result}"
    return match.groups()
