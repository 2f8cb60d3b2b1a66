"""The SDK for programs without asyncio: the same names, verbs and errors, and calls that wait.

    from ramson.sync import Client, timeout

    with Client.open("me.ramson", passphrase="…") as me:
        receipt = me.send("05…", "hello")
        for message in me.messages():
            message.reply("hi")

The work is done by one thread in the background.  Everything may be used from several threads, but an iteration by
one only.  Ctrl-C ends a call, then the `with`.  `timeout` bounds how long calls wait.  Handlers of its `Bot` are
ordinary functions.  What is not here (account ids, filters, errors, receipts, …) is taken from `ramson`.
"""

from ramson.sync.bot import Bot, Router
from ramson.sync.facade import *  # noqa: F403 - the names are those that were written
from ramson.sync.facade import __all__ as _written
from ramson.sync.loop import Iteration, WrongThread, timeout

__all__ = [*_written, "Bot", "Iteration", "Router", "WrongThread", "timeout"]  # noqa: PLE0604 - they are strings
