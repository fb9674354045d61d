"""docs/tutorial.md is walked from its first command to its last, each in a shell on a terminal, and every line
that the page shows must be printed.  Times and measured sizes may differ; ids and keys are others, but the same where
the page shows the same.

How the page is read: blocks without a language are walked.  `$ ` or `machine$ ` begins a command, the lines
after it are its output; each machine has a HOME of its own.  A block without a command shows what the last
command of the block before the previous one prints in the end: the block between them is another terminal.
A block that ends with a command that waits for another machine goes on beside the next block.
"""
import fcntl
import glob
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time

import world
from terminal import Terminal
from world import free_port, test

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
COMMAND = re.compile(r"(\w*)\$ (.*)")
READY = "ready> "
QUESTION = re.compile(r"(\[YOU\] > |Talk to \(number or name\): ?|.*\(y/n\) ?)(.*)")
LIMIT = world.DEADLINE  # a block of the page may take that long

FINGERPRINT = r"[a-z2-7]{4}(?:-[a-z2-7]{4}){7}"
# What differs from walk to walk: `bound` values are the same wherever the page shows the same.
BOUND = [FINGERPRINT, r"(?<![a-z2-7])[a-z2-7]{4}(?=-…)", r"\b[0-9a-f]{64}\b", r"\b[0-9a-f]{32}\b",
         r"\b(?=[0-9a-f]*\d)[0-9a-f]{8}\b", r"(?<=trace )[0-9a-f]{4}\b"]
