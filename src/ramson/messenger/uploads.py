"""Puts the files of messages on the file server; a message is sealed and goes to the outbox when all of them are there.

Theory of operation.  A message with files enters the account file together with them, encrypted, in one transaction.
It is *sending* from then on, but has no envelope yet: an envelope holds where the files are.  Messages are
worked on side by side, their files one after the other.  An upload that succeeded is noted at once, so that no restart
makes it again; one whose answer was lost is repeated with the same bytes, of which a server that names files by
their content keeps one copy.  With the last file the message is sealed and queued, in one transaction.

So files do not hold up what is written after them: a text may arrive earlier than the picture before it, and
everybody's program shows both by their sent times.

Where the server takes a file in pieces, the place where its upload goes on is noted beside its bytes, which never
change, so a restart goes on with just these bytes; the share of what is uploaded grows piece by piece, elsewhere file
by file.  A message that is taken back meanwhile ends its upload with the next piece.

Failures delay a message, each time longer while nothing gets through, up to `LONGEST_DELAY`; what a server refuses
`REFUSALS` times in a row, or at once as too large, fails the message for good.  Its files stay, so that it can be sent
again.

Spec: files-and-push.md §7.2; messaging.md §3.3.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ramson.crypto.files import FileTooLarge
from ramson.errors import ParseError, RemoteError
from ramson.messenger import letters
from ramson.messenger.attached import WaitingFile
from ramson.messenger.file_errors import FileError
from ramson.messenger.file_transfers import Transfers, Uploaded
from ramson.messenger.message import NoFileServer, Receipt
from ramson.messenger.pulse import Pulse
from ramson.messenger.store import Store
from ramson.protocol.file_url import FileUrl

REFUSALS: Final = 5  # in a row, before a message is given up
SHORTEST_DELAY: Final = 2.0  # seconds; a transfer has tried several times before it fails
LONGEST_DELAY: Final = 300.0
AT_ONCE: Final = 2  # uploads at the same time: each holds a file in memory, several times over
LOOK_AGAIN: Final = 5.0  # seconds; another program may have put something into the file

_TOO_LARGE: Final = 413
_PASSING: Final = frozenset({408, 425, 429})  # of the 4xx answers, those that time heals

_log = logging.getLogger(__name__)


class _TakenBack(Exception):
    """The file is not wanted any more."""


class Uploads:
    """The uploading side of one account; `run` does the work.

    `on_progress` is told of each step, `on_settled` of a message that failed for good; `queued` is called when one was
    put into the outbox.  Without `transfers` there is no file server, and what waits goes on waiting.  `now` gives
    network time in ms.
    """

    def __init__(
        self,
        store: Store,
        transfers: Transfers | None,
        entropy: random.Random,
        now: Callable[[], int],
        *,
        on_progress: Callable[[Receipt], None],
        on_settled: Callable[[Receipt], None],
        queued: Callable[[], None],
    ) -> None:
        self._store = store
        self._attached = store.attached
        self._transfers = transfers
        self._entropy = entropy
        self._now = now
        self._on_progress = on_progress
        self._on_settled = on_settled
        self._queued = queued
        self._busy: set[int] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._filled = Pulse()
        self._hurry = Pulse()

    @property
    def possible(self) -> bool:
        """Whether there is a file server."""
        return self._transfers is not None

    async def run(self) -> None:
        """Upload until cancelled."""
        with self._store.db.transaction():
            self._attached.forget_staged(self._now())
        async with asyncio.TaskGroup() as group:
            while True:
                for message in self._attached.waiting():
                    if message not in self._busy:
                        self._busy.add(message)
                        group.create_task(self._message(message))
                await self._filled.wait(LOOK_AGAIN)

    def wake(self) -> None:
        """Look for messages with files that were just written."""
        self._filled.fire()

    def hurry(self) -> None:
        """End every delay now."""
        self._hurry.fire()

    async def _message(self, message: int) -> None:
        try:
            delay, refusals = SHORTEST_DELAY, 0
            while message in self._attached.waiting():
                before = self._store.receipt(message).uploaded
                try:
                    uploaded = await self._upload_next(message)
                except _TakenBack:
                    return
                except (RemoteError, FileTooLarge) as error:
                    if self._store.receipt(message).uploaded > before:
                        delay = SHORTEST_DELAY
                    refusals = refusals + 1 if _is_refusal(error) else 0
                    if refusals == REFUSALS or _is_too_large(error):
                        self._failed(message, str(error))
                        return
                    self._delayed(message, str(error))
                    _log.info("a file waits: %s", type(error).__name__)
                    await self._hurry.wait(delay * self._entropy.uniform(0.75, 1.25))
                    delay = min(2 * delay, LONGEST_DELAY)
                else:
                    if not uploaded:
                        self._seal(message)
                        return
                    delay, refusals = SHORTEST_DELAY, 0
        finally:
            self._busy.discard(message)

    async def _upload_next(self, message: int) -> bool:
        """Upload the next file of a message; return whether there was one.

        Raises RemoteError, FileTooLarge, _TakenBack.
        """
        if self._transfers is None:
            raise NoFileServer("this network has no file server")
        async with self._slots:  # before the file is read: nobody waits with one in memory
            file = self._attached.next_file(message)
            if file is None:
                return False
            uploaded = await self._upload(self._transfers, message, file)
        with self._store.db.transaction():
            self._attached.uploaded(file.id, str(uploaded.url))
            self._store.upload_went(message, "")
        self._on_progress(self._store.receipt(message))
        return True

    async def _upload(self, transfers: Transfers, message: int, file: WaitingFile) -> Uploaded:
        def note(where: str) -> None:
            with self._store.db.transaction():
                self._attached.begun(file.id, where)

        def progress(done: int, total: int) -> None:
            if done in {0, total}:  # the end is told when it is known where the file is
                return
            with self._store.db.transaction():
                if not self._attached.sent(file.id, done):
                    raise _TakenBack
                self._store.upload_went(message, "")
            self._on_progress(self._store.receipt(message))

        return await transfers.upload(file.blob, deterministic=False, begun=file.begun, note=note, progress=progress)

    def _delayed(self, message: int, reason: str) -> None:
        with self._store.db.transaction():
            self._store.upload_went(message, reason)
        self._on_progress(self._store.receipt(message))

    def _failed(self, message: int, reason: str) -> None:
        with self._store.db.transaction():
            self._store.fail(message, reason)
        self._on_settled(self._store.receipt(message))

    def _seal(self, message: int) -> None:
        """Seal a message whose files are all uploaded, and queue it."""
        with self._store.configs.changing():
            found = self._store.conversations.text(message)
            conversation = self._store.conversations.conversation_of(message)
            places = self._attached.urls(message)
            if found is None or conversation is None or not places or not all(places.values()):
                return  # another program with the same file has sealed it, or it was taken back
            urls = {place: FileUrl.parse(url) for place, url in places.items()}
            attachments = tuple(
                replace(pointer, url=str(urls[place]), id=urls[place].numeric_id) if place in urls else pointer
                for place, pointer in enumerate(found.attachments)
            )
            text = replace(found, attachments=attachments, sync_target=None, origin=b"")
            self._store.queue_sealed(message, letters.write(text, self._store.keys, conversation, self._entropy))
        self._queued()


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, ParseError) or (
        isinstance(error, FileError) and 400 <= error.status < 500 and error.status not in _PASSING
    )


def _is_too_large(error: Exception) -> bool:
    return isinstance(error, FileTooLarge) or (isinstance(error, FileError) and error.status == _TOO_LARGE)
