"""Typing at a terminal while messages come in, as a person sees it: on a pseudo-terminal with a screen of its own."""

import re
import sys

import pytest
from screens import Screen

CHILD = """
import asyncio, contextlib, sys
from ramson.cli.composing import Composer, at_a_terminal
from ramson.cli.harmless import printable

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


@pytest.fixture
def run():
    """Run Python at a terminal of its own."""
    started = []

    def start(script):
        at = Screen()
        started.append((at, at.start([sys.executable, "-c", script])))
        return at

    yield start
    for at, program in started:
        program.kill()
        program.wait()
        at.close()


@pytest.fixture
def screen(run):
    def start(stranger="hello"):
        return run(CHILD.replace("STRANGER", repr(stranger)))

    return start


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


def test_what_is_typed_while_something_is_printed_is_not_lost(run):
    at = run(CHILD.replace("STRANGER", "'many words ' * 20_000"))  # more than a terminal takes before somebody reads
    at.until("nothing yet")
    at.type("x")
    at.until("Bob: ")
    at.type("\x7fhello, you\x17me\r\x04")  # Backspace, Ctrl-W and Ctrl-D are no affair of the terminal
    at.until("GOT 'hello, me'")
    at.until("TOLD True")


def test_what_a_peer_put_into_an_error_or_a_files_name_can_do_nothing_either(run):
    script = """
from ramson.cli.report import report
from ramson.cli.terminal import note, progress
from ramson.errors import RemoteError
hostile = "\\x1b[2J[/red][link=x]\\rname"
report(RemoteError("the node said " + hostile))
note("saving " + hostile)
with progress("Saving…") as show:
    show("file " + hostile)
print("well over")
"""
    at = run(script)
    seen = at.until("well over")
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