FREE = [(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"),
        (r"\b\d\d:\d\dZ", r"\d\d:\d\dZ"),
        (r"\d+\.\d+ [KMG]iB", r"\d+\.\d+ [KMG]iB"),
        (r"\b\d+ (?:ms|us)\b", r"\d+(?:\.\d+)? (?:ms|us)"),
        (r"\b\d+(?:ms|s)\b", r"(?:\d+(?:ms|s|m)|online)"),
        (r"(?:ahead of|behind) the broker's", r"(?:ahead of|behind) the broker's"),
        (r"\d+ (?=sealed values)", r"\d+ "),
        (r"\d+ │$", r"\d+ │"),  # seconds, in the last column of a box
        (r"/home/\w+/", r"/\S+/")]
WILD = re.compile("|".join([f"(?P<bound>{'|'.join(BOUND)})"] +
                           [f"(?P<free{n}>{found})" for n, (found, _) in enumerate(FREE)]))


def plain(line):
    """Widths of columns follow their values; they do not count."""
    return re.sub(r" +", " ", re.sub(r"─+", "─", line)).rstrip()


class Values:
    """Which id, key and digest of the page is which here."""

    def __init__(self):
        self.here = {}

    def find(self, shown):
        """The value here; None if it is not known yet.  A beginning stands for the whole."""
        for page, here in self.here.items():
            if page.startswith(shown):
                return here[:len(shown)]
        return None

    def pattern(self, line):
        """A regular expression for a line of the page, and the values it will tell."""
        told, out, at = {}, "", 0
        for wild in WILD.finditer(line):
            out += re.escape(line[at:wild.start()])
            at = wild.end()
            shown = wild.group()
            if wild.lastgroup != "bound":
                out += FREE[int(wild.lastgroup[4:])][1]
            elif self.find(shown):
                out += re.escape(self.find(shown))
            elif shown in told:
                out += f"(?P={told[shown]})"
            else:
                told[shown] = f"v{len(told)}"
                kind = FINGERPRINT if "-" in shown else f"[0-9a-z]{{{len(shown)}}}"
                out += f"(?P<{told[shown]}>{kind})"
        return out + re.escape(line[at:]), told

    def fits(self, shown, line):
        """Is `line` what the page shows?  Then its values are known from now on."""
        pattern, told = self.pattern(plain(shown))
        match = re.fullmatch(pattern, plain(line))
        if not match:
            return False
        for page, name in told.items():
            for other, here in self.here.items():
                if here == match[name] or page.startswith(other) and not match[name].startswith(here):
                    return False
            self.here[page] = match[name]
        return True

    def command(self, text):
        """With the values of this walk: whole fingerprints and ids, and beginnings of at least four digits."""
        return re.sub(rf"{FINGERPRINT}|\b[0-9a-f]{{4,32}}\b", lambda m: self.find(m.group()) or m.group(), text)


SCP = """#!/bin/sh
cp "$1" "$(dirname "$0")/../${2%:}/"
"""


class Machine:
    """An account somewhere, with the programs in its path.  What it copies to another machine gets there."""

    def __init__(self, root, name):
        self.work = os.path.join(root, name or "here")
        tools = os.path.join(root, "tools")
        os.makedirs(self.work, 0o700, exist_ok=True)
        os.makedirs(tools, exist_ok=True)
        with open(os.path.join(tools, "scp"), "w", opener=lambda path, flags: os.open(path, flags, 0o755)) as f:
            f.write(SCP)
        path = f"{world.BIN}:{tools}:{os.environ['PATH']}"
        self.env = {"PATH": path, "HOME": self.work, "LANG": "C.UTF-8", "PS1": READY}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.children = []


class Shell(Terminal):
    """A person's terminal, with a list of what is to be typed and seen."""

    def __init__(self, machine, values, differences):
        super().__init__(machine, argv=["bash", "--norc", "--noprofile", "--noediting", "-i"])
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 5000, 0, 0))
        self.values, self.differences = values, differences
        self.script, self.typed, self.wanted, self.running = [], 0, [], None
        self.until(READY.encode())

    def add(self, lines):
        self.script += lines

    @property
    def back(self):
        return self.lines[-1] == READY

    @property
    def shown(self):
        """What stands there since the command, without what the shell says about its jobs."""
        lines = self.lines[1:-1] if self.back else self.lines[1:]
        return [line for line in lines if line.strip() and not re.match(r"\[\d+\][ +-]", line)]

    def unask(self):
        """A question that nobody answers gives way to what comes."""
        if self.wanted and QUESTION.fullmatch(self.wanted[-1]):
            self.wanted.pop()

    def matched(self):
        shown = self.shown
        for n, (want, line) in enumerate(zip(self.wanted, shown)):
            if not self.values.fits(want, line):
                return n
        return min(len(self.wanted), len(shown))

    def expects(self):
        """The next line of the page, and how much of it is there."""
        n = self.matched()
        return (self.wanted[n], self.shown[n] if n < len(self.shown) else "") if n < len(self.wanted) else (None, "")

    def goes_on(self):
        """Something comes by itself, and nobody has to type anything for it: what was typed, and what becomes of it."""
        return self.typed > self.matched() or self.expects()[0] in ("Stored", "Delivered")

    def step(self, others):
        """Does what can be done now; True when there is nothing left to do or to wait for."""
        self.read(0.02)
        if self.running is None or self.back:
            if self.running is not None:
                self.compare()
            if not self.script:
                return True
            self.running = self.values.command(COMMAND.fullmatch(self.script.pop(0)).group(2))
            self.seen, self.wanted, self.typed = b"", [], 0
            self.type(self.running + "\n")
        while self.script and not COMMAND.fullmatch(self.script[0]):
            self.wanted.append(self.script.pop(0))
        want, there = self.expects()
        question = QUESTION.fullmatch(want or "")
        if question and question.group(2) and self.values.fits(question.group(1), there) \
                and self.matched() >= self.typed:
            if not any(other.goes_on() for other in others if other is not self):
                self.typed = self.matched() + 1
                self.type(question.group(2) + "\n")
        return False

    def compare(self):
        shown = self.shown
        if self.matched() != len(shown) or len(shown) != len(self.wanted):
            self.differences.append("\n".join([f"$ {self.running}", "  the page:", *[f"    {l}" for l in self.wanted],
                                               "  here:", *[f"    {l}" for l in shown]]))
        self.running = None

    def reached(self):
        """All that is listed so far stands there."""
        return not self.script and self.matched() == len(self.wanted)


def go(shells, done):
    """Works on all of them until done(shell) of each."""
    finish = time.monotonic() + LIMIT
    while not all([done(shell) for shell in shells]):
        assert time.monotonic() < finish, "\n".join(
            f"it does not go on: {s.running}\n  next on the page: {s.expects()[0]!r}\n  there: {s.shown}" for s in shells)


