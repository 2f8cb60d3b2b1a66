"""Files of messages, from a path to what a message carries, and from that to a path again.

A file to be sent is cleaned, encrypted and put into the account file before the message is written (`stage`), so that
it may be changed or deleted at once; `uploads` does the rest.  What others sent is fetched when somebody asks, never
by itself, and written under a name that cannot lead elsewhere.
Spec: files-and-push.md §7.1, §7.2; messaging.md §3.5 (nothing is fetched by itself).
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ramson.crypto.files import FileTooLarge, legacy, of_bytes
from ramson.errors import LocalError
from ramson.messenger.file_errors import FileGone
from ramson.messenger.file_names import free_place, safe_name
from ramson.messenger.file_transfers import Transfers, no_progress
from ramson.messenger.files import Files, SealedFile, seal_legacy
from ramson.messenger.images import cleaned, look_at
from ramson.messenger.message import Attachable, Attachment, FileState, FileToSend, NoFileServer, Progress
from ramson.messenger.own_picture import made_ready
from ramson.messenger.store import Store
from ramson.protocol import content
from ramson.protocol.content import MAX_ATTACHMENTS
from ramson.world import World

UNKNOWN: Final = "application/octet-stream"


class BadAttachment(LocalError):
    """A file that cannot be sent."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What a message will carry, in order; `waiting` are (id in the account file, place) of what is to be uploaded."""

    pointers: tuple[content.Attachment, ...] = ()
    waiting: tuple[tuple[int, int], ...] = ()


class Attachments:
    """The files of one open account; without a file server nothing can be sent or fetched."""

    def __init__(self, store: Store, world: World, files: Files | None, now: Callable[[], int]) -> None:
        self._store = store
        self._files = files
        self._entropy = world.entropy
        self._disk = world.disk()
        self._now = now

    @property
    def transfers(self) -> Transfers | None:
        """How blobs travel; None without a file server."""
        return None if self._files is None else self._files.transfers

    async def close(self) -> None:
        """Finish what the disk was given."""
        await self._disk.close()

    async def stage(self, wanted: Sequence[Attachable]) -> Staged:
        """Encrypt what is to be sent, one file after the other, and keep it in the account file.

        Raises BadAttachment, BadPicture, FileTooLarge, NoFileServer.
        """
        if len(wanted) > MAX_ATTACHMENTS:
            raise BadAttachment(f"a message has at most {MAX_ATTACHMENTS} attachments", remedy="Send several messages.")
        pointers: list[content.Attachment] = []
        waiting: list[tuple[int, int]] = []
        try:
            for place, each in enumerate(wanted):
                match each:
                    case content.Attachment():
                        pointers.append(each)
                    case Attachment():
                        pointers.append(_forwarded(each))
                    case _:
                        self._open()
                        file = each if isinstance(each, FileToSend) else FileToSend(Path(each))
                        pointer, sealed = await self._disk.run(lambda file=file: self._seal(file))  # type: ignore[misc]
                        pointers.append(pointer)
                        with self._store.db.transaction():
                            waiting.append((self._store.attached.stage(sealed.blob, self._now()), place))
        except BaseException:
            self.unstage(Staged(waiting=tuple(waiting)))
            raise
        return Staged(tuple(pointers), tuple(waiting))

    def unstage(self, staged: Staged) -> None:
        """Drop what was staged for a message that was not written."""
        if staged.waiting:
            with self._store.db.transaction():
                self._store.attached.unstage([number for number, _ in staged.waiting])

    def _seal(self, file: FileToSend) -> tuple[content.Attachment, SealedFile]:
        data = _content(file)
        found = look_at(data)
        if not file.keep_metadata:
            data = cleaned(data)
        name = file.name or (file.content.name if isinstance(file.content, Path) else "")
        guessed = (found.content_type if found else "") or mimetypes.guess_type(name)[0] or UNKNOWN
        sealed = seal_legacy(of_bytes(data), len(data), self._entropy)
        pointer = content.Attachment(
            key=sealed.key,
            digest=sealed.digest,
            size=sealed.size,
            content_type=file.content_type or guessed,
            file_name=safe_name(name),
            caption=file.caption,
            width=found.width if found else 0,
            height=found.height if found else 0,
            voice=file.voice,
        )
        return pointer, sealed

    async def own_picture(self, picture: Path | bytes) -> bytes:
        """Make a profile picture ready, off the event loop.

        Raises NoPicture, BadPicture, BadAttachment, FileTooLarge.
        """
        return await self._disk.run(lambda: made_ready(_content(FileToSend(picture))))

    async def save_file(self, attachment: Attachment, path: Path, progress: Progress | None) -> Path:
        """See `Attachment.save`."""
        files, pointer = self._fetchable(attachment)
        target = await self._disk.run(lambda: _place(path, attachment))
        try:
            await files.save(pointer, target, progress=progress or no_progress)
        except FileGone:
            self._note(attachment, FileState.GONE)
            raise
        self._note(attachment, FileState.SAVED)
        return target

    async def read_file(self, attachment: Attachment, progress: Progress | None) -> bytes:
        """See `Attachment.read`."""
        files, pointer = self._fetchable(attachment)
        try:
            return await files.load(pointer, progress=progress or no_progress)
        except FileGone:
            self._note(attachment, FileState.GONE)
            raise

    def _fetchable(self, attachment: Attachment) -> tuple[Files, content.Attachment]:
        if attachment.state is FileState.WAITING:
            raise BadAttachment("this file has not been uploaded yet", remedy="Wait until the message is sent.")
        return self._open(), attachment.pointer

    def _note(self, attachment: Attachment, state: FileState) -> None:
        with self._store.db.transaction():
            self._store.attached.note(attachment.message, attachment.place, state)

    def _open(self) -> Files:
        if self._files is None:
            raise NoFileServer(
                "this network has no file server, so files can be neither sent nor fetched",
                remedy="Name one in network.json, as `ramson devnet` does.",
            )
        return self._files


def _forwarded(attachment: Attachment) -> content.Attachment:
    if not attachment.pointer.url:
        raise BadAttachment("this file has not been uploaded yet", remedy="Send the file itself.")
    return attachment.pointer


def _content(file: FileToSend) -> bytes:
    """Return the bytes of a file, which are not read if there are too many.  Raises BadAttachment, FileTooLarge."""
    if isinstance(file.content, bytes):
        data = file.content
    else:
        try:
            with file.content.open("rb") as opened:
                data = opened.read(legacy.MAX_SIZE + 1)
                if len(data) > legacy.MAX_SIZE:
                    raise FileTooLarge(max(len(data), os.fstat(opened.fileno()).st_size), legacy.MAX_SIZE)
        except OSError as error:
            raise BadAttachment(
                f"the file {file.content} cannot be read: {error.strerror}", remedy="Check the path."
            ) from None
    if len(data) > legacy.MAX_SIZE:
        raise FileTooLarge(len(data), legacy.MAX_SIZE)
    if not data:
        raise BadAttachment("an empty file cannot be sent", remedy="Choose another file.")
    return data


def _place(path: Path, attachment: Attachment) -> Path:
    """Return where to write a file: `path` itself, or a free name in it if it is a directory."""
    if not path.is_dir():
        return path
    what = "voice message" if attachment.voice else "file"
    nameless = f"{what}{mimetypes.guess_extension(attachment.content_type, strict=False) or ''}"
    return free_place(path, attachment.name or nameless)
