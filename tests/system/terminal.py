"""A command on a pseudo-terminal: what a person sees and types."""
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

import world

SEQUENCE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")


def screen(text):
    """The lines that stand on the screen after `text`: of control sequences those that our programs use."""
    lines, row, column, at = [""], 0, 0, 0
    while at < len(text):
        sequence = SEQUENCE.match(text, at)
        if sequence:
            at = sequence.end()
            if sequence.group(2) == "A":
                row = max(0, row - int(sequence.group(1) or 1))
            elif sequence.group(2) in "JK":
                lines[row] = lines[row][:column]
                if sequence.group(2) == "J":
                    del lines[row + 1:]
            else:
                raise AssertionError(f"a sequence that is not known here: {sequence.group(0)!r}")
            continue
        c = text[at]
        at += 1
        if c == "\r":
            column = 0
        elif c == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        else:
            lines[row] = lines[row][:column].ljust(column) + c + lines[row][column + 1:]
            column += 1
    return lines


class Terminal:
    """Ended with close(), which gives the exit code; `seen` is all that was written."""

    def __init__(self, w, *args, argv=None, env=None):
        self.master, slave = pty.openpty()
        self.child = subprocess.Popen(
            argv or [os.path.join(world.BIN, "sealpost"), *args], stdin=slave, stdout=slave, stderr=slave,
            env={**w.env, "TERM": "xterm", **(env or {})}, cwd=w.work, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        w.children.append(self.child)
        os.close(slave)
        self.seen = b""

    @property
    def lines(self):
        return screen(self.seen.decode(errors="replace"))

    def read(self, seconds):
        """False: nothing more will come."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.master, 4096)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def until(self, condition, timeout=world.DEADLINE):
        """`condition`: bytes that must have been written, or a function of us."""
        holds = condition if callable(condition) else lambda _: condition in self.seen
        finish = time.monotonic() + timeout
        while not holds(self):
            assert time.monotonic() < finish, f"it did not come: {condition!r} in {self.seen!r}"
            assert self.read(0.1) or holds(self), f"ended without {condition!r}: {self.seen!r}"

    def line(self, text):
        """Until a line of the screen begins so."""
        self.until(lambda t: any(line.startswith(text) for line in t.lines))

    def type(self, text):
        os.write(self.master, text.encode())

    def close(self, timeout=world.DEADLINE):
        finish = time.monotonic() + timeout
        while self.read(0.1):
            assert time.monotonic() < finish, f"it does not end: {self.seen!r}"
        os.close(self.master)
        return self.child.wait(timeout=timeout)
