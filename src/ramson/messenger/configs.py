"""The four configs of an account, kept in its file: loaded, edited, merged and dumped within its transactions.

Theory of operation.  A `Config` lives in memory, its dump in the file.  All changes happen inside `changing`, one
transaction in which the memory is first brought up to what another program may have written, and at the end of
which every changed config is dumped.  If anything fails, the memory is dropped and loaded again when next
needed: it never knows more than the file.

The configs are the only place where contacts, their approval, the profile and read states of all devices are
kept, so that there are no two truths.  Spec: config-sync.md §4.4, §4.11.

The time of the profile.  People take a profile from a message only if it is later than the one they know.  A merge
takes the name, the picture and the time each from whichever device wins that key, so it may pair a new name with an
old time, and who was told another profile at that time would never learn the name.  So the time never goes back on a
device, and forward whenever a merge changed the profile: what the merge lacks is owed, told with our messages from
that moment on, and written into the profile as an ordinary edit once the merged one is in the swarm.
"""

# spec gap: other clients leave the time as a merge makes it; to them ours is that of an ordinary change.

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ramson.crypto.account import AccountId, AccountKeys
from ramson.errors import ParseError
from ramson.messenger.database import Database
from ramson.messenger.vault import AccountFileError
from ramson.protocol.config import (
    MAX_MESSAGES,
    Config,
    ConfigKeys,
    ConfigKind,
    ConfigTooLarge,
    Contact,
    Contacts,
    ConvoInfoVolatile,
    Picture,
    Push,
    UserGroups,
    UserProfile,
)

KINDS: Final = (
    ConfigKind.USER_PROFILE,
    ConfigKind.CONTACTS,
    ConfigKind.USER_GROUPS,
    ConfigKind.CONVO_INFO_VOLATILE,
)  # in the order in which they are merged
_BY_NAMESPACE: Final = {int(kind.namespace): kind for kind in KINDS}
_TIME = "config time {}"
_EDITS = "config edits {}"
_PROFILE_TIME = "profile time"
_LATEST_S: Final = 2**63 - 1  # that a config holds

_log = logging.getLogger(__name__)


