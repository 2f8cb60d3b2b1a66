"""The moving parts of an open account, wired together: outbox, uploads, inbox, sync, pictures, upkeep, actions.

It decides nothing itself.  What it needs of a network is what the parts say they need, so that it runs as well on
whatever a test furnishes.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Protocol

from ramson.messenger import inbox, letters, outbox, sync, upkeep
from ramson.messenger.actions import Actions
from ramson.messenger.attachments import Attachments
from ramson.messenger.avatars import Avatars
from ramson.messenger.events import (
    Event,
    EventBoard,
    MessageReceived,
    MessageSettled,
    MessageSynced,
    MessageUploading,
    ReactionChanged,
    SubscriptionChanged,
    TypingChanged,
)
from ramson.messenger.inbox import Inbox, Listeners
from ramson.messenger.letters import Letter
from ramson.messenger.message import Answers, Message, NoFileServer, Receipt
from ramson.messenger.outbox import Outbox
from ramson.messenger.pace import Pace
from ramson.messenger.pictures import Pictures
from ramson.messenger.store import Store
from ramson.messenger.sync import Sync
from ramson.messenger.upkeep import Upkeep
from ramson.messenger.uploads import Uploads


class Carrier(outbox.Carrier, inbox.Source, sync.Carrier, upkeep.Swarm, Protocol):
    """All that the parts need of a network."""

    def now(self) -> int:
        """Return network time in Unix ms."""
        ...


class Engine:
    """The parts of one open account."""

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        entropy: random.Random,
        answers: Answers | None = None,
        *,
        attachments: Attachments | None = None,
        avatars: Avatars | None = None,
    ) -> None:
        self.store = store
        self.carrier = carrier
        self.board = EventBoard()
        self._answers = answers
        self._attachments = attachments
        self.pace = Pace(entropy)
        self._told = False
        self.outbox = Outbox(store, carrier, entropy, self._settled)
        self.uploads = Uploads(
            store,
            None if attachments is None else attachments.transfers,
            entropy,
            carrier.now,
            on_progress=self._uploading,
            on_settled=self._settled,
            queued=self.outbox.wake,
        )
        self.pictures = Pictures(store, avatars, carrier.now, self.board.tell)
        self.sync = Sync(store, carrier, carrier.now, self._pushed)
        self.upkeep = Upkeep(store, carrier, carrier.now, self.board.tell)
        self.actions = Actions(store, entropy, carrier.now, self._acted)
        self.inbox = Inbox(
            store,
            carrier,
            self._read,
            carrier.now,
            Listeners(self._arrived, self.sync.fetched, self.sync.missing),
            self.pace,
        )

    def work(self, *, receive: bool) -> list[tuple[Coroutine[None, None, None], str]]:
        """Return what has to run while the account is open, with names; to fetch nothing, without `receive`."""
        found: list[tuple[Coroutine[None, None, None], str]] = [
            (self.outbox.run(), "outbox"),
            (self.upkeep.run(), "upkeep"),
        ]
        if self.uploads.possible:
            found.append((self.uploads.run(), "uploads"))
        if receive:
            found += [(self.inbox.run(), "inbox"), (self.sync.run(), "sync")]
        if receive and self.pictures.possible:
            found.append((self.pictures.run(), "pictures"))
        return found

    async def get_in_step(self) -> None:
        """Fetch the configs, and push what the swarm lacks, for who does not receive; tries until it works."""
        await self.inbox.fetch_configs()
        await self.sync.push_all()

    def told(self, live: bool) -> None:  # noqa: FBT001 - the only thing there is to say
        """Learn whether nodes tell us of messages now."""
        if live != self._told:
            self._told = live
            self.pace.told(told=live)
            self.board.tell([SubscriptionChanged(live)])

    @property
    def attachments(self) -> Attachments:
        """The files of messages.  Raises NoFileServer where there is no disk for them."""
        if self._attachments is None:
            raise NoFileServer("this account was opened without its files")
        return self._attachments

    def shown(self, message: Message) -> Message:
        """Return a message as a user of the account gets it: answerable, and marked if it is a request."""
        contact = self.store.configs.contact(message.sender) if message.incoming else None
        request = message.incoming and not (contact is not None and contact.approved)
        reactions = () if request else message.reactions
        attachments = tuple(replace(each, _files=self._attachments) for each in message.attachments)
        return replace(message, request=request, reactions=reactions, attachments=attachments, _answers=self._answers)

    def _pushed(self) -> None:
        self.inbox.make_again()

    def _read(self, data: bytes, name: str, expiry_ms: int) -> Letter | None:
        return letters.read(data, name, self.store.keys, expiry_ms)

    def _settled(self, receipt: Receipt) -> None:
        self.upkeep.changed()
        self.outbox.wake()
        self.board.tell([MessageSettled(receipt)])

    def _uploading(self, receipt: Receipt) -> None:
        self.outbox.wake()
        self.board.tell([MessageUploading(receipt)])

    def _acted(self, events: Sequence[Event]) -> None:
        self.pace.active()
        self.uploads.wake()
        self.outbox.wake()
        self.sync.changed()
        self.upkeep.changed()
        self.board.tell(events)

    def _arrived(self, events: Sequence[Event]) -> None:
        if any(isinstance(event, (MessageReceived, MessageSynced, TypingChanged, ReactionChanged)) for event in events):
            self.pace.active()
        self.pictures.changed()
        self.sync.changed()
        self.upkeep.changed()
        self.board.tell([self._shown(event) for event in events])

    def _shown(self, event: Event) -> Event:
        match event:
            case MessageReceived(message):
                return MessageReceived(self.shown(message))
            case MessageSynced(message):
                return MessageSynced(self.shown(message))
            case _:
                return event
