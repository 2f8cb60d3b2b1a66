"""A terminal without a person: what a program writes to it, and what is typed there."""

import os
import pty
import select
import subprocess
import time


class Screen:
    """A pseudo-terminal of 80 columns; `start` runs a program at it."""

    def __init__(self):
        self._terminal, self.line = pty.openpty()  # `line` is the program's end of it
        self.text = ""

    def start(self, command, environment=os.environ):
        """Run a program whose input, output and errors are the terminal."""
        environment = environment | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        ends = dict.fromkeys(("stdin", "stdout", "stderr"), self.line)
        return subprocess.Popen(command, env=environment, start_new_session=True, **ends)

    def type(self, keys):
        os.write(self._terminal, keys.encode())

    def until(self, wanted, seconds=60.0):
        """Read until something is written; answer what the terminal is asked (where its cursor is)."""
        end = time.monotonic() + seconds
        while wanted not in self.text:
            ready = select.select([self._terminal], [], [], max(0, end - time.monotonic()))[0]
            assert ready, f"{wanted!r} did not appear in {self.text!r}"
            piece = os.read(self._terminal, 65536).decode(errors="replace")
            if "\x1b[6n" in piece:
                self.type("\x1b[1;1R")
            self.text += piece
        seen, self.text = self.text, self.text.split(wanted, 1)[1]
        return seen

    def leave(self, process, seconds=120.0):
        """Press Ctrl-D, and read until the program ends; return its exit code."""
        self.type("\x04")
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            if select.select([self._terminal], [], [], 0.1)[0]:
                piece = os.read(self._terminal, 65536)
                if b"\x1b[6n" in piece:
                    self.type("\x1b[1;1R")
        return process.poll()

    def close(self):
        os.close(self._terminal)
        os.close(self.line)