class Walk:
    def __init__(self, root, machines):
        self.values, self.differences = Values(), []
        self.machines, self.shells = {name: Machine(root, name) for name in machines}, []
        self.ports = {True: free_port(), False: free_port()}

    def local(self, lines):
        """Addresses that are free here."""
        alone = all(m.group(1) == "" for m in map(COMMAND.fullmatch, lines) if m)
        port = str(self.ports[alone])
        out = []
        for line in lines:
            line = re.sub(r"\b5752\b", port, line).replace("broker.example", "localhost")
            out.append(re.sub(r"\$ sealpostd init$", f"$ sealpostd init --listen tcp://127.0.0.1:{port}", line))
        return out

    def shell(self, name, busy=None):
        machine = self.machines[name]
        for other in self.shells:
            if other.machine is machine and other is not busy:
                return other
        shell = Shell(machine, self.values, self.differences)
        shell.machine = machine
        self.shells.append(shell)
        return shell

    def begin(self, lines, busy=None):
        """Starts a block; all but what the last machine has to do in it is done then."""
        shell = None
        for line in self.local(lines):
            command = COMMAND.fullmatch(line)
            if command:
                following = self.shell(command.group(1), busy)
                if shell not in (None, following):
                    self.finish(shell)
                shell = following
            shell.add([line])
        return shell

    def finish(self, *shells):
        go(shells, lambda shell: shell.step(shells))

    def blocks(self, blocks):
        while blocks:
            block = blocks.pop(0)
            shell = self.begin(block)
            if len(blocks) > 1 and not COMMAND.fullmatch(blocks[1][0]):
                go([shell], lambda s: s.step([s]) or s.running and s.reached())
                other = self.begin(blocks.pop(0), busy=shell)
                assert shell.running, "\n".join([*self.differences, "it ended, and should go on"])
                shell.unask()
                shell.add(self.local(blocks.pop(0)))
                self.finish(other, shell)
                continue
            waits = COMMAND.fullmatch(next(line for line in reversed(block) if COMMAND.fullmatch(line)))
            beside = blocks and COMMAND.fullmatch(blocks[0][0])
            if beside and " --wait" in waits.group(2) and beside.group(1) != waits.group(1):
                other = self.begin(blocks.pop(0))
                self.finish(shell, other)
                continue
            self.finish(shell)

    def end(self):
        """Whatever runs in our terminals' sessions ends."""
        sessions = {shell.child.pid for shell in self.shells}
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path) as f:
                    pid, session = path.split("/")[2], f.read().rsplit(")", 1)[1].split()[3]
                if int(session) in sessions:
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
        for shell in self.shells:
            shell.child.wait()
            os.close(shell.master)


def page():
    with open(os.path.join(ROOT, "docs", "tutorial.md")) as f:
        return f.read()


@test("tutorial: every command of the page in order, every line it shows")
def tutorial():
    blocks = re.findall(r"^```\n(.*?)^```$", re.sub(r"^```\w+\n.*?^```$", "", page(), flags=re.S | re.M), re.S | re.M)
    blocks = [[line for line in block.splitlines() if line.strip()] for block in blocks]
    assert len(blocks) > 30 and sum(bool(COMMAND.fullmatch(line)) for b in blocks for line in b) > 60, len(blocks)
    root = tempfile.mkdtemp(prefix="sealpost-test-")
    walk = Walk(root, {m.group(1) for block in blocks for m in map(COMMAND.fullmatch, block) if m})
    try:
        walk.blocks(blocks)
        assert not walk.differences, "\n".join(["the page shows something else:"] + walk.differences)
    finally:
        if walk.differences:
            print("\n".join(walk.differences))
        walk.end()
        shutil.rmtree(root, ignore_errors=True)


@test("tutorial: the packages to install are those that a build needs")
def packages():
    named = re.search(r"apt-get install (.*?)\ncmake", page(), re.S).group(1).replace("\\\n", " ").split()
    needed = subprocess.run(["sh", "-c", '. "$1"; echo $BUILD_PACKAGES', "sh", os.path.join(ROOT, "deploy", "packages")],
                            capture_output=True, text=True, check=True).stdout.split()
    assert sorted(named) == sorted(needed), (named, needed)
