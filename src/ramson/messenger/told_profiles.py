"""What people told this device of themselves, so that no merge of the contacts keeps it from us.

Theory of operation.  A profile is taken from a message only if it is later than the one that is known.  Two devices
that learn of different profiles of one person at the same time put them into the contacts, and a merge takes the
name, the picture, its key and the time each from whichever device wins that key.  So it may pair the newest time with
an older name or a picture that was taken away, and then no message with that time can put it right.

So every device remembers the latest profile that each person told it: of the latest time, and of one time the one
that was sent last.  A contact that says something else for that time, or has an earlier time, was mixed by a merge.
It is put right, as an ordinary edit.  A contact with a later time stands: another device was told that.

Somebody may tell two profiles with the same time, each of which reaches only one of our devices.  These would put
each other right for ever; so that is done a few times, until the person tells of themselves again, and then what the
devices came to stands.

Only here, never sent; it goes with the conversation.  Spec: messaging.md §3.4 (profile update), config-sync.md §4.6.
"""

# spec gap: other clients leave contacts as a merge makes them; to them what is done here is an ordinary edit.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ramson.crypto.account import AccountId
from ramson.crypto.keys import KEY_SIZE
from ramson.messenger.conversations import Conversations
from ramson.messenger.database import Database
from ramson.protocol.config import Contact, Picture
from ramson.protocol.config.fields import MAX_NAME, MAX_PICTURE_URL, truncated
from ramson.protocol.content import Profile

MAX_MENDED: Final = 3  # times that a contact is put right after each word of the person


@dataclass(frozen=True, slots=True)
class Told:
    """A profile that somebody told, as a contact shows it; `updated_s` is by the clock of that person."""

    name: str
    picture: Picture | None
    updated_s: int

    @classmethod
    def of(cls, profile: Profile) -> Told:
        """Return what a contact can show of a profile."""
        url, key = profile.picture_url, profile.key
        usable = 0 < len(url.encode()) <= MAX_PICTURE_URL and len(key) == KEY_SIZE
        return cls(truncated(profile.name, MAX_NAME), Picture(url, key) if usable else None, profile.updated_s)

    def shown_by(self, contact: Contact) -> Contact:
        """Return the contact with this profile."""
        return replace(contact, name=self.name, picture=self.picture, profile_updated_s=self.updated_s)


class ToldProfiles:
    """The latest profile that each person told.  Methods that change something are for inside a transaction."""

    def __init__(self, database: Database, conversations: Conversations) -> None:
        self._db = database
        self._conversations = conversations

    def note(self, peer: AccountId, told: Told, sent_ms: int) -> None:
        """Note what somebody told in a message, unless that is known to be older; without its time it says nothing."""
        if not told.updated_s:
            return
        self._db.execute(
            "INSERT INTO profiles VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET name = excluded.name,"
            " url = excluded.url, key = excluded.key, updated_s = excluded.updated_s, sent_ms = excluded.sent_ms,"
            " mended = 0 WHERE (excluded.updated_s, excluded.sent_ms) > (profiles.updated_s, profiles.sent_ms)",
            (
                self._conversations.number(peer),
                told.name,
                told.picture.url if told.picture else "",
                told.picture.key if told.picture else b"",
                told.updated_s,
                sent_ms,
            ),
        )

    def latest(self) -> Iterator[tuple[AccountId, Told]]:
        """Go through those whose contacts may still be put right."""
        for raw, name, url, key, updated_s in self._db.rows(
            "SELECT c.peer, p.name, p.url, p.key, p.updated_s FROM profiles p JOIN conversations c"
            " ON c.id = p.conversation WHERE p.mended < ? ORDER BY c.peer",
            (MAX_MENDED,),
        ):
            yield AccountId.from_bytes(raw), Told(name, Picture(url, key) if url else None, updated_s)

    def mended(self, peer: AccountId) -> None:
        """Note that a contact was put right."""
        self._db.execute(
            "UPDATE profiles SET mended = mended + 1"
            " WHERE conversation = (SELECT id FROM conversations WHERE peer = ?)",
            (peer.raw,),
        )
