"""Attachments: a file becomes something a message can carry, and that becomes a file again.

    async with Files(network, world, profile.file_server) as files:
        attachment = await files.attach(Path("cat.webp"), content_type="image/webp", name="cat.webp")
        await files.save(attachment, Path("downloads/cat.webp"))

A file is encrypted here before anything leaves, and nothing that came is shown before it was checked.  How blobs
travel is `file_transfers`'.  Spec: files-and-push.md §7.1; messaging.md §3.1 AttachmentPointer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

from ramson.crypto.entropy import Entropy
from ramson.crypto.files import Source, digest_of, legacy, of_bytes, stream
from ramson.crypto.files.stream import Purpose
from ramson.errors import LocalError, ParseError
from ramson.messenger.file_errors import FileGone
from ramson.messenger.file_transfers import Caller, Transfers, no_progress
from ramson.messenger.message import Progress
from ramson.protocol.content import Attachment
from ramson.protocol.file_server import MAX_FILE, FileServer
from ramson.protocol.file_url import FileUrl
from ramson.world import World

_READ = 256 * 1024
# Into a directory of many, such as /tmp, somebody may have put a link that leads elsewhere.
_NEW = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


class Form(Enum):
    """How an attachment is encrypted."""

    LEGACY = "legacy"  # every client reads it
    DETERMINISTIC = "deterministic"  # the newest clients read it; equal files are stored once and can be renewed


class NoSeed(LocalError):
    """The deterministic form was asked for without the account's seed."""


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file ready to go, and what opens it; `size` is that of the plain file."""

    blob: bytes = field(repr=False)
    key: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    size: int


class Files:
    """Attachments of one account; an async context manager, whose end closes its disk.

    Uploads go to `server`; the other servers are as in `Transfers`, which is at `transfers`.
    """

    def __init__(
        self,
        network: Caller,
        world: World,
        server: FileServer,
        *,
        default: FileServer | None = None,
        trusted: Sequence[FileServer] = (),
    ) -> None:
        self.transfers = Transfers(network, server, world.clock, default=default, trusted=trusted)
        self._entropy = world.entropy
        self._disk = world.disk()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disk.close()

    async def attach(
        self,
        content: bytes | Path,
        *,
        form: Form = Form.LEGACY,
        seed: bytes = b"",
        name: str = "",
        content_type: str = "",
        voice: bool = False,
        width: int = 0,
        height: int = 0,
        caption: str = "",
        ttl_s: int | None = None,
        progress: Progress = no_progress,
    ) -> Attachment:
        """Encrypt and upload a file (its bytes, or where it lies) and return the attachment to put into a message.

        The deterministic form wants the account's 32-byte Ed25519 `seed`.  The file itself is not changed: who must not
        tell where a photo was taken removes that first.  Raises OSError, NoSeed, FileTooLarge, FileError,
        RequestFailed, NoPath.
        """
        if form is Form.DETERMINISTIC and not seed:
            raise NoSeed("the deterministic form needs the account's seed", remedy="Pass keys.ed25519.seed.")
        sealed = await self._disk.run(lambda: self._seal(content, form, seed))
        uploaded = await self.transfers.upload(
            sealed.blob, deterministic=form is Form.DETERMINISTIC, ttl_s=ttl_s, progress=progress
        )
        return Attachment(
            url=str(uploaded.url),
            key=sealed.key,
            digest=sealed.digest,
            size=sealed.size,
            content_type=content_type,
            file_name=name,
            caption=caption,
            width=width,
            height=height,
            voice=voice,
            id=uploaded.url.numeric_id,
        )

    async def load(self, attachment: Attachment, *, progress: Progress = no_progress) -> bytes:
        """Fetch an attachment and return its content, checked.

        Raises ParseError for one that cannot be right, FileGone, FileError, UnknownServer, RequestFailed, NoPath.
        """
        url = _url_of(attachment)
        blob = await self.transfers.fetch(url, progress=progress)
        return await self._disk.run(lambda: b"".join(_open(of_bytes(blob), url, attachment)))

    async def save(self, attachment: Attachment, target: Path, *, progress: Progress = no_progress) -> None:
        """Fetch an attachment into the file `target`, which is there only when it is complete and checked.

        What came of an interrupted download lies, still encrypted, beside the target; if the server serves parts the
        next `save` goes on there.  Two at once into one directory must not be of the same file.
        Raises OSError, and as `load` does.
        """
        url = _url_of(attachment)
        part = target.with_name(f".{_fingerprint(url)}.part")
        resumes = self.transfers.server_of(url).ranges
        have = await self._disk.run(lambda: _size_of(part)) if resumes else 0
        try:
            await self._save(url, attachment, part, target, have, progress)
        except ParseError:
            if not have:
                raise
            # What lay there from an earlier time may be what is wrong.
            await self._save(url, attachment, part, target, 0, progress)

    async def _save(
        self, url: FileUrl, attachment: Attachment, part: Path, target: Path, have: int, progress: Progress
    ) -> None:
        async def keep(piece: bytes) -> None:
            await self._disk.run(lambda: _append(part, piece))

        if not have:
            await self._disk.run(lambda: part.unlink(missing_ok=True))
        try:
            await self.transfers.fetch_from(url, have, keep, progress=progress)
            await self._disk.run(lambda: _write_whole(target, _open(of_file(part), url, attachment)))
        except (ParseError, FileGone):
            await self._disk.run(lambda: part.unlink(missing_ok=True))
            raise
        await self._disk.run(lambda: part.unlink(missing_ok=True))

    def _seal(self, content: bytes | Path, form: Form, seed: bytes) -> SealedFile:
        source = of_bytes(content) if isinstance(content, bytes) else of_file(content)
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if form is Form.DETERMINISTIC:
            key, chunks = stream.encrypt(source, size, seed=seed, purpose=Purpose.ATTACHMENT)
            return SealedFile(b"".join(chunks), key.key, b"", size)
        return seal_legacy(source, size, self._entropy)


def seal_legacy(source: Source, size: int, entropy: Entropy) -> SealedFile:
    """Encrypt a file in the form that every client reads, under a new random key.  Raises FileTooLarge."""
    secret, iv = entropy.randbytes(legacy.KEY_SIZE), entropy.randbytes(legacy.IV_SIZE)
    blob = b"".join(legacy.encrypt(source(), size, key=secret, iv=iv))
    return SealedFile(blob, secret, digest_of((blob,)), size)


def of_file(path: Path) -> Source:
    """Make a source of a file on the disk."""

    def read() -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(_READ):
                yield chunk

    return read


def _url_of(attachment: Attachment) -> FileUrl:
    """Return where the file is, once what opens it looks right.  Raises ParseError."""
    url = FileUrl.parse(attachment.url)
    wanted = stream.KEY_SIZE if url.deterministic else legacy.KEY_SIZE
    if len(attachment.key) != wanted:
        raise ParseError(f"attachment: the key has {len(attachment.key)} bytes, not {wanted}")
    if attachment.size > MAX_FILE:
        raise ParseError("attachment: larger than any file can be")
    return url


def _open(blob: Source, url: FileUrl, attachment: Attachment) -> Iterator[bytes]:
    if url.deterministic:
        return stream.decrypt(blob(), key=attachment.key)
    return legacy.decrypt(blob, key=attachment.key, digest=attachment.digest, size=attachment.size)


def _fingerprint(url: FileUrl) -> str:
    return hashlib.blake2b(f"{url.base} {url.id}".encode(), digest_size=16).hexdigest()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _append(path: Path, piece: bytes) -> None:
    with os.fdopen(os.open(path, os.O_APPEND | _NEW, 0o600), "wb") as file:
        file.write(piece)


def _write_whole(target: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that is there complete or not at all, even after a crash."""
    new = target.with_name(f".{hashlib.blake2b(target.name.encode(), digest_size=16).hexdigest()}.new")
    try:
        with os.fdopen(os.open(new, os.O_TRUNC | _NEW, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        raise
