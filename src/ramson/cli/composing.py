"""Where a person types at a terminal while messages come in: the half-typed line stays whole below them.

What is printed meanwhile (to `sys.stdout` or `sys.stderr`) appears above the line; below it is a status.  Without a
terminal, lines come from standard input as they are.  What was typed is remembered as long as the program runs, and
nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import termios
import threading
import tty
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

PROMPT: Final = "> "


class Composer:
    """The line that is being typed."""

    def __init__(self, status: Callable[[], str], changed: Callable[[bool], None]) -> None:
        """`status` is asked for what stands below the line; `changed` is told whether something stands in it."""
        from prompt_toolkit import PromptSession  # noqa: PLC0415 - costs a quarter of a second, which others need not pay

        from ramson.cli.keyboard import Keyboard  # noqa: PLC0415 - as above

        keyboard = Keyboard(sys.stdin)
        self._session: PromptSession[str] = PromptSession(
            PROMPT, bottom_toolbar=status, erase_when_done=False, input=keyboard
        )
        self._session.default_buffer.on_text_changed += lambda buffer: changed(bool(buffer.text))

    async def lines(self) -> AsyncGenerator[str, None]:
        """Yield lines as they are entered, until the end of the input or Ctrl-C."""
        from prompt_toolkit.patch_stdout import patch_stdout  # noqa: PLC0415 - as above

        with _typing_kept(), patch_stdout(), contextlib.suppress(EOFError, KeyboardInterrupt):
            while True:
                yield await self._session.prompt_async(handle_sigint=False)  # one that is sent ends the program

    def refresh(self) -> None:
        """Show the status anew."""
        self._session.app.invalidate()


@contextlib.contextmanager
def _typing_kept() -> Iterator[None]:
    """Have the terminal keep what is typed between two prompts for the next one: it would take a Ctrl-D for itself."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def at_a_terminal() -> bool:
    """Tell whether a person types and sees what is printed."""
    return sys.stdin.isatty() and sys.stdout.isatty()


async def standard_input() -> AsyncGenerator[str, None]:
    """Yield the lines of standard input, whatever it is.

    A thread reads, because a terminal, a pipe and a file cannot all be waited for in the same way; it ends with the
    program.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            for typed in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, typed)
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="typing", daemon=True).start()
    while (typed := await lines.get()) is not None:
        yield typed.rstrip("\r\n")
