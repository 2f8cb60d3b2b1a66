"""Typing at a terminal while messages come in, as a person sees it: on a pseudo-terminal with a screen of its own."""

import os
import pty
import re
import select
import signal
import sys
import time

import pytest

CHILD = """
import asyncio, contextlib, sys
from ramson.cli.composing import Composer, at_a_terminal
from ramson.cli.terminal import printable

told = []

async def main():
    assert at_a_terminal()
    status = ["nothing yet"]
    composer = Composer(lambda: status[0], told.append)

    async def arrive():
        while not any(told):
            await asyncio.sleep(0.01)
        print("Bob: " + printable(STRANGER), flush=True)
        status[0] = "typing…"
        composer.refresh()

    arriving = asyncio.get_running_loop().create_task(arrive())
    async with contextlib.aclosing(composer.lines()) as lines:
        async for typed in lines:
            print("GOT " + repr(typed), flush=True)
            if typed == "/quit":
                break
    await arriving
    print("TOLD", any(told), flush=True)

asyncio.run(main())
"""


class Screen:
    """What a program writes to its terminal, and what is typed there."""

    def __init__(self, script):
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.environ["TERM"] = "xterm"
            os.execv(sys.executable, [sys.executable, "-c", script])
        self.text = ""

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def until(self, wanted, seconds=30.0):
        """Read until something is written; answer what the terminal is asked (where its cursor is)."""
        end = time.monotonic() + seconds
        while wanted not in self.text:
            ready = select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0]
            assert ready, f"{wanted!r} did not appear in {self.text!r}"
            try:
                piece = os.read(self.terminal, 65536).decode(errors="replace")
            except OSError:
                piece = ""
            assert piece, f"{wanted!r} did not appear in {self.text!r}"
            if "\x1b[6n" in piece:
                self.type("\x1b[1;1R")
            self.text += piece
        seen, self.text = self.text, self.text.split(wanted, 1)[1]
        return seen

    def close(self):
        os.close(self.terminal)
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)


@pytest.fixture
def screen():
    screens = []

    def start(stranger="hello"):
        screens.append(Screen(CHILD.replace("STRANGER", repr(stranger))))
        return screens[-1]

    yield start
    for each in screens:
        each.close()


def test_a_half_typed_line_stays_whole_when_a_message_comes(screen):
    at = screen()
    at.until("nothing yet")
    at.type("half a sen")
    at.until("Bob: hello")
    again = at.until("half a sen")  # drawn anew below what came
    assert again.index("> ") < again.index("half a sen")
    at.until("typing…")
    at.type("tence\r")
    at.until("GOT 'half a sentence'")
    at.type("/quit\r")
    at.until("TOLD True")


@pytest.mark.parametrize("keys", ["\x04", "\x03"])
def test_the_end_of_the_input_and_ctrl_c_end_it(screen, keys):
    at = screen()
    at.until("nothing yet")
    at.type("x")
    at.until("Bob: hello")
    at.until("typing…")
    at.type("\x15" + keys)  # the line is emptied first
    at.until("TOLD True")


def test_what_a_peer_put_into_an_error_or_a_files_name_can_do_nothing_either():
    script = """
from ramson.cli.terminal import note, progress, report
from ramson.errors import RemoteError
hostile = "\\x1b[2J[/red][link=x]\\rname"
report(RemoteError("the node said " + hostile))
note("saving " + hostile)
with progress("Saving…") as show:
    show("file " + hostile)
print("well over")
"""
    at = Screen(script)
    seen = at.until("well over")
    at.close()
    assert "The node said �[2J[/red][link=x]�name." in seen
    assert "saving �[2J[/red][link=x]�name" in seen
    assert "\x1b[2J" not in seen


def test_what_a_stranger_writes_can_do_nothing_to_the_terminal(screen):
    at = screen("\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b31m\u202eback\rover")
    at.until("nothing yet")
    at.type("x")
    seen = at.until("over")
    shown = seen[seen.index("Bob: ") : seen.index("over")]
    assert re.search(r"[\x1b\x07\x9b\r\u202e]", shown) is None