class Configs:
    """The configs of one account file."""

    def __init__(self, database: Database, keys: AccountKeys) -> None:
        self._db = database
        self._keys = ConfigKeys.own(keys.ed25519)
        self._loaded: dict[ConfigKind, tuple[Config, int]] = {}
        self._foreign = -1
        self._depth = 0

    # Looking

    @property
    def profile(self) -> UserProfile:
        """Our name, picture and Note to Self."""
        return UserProfile(self.config(ConfigKind.USER_PROFILE))

    @property
    def contacts(self) -> Contacts:
        """The contacts."""
        return Contacts(self.config(ConfigKind.CONTACTS))

    @property
    def read_states(self) -> ConvoInfoVolatile:
        """How far every conversation was read."""
        return ConvoInfoVolatile(self.config(ConfigKind.CONVO_INFO_VOLATILE))

    @property
    def groups(self) -> UserGroups:
        """The groups and communities."""
        return UserGroups(self.config(ConfigKind.USER_GROUPS))

    def contact(self, account: AccountId) -> Contact | None:
        """Return a contact, or None."""
        return self.contacts.get(account)

    def config(self, kind: ConfigKind) -> Config:
        """Return a config; edit it inside `changing` only."""
        if self._depth == 0:
            self._refresh()
        if kind not in self._loaded:
            self._loaded[kind] = self._load(kind)
        return self._loaded[kind][0]

    @property
    def profile_time_s(self) -> int:
        """When our profile was last changed, in seconds, as it is to be told with messages; 0 if that is not known."""
        return max(self.profile.updated_s, int(self._db.get(_PROFILE_TIME, 0)))

    def next_profile_time_s(self, now_ms: int) -> int:
        """Return the time of a change of our profile that is made now: later than any that was told."""
        return min(max(now_ms // 1000, self.profile_time_s + 1), _LATEST_S)

    def active_hashes(self) -> list[str]:
        """Return the swarm hashes to keep alive."""
        return sorted(name for kind in KINDS for name in self.config(kind).active_hashes)

    def time_ms(self, kind: ConfigKind) -> int:
        """Return when the newest message of a config that we know was stored; 0 if there is none."""
        return int(self._db.get(_TIME.format(int(kind.namespace)), 0))

    @property
    def needs_push(self) -> bool:
        """Whether the swarm lacks something."""
        return any(self.config(kind).needs_push for kind in KINDS)

    # Changing

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Change configs, and what else is in the file, all or nothing."""
        self._depth += 1
        try:
            with self._db.transaction():
                if self._depth == 1:
                    self._refresh()
                yield
                if self._depth == 1:
                    self._save()
        except BaseException:
            self._loaded.clear()
            raise
        finally:
            self._depth -= 1

    def merge(self, namespace: int, stored: Sequence[tuple[str, bytes]], stored_ms: int, now_ms: int) -> bool:
        """Take in messages of one namespace; return whether anything changed.  Inside `changing`.

        `stored_ms` is when the newest of them was stored.
        """
        kind = _BY_NAMESPACE[namespace]
        config = self.config(kind)
        before = config.data
        accepted = False
        with self._profile_time():
            for start in range(0, len(stored), MAX_MESSAGES):
                accepted |= bool(config.merge(stored[start : start + MAX_MESSAGES], now_ms=now_ms))
        if accepted:
            self.note_time(kind, min(stored_ms, now_ms))
        return config.data != before

    @property
    def undone(self) -> bool:
        """Whether merges elsewhere undid what was changed here."""
        return self._owes_time or any(self.config(kind).undone for kind in KINDS)

    def make_again(self) -> frozenset[int]:
        """Make again what merges elsewhere undid, where that may be; return the namespaces.  Inside `changing`."""
        profile = self.profile
        may_write = not profile.config.needs_push
        with self._profile_time():
            changed = {kind for kind in KINDS if self.config(kind).make_again()}
        if may_write and self._owes_time:
            profile.set_time(self.profile_time_s)
            changed.add(ConfigKind.USER_PROFILE)
        return frozenset(int(kind.namespace) for kind in changed)

    def note_time(self, kind: ConfigKind, stored_ms: int) -> None:
        """Note when a message of a config was stored.  Inside `changing`."""
        self._db.set(_TIME.format(int(kind.namespace)), max(self.time_ms(kind), stored_ms))

    def pushes(self, now_ms: int) -> list[tuple[ConfigKind, Push]]:
        """Return what has to be pushed, after dumping it; what is too large is left out and logged."""
        found: list[tuple[ConfigKind, Push]] = []
        with self.changing():
            for kind in KINDS:
                config = self.config(kind)
                if not config.needs_push:
                    continue
                if kind is ConfigKind.CONVO_INFO_VOLATILE:
                    ConvoInfoVolatile(config).prune(now_ms)
                try:
                    found.append((kind, config.push()))
                except ConfigTooLarge:
                    _log.error("the config %s has grown too large to be kept in step", kind.name)
        return found

    def again(self, missing: frozenset[str]) -> list[tuple[ConfigKind, Push]]:
        """Return the pushes of configs whose messages the swarm has lost, without anything to delete."""
        lost = [kind for kind in KINDS if missing.intersection(self.config(kind).current_hashes)]
        with self.changing():
            return [(kind, self.config(kind).push(deleting=False)) for kind in lost if not self.config(kind).needs_push]

    def confirm(self, confirmed: Mapping[ConfigKind, tuple[int, Sequence[str]]], now_ms: int) -> None:
        """Note that pushes are stored: by kind their seqno and hashes."""
        with self.changing():
            for kind, (seqno, names) in confirmed.items():
                self.config(kind).confirm_pushed(seqno, names)
                self.note_time(kind, now_ms)

    # Inside

    @property
    def _owes_time(self) -> bool:
        return self.profile_time_s > self.profile.updated_s

    @contextlib.contextmanager
    def _profile_time(self) -> Iterator[None]:
        """Note the time that is owed if what happens in the block changes the profile or takes its time back."""
        shown, time_s = self._shown_profile(), self.profile_time_s
        yield
        if time_s and self._shown_profile() != shown:
            time_s = min(time_s + 1, _LATEST_S)
        if time_s > self.profile_time_s:
            self._db.set(_PROFILE_TIME, time_s)

    def _shown_profile(self) -> tuple[str, Picture | None]:
        return self.profile.name, self.profile.picture

    def _refresh(self) -> None:
        foreign = self._db.foreign_version()
        if foreign == self._foreign:
            return
        self._foreign = foreign
        versions = dict(self._db.rows("SELECT namespace, version FROM configs"))
        for kind in list(self._loaded):
            if versions.get(int(kind.namespace), 0) != self._loaded[kind][1]:
                del self._loaded[kind]

    def _load(self, kind: ConfigKind) -> tuple[Config, int]:
        row = self._db.first("SELECT dump, version FROM configs WHERE namespace = ?", (int(kind.namespace),))
        if row is None:
            return Config(kind, self._keys), 0
        try:
            edits = self._db.get(_EDITS.format(int(kind.namespace)), b"")
            return Config.load(kind, self._keys, row[0], edits), row[1]
        except ParseError as error:
            raise AccountFileError(
                f"what the account file says of the account cannot be read: {error}", remedy="Restore a backup of it."
            ) from None

    def _save(self) -> None:
        for kind, (config, version) in list(self._loaded.items()):
            if config.needs_dump:
                namespace, (dump, edits) = int(kind.namespace), config.dump_with_edits()
                self._db.set(_EDITS.format(namespace), edits)
                self._db.execute("INSERT OR REPLACE INTO configs VALUES (?, ?, ?)", (namespace, dump, version + 1))
                self._loaded[kind] = config, version + 1
