"""Profile pictures: uploading, fetching, and keeping one's own from expiring.

One's own picture has the deterministic form, so that renewing it changes nothing for others; pictures of groups
still have the old form under a random key.  Pictures are not made smaller here: see `own_picture`.
Spec: files-and-push.md §7.1 C, §7.2 *Avatar renewal*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramson.crypto.files import of_bytes, picture, stream
from ramson.crypto.files.stream import Purpose
from ramson.errors import RemoteError
from ramson.messenger.file_transfers import Transfers, UnknownServer
from ramson.protocol.config.fields import Picture
from ramson.protocol.file_url import FileUrl
from ramson.world import Clock, World

MAX_SIDE: Final = 600  # pixels of a picture that may stay as it is
HOUR_MS: Final = 3600 * 1000
DAY_MS: Final = 24 * HOUR_MS
QUIET_MS: Final = 2 * HOUR_MS  # after the profile was changed
OLD_MS: Final = 12 * DAY_MS  # files are taken to live for 14 days


@dataclass(frozen=True, slots=True)
class PictureState:
    """What is known of one's own picture; times are Unix ms.

    `uploaded_ms` is when it was last uploaded or extended, `checked_ms` when renewing was last tried, `profile_ms` when
    the profile was last changed.  `max_side` is the larger of its sides in pixels, 0 if unknown.
    """

    picture: Picture
    uploaded_ms: int
    profile_ms: int = 0
    checked_ms: int = 0
    max_side: int = 0


@dataclass(frozen=True, slots=True)
class Renewal:
    """The picture will stay.  `picture` goes into the profile's re-upload fields (`set_reuploaded_picture`)."""

    picture: Picture
    renewed_ms: int


class Avatars:
    """Pictures of one account and of those it sees."""

    def __init__(self, transfers: Transfers, world: World) -> None:
        self._transfers = transfers
        self._entropy = world.entropy
        self._clock: Clock = world.clock

    async def upload(self, content: bytes, *, seed: bytes) -> Picture:
        """Upload one's own picture; `seed` is the account's 32-byte Ed25519 seed.

        Raises FileTooLarge, FileError, RequestFailed, NoPath.
        """
        key, chunks = stream.encrypt(of_bytes(content), len(content), seed=seed, purpose=Purpose.PICTURE)
        uploaded = await self._transfers.upload(b"".join(chunks), deterministic=True)
        return Picture(str(uploaded.url), key.key)

    async def upload_for_group(self, content: bytes) -> Picture:
        """Upload a group's picture under a new random key.  Raises as `upload` does."""
        key, iv = self._entropy.randbytes(picture.KEY_SIZE), self._entropy.randbytes(picture.IV_SIZE)
        uploaded = await self._transfers.upload(picture.encrypt(content, key=key, iv=iv), deterministic=False)
        return Picture(str(uploaded.url), key)

    async def fetch(self, shown: Picture) -> bytes:
        """Return a picture, checked.

        Raises ParseError, FileGone, FileError, UnknownServer, RequestFailed, NoPath.
        """
        url = FileUrl.parse(shown.url)
        blob = await self._transfers.fetch(url)
        return picture.decrypt_any(blob, key=shown.key, deterministic=url.deterministic)

    async def renew(
        self, state: PictureState, content: Callable[[], bytes] | None = None, *, seed: bytes
    ) -> Renewal | None:
        """Keep one's own picture on the server; None if nothing was due or it can wait.  To be called often.

        `content` gives the picture, made smaller where it has to be, for the case that it must be uploaded again.
        Raises as `upload` does, but only if a picture that is old could not be renewed.
        """
        now = self._clock.now()
        if now - state.checked_ms < DAY_MS or now - state.profile_ms < QUIET_MS:
            return None
        if state.max_side <= MAX_SIDE and await self._extended(state.picture):
            return Renewal(state.picture, now)
        if now - state.uploaded_ms <= OLD_MS or content is None:
            return None
        return Renewal(await self.upload(content(), seed=seed), now)

    async def _extended(self, shown: Picture) -> bool:
        try:
            await self._transfers.extend(FileUrl.parse(shown.url))
        except (RemoteError, UnknownServer):  # whatever it was, an old picture is uploaded again
            return False
        return True
