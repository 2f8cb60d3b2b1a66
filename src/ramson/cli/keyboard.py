"""What is typed at a terminal, of which nothing is lost while something else is printed there.

While text is printed above the line, prompt_toolkit gives the terminal back its ordinary mode, as for a program that is
run in between.  A terminal in that mode takes Ctrl-D, Ctrl-C, Backspace and their like for itself, and shows the rest a
second time.  Nothing but printing happens here, so the mode stays as it is.

It is a module of its own because prompt_toolkit takes a quarter of a second to import.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

from prompt_toolkit.input.vt100 import Vt100Input


class Keyboard(Vt100Input):
    """The keyboard of the terminal that is standard input."""

    def cooked_mode(self) -> AbstractContextManager[None]:
        """Leave the mode as it is; what is typed waits in the terminal until the line is drawn anew."""
        return contextlib.nullcontext()
