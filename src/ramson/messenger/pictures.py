"""Profile pictures in the account file: those of people we know are fetched, our own is kept from expiring.

Theory of operation.  Who has which picture is said by the configs; here are only their bytes.  `run` fetches what
is missing, one picture after the other, of approved contacts and of our own account (set on another device).  What
somebody whom we have not approved shows is not fetched: they could tell when we are there.  A picture that cannot
be had is tried again after a minute, then after twice as long each time, and one that is gone or no picture much
later.  Once a day our own is extended on the server, or uploaded again where that fails.

Spec: files-and-push.md §7.1 C, §7.2 *Avatar renewal*; messaging.md §3.5.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

from ramson.crypto.account import AccountId
from ramson.errors import LocalError, ParseError, RemoteError
from ramson.messenger.avatars import DAY_MS, Avatars, PictureState
from ramson.messenger.events import Event, PictureChanged
from ramson.messenger.file_errors import FileGone
from ramson.messenger.file_transfers import UnknownServer
from ramson.messenger.images import look_at
from ramson.messenger.message import NoFileServer
from ramson.messenger.own_picture import MAX_PICTURE
from ramson.messenger.pulse import Pulse
from ramson.messenger.store import Store
from ramson.protocol import config
from ramson.protocol.config import Picture

SOON_AGAIN_MS: Final = 60_000  # after a failure that may pass; doubled after each more, up to
AGAIN_MS: Final = 3_600_000
GONE_AGAIN_MS: Final = 24 * AGAIN_MS
LOOK_AGAIN: Final = 60.0  # seconds
_UPLOADED: Final = "picture uploaded_ms"
_CHECKED: Final = "picture checked_ms"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contact(config.Contact):
    """What we know about somebody: all that our devices share, and their picture."""

    _picture: Callable[[Picture | None], bytes | None] | None = field(default=None, repr=False, compare=False)

    @property
    def avatar(self) -> bytes | None:
        """The profile picture, a JPEG, PNG, WebP or GIF; None if there is none or it was not fetched yet."""
        return None if self._picture is None else self._picture(self.picture)


class Pictures:
    """The pictures of one account; `run` does the work.  Without `avatars` there is no file server."""

    def __init__(
        self,
        store: Store,
        avatars: Avatars | None,
        now: Callable[[], int],
        tell: Callable[[Sequence[Event]], None],
    ) -> None:
        self._store = store
        self._avatars = avatars
        self._now = now
        self._tell = tell
        self._changed = Pulse()
        self._waits: dict[Picture, int] = {}  # ms, after failures that may pass

    # What others see of it

    def bytes_of(self, picture: Picture | None) -> bytes | None:
        """Return a picture that was fetched."""
        if picture is None:
            return None
        row = self._store.db.first("SELECT data FROM pictures WHERE url = ? AND key = ?", (picture.url, picture.key))
        return None if row is None else row[0]

    def known(self, contact: config.Contact) -> Contact:
        """Return a contact with their picture."""
        values = {each.name: getattr(contact, each.name) for each in fields(config.Contact)}
        return Contact(**values, _picture=self.bytes_of)

    async def publish(self, data: bytes) -> Picture:
        """Upload a picture of our own, as `own_picture` made it, and keep it.

        Raises NoFileServer, FileError, RequestFailed, NoPath.
        """
        picture = await self._open().upload(data, seed=self._store.keys.ed25519.seed)
        with self._store.db.transaction():
            self._keep(picture, data)
            self._store.db.set(_UPLOADED, self._now())
        return picture

    def _open(self) -> Avatars:
        if self._avatars is None:
            raise NoFileServer("this network has no file server", remedy="Name one in network.json.")
        return self._avatars

    # Work

    def changed(self) -> None:
        """There may be pictures to fetch."""
        self._changed.fire()

    @property
    def possible(self) -> bool:
        """Whether there is a file server."""
        return self._avatars is not None

    async def run(self) -> None:
        """Fetch and renew until cancelled.  Raises NoFileServer."""
        avatars = self._open()
        while True:
            self._forget()
            for who, picture in self._wanted():
                await self._fetch(who, picture, avatars)
            await self._renew(avatars)
            await self._changed.wait(LOOK_AGAIN)

    def _shown(self) -> list[tuple[AccountId, Picture]]:
        found = [(each.id, each.picture) for each in self._store.configs.contacts if each.approved and not each.blocked]
        found.append((self._store.keys.id, self._store.configs.profile.picture))
        return [(who, picture) for who, picture in found if picture is not None]

    def _wanted(self) -> list[tuple[AccountId, Picture]]:
        """Return what is to be fetched now."""
        rows = self._store.db.rows("SELECT url, key, data IS NULL, tried_ms FROM pictures")
        waits = {(url, key): tried_ms if missing else None for url, key, missing, tried_ms in rows}
        now = self._now()
        wanted: list[tuple[AccountId, Picture]] = []
        for who, picture in self._shown():
            tried_ms = waits.get((picture.url, picture.key), 0)
            if tried_ms is not None and now - tried_ms >= AGAIN_MS:
                wanted.append((who, picture))
        return wanted

    def _forget(self) -> None:
        """Drop pictures that nobody shows any more."""
        kept = {(picture.url, picture.key) for _, picture in self._shown()}
        gone = [row for row in self._store.db.rows("SELECT url, key FROM pictures") if tuple(row) not in kept]
        for picture in [each for each in self._waits if (each.url, each.key) not in kept]:
            del self._waits[picture]
        if gone:
            with self._store.db.transaction():
                self._store.db.executemany("DELETE FROM pictures WHERE url = ? AND key = ?", gone)

    async def _fetch(self, who: AccountId, picture: Picture, avatars: Avatars) -> None:
        data, tried_ms = None, self._now()
        try:
            found = await avatars.fetch(picture)
            if len(found) <= MAX_PICTURE and look_at(found) is not None:
                data = found
            else:
                tried_ms += GONE_AGAIN_MS
        except (ParseError, FileGone, UnknownServer):
            tried_ms += GONE_AGAIN_MS
        except RemoteError as error:
            _log.info("a picture could not be fetched: %s", type(error).__name__)
            wait = self._waits[picture] = min(2 * self._waits.get(picture, SOON_AGAIN_MS // 2), AGAIN_MS)
            tried_ms += wait - AGAIN_MS
        with self._store.db.transaction():
            self._keep(picture, data, tried_ms)
        if data is not None:
            self._waits.pop(picture, None)
            self._tell([PictureChanged(who)])

    def _keep(self, picture: Picture, data: bytes | None, tried_ms: int = 0) -> None:
        self._store.db.execute(
            "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)", (picture.url, picture.key, data, tried_ms)
        )

    async def _renew(self, avatars: Avatars) -> None:
        """Keep our own picture on the server, if it is here and nobody looked for a day."""
        profile, db = self._store.configs.profile, self._store.db
        picture, now, checked_ms = profile.picture, self._now(), int(db.get(_CHECKED, 0))
        data = self.bytes_of(picture) if now - checked_ms >= DAY_MS else None
        if picture is None or data is None:
            return
        changed_ms = profile.updated_s * 1000
        info = look_at(data)
        state = PictureState(
            picture,
            uploaded_ms=int(db.get(_UPLOADED, changed_ms)),
            profile_ms=changed_ms,
            max_side=max(info.width, info.height) if info else 0,
        )
        try:
            renewal = await avatars.renew(state, lambda: data, seed=self._store.keys.ed25519.seed)
        except (RemoteError, LocalError) as error:
            _log.info("our picture could not be renewed: %s", type(error).__name__)
            renewal, now = None, now - DAY_MS + AGAIN_MS
        with self._store.configs.changing():
            db.set(_CHECKED, now)
            if renewal is None:
                return
            self._keep(renewal.picture, data)
            db.set(_UPLOADED, renewal.renewed_ms)
            time_s = self._store.configs.next_profile_time_s(renewal.renewed_ms)
            self._store.configs.profile.set_reuploaded_picture(renewal.picture, updated_s=time_s)
