"""The moving parts of an open account, wired together: outbox, inbox, sync, upkeep, actions.

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
from ramson.messenger.events import Event, EventBoard, MessageReceived, MessageSettled, MessageSynced
from ramson.messenger.inbox import Inbox, Listeners
from ramson.messenger.letters import Letter
from ramson.messenger.message import Answers, Message, Receipt
from ramson.messenger.outbox import Outbox
from ramson.messenger.store import Store
from ramson.messenger.sync import Sync
from ramson.messenger.upkeep import Upkeep


class Carrier(outbox.Carrier, inbox.Source, sync.Carrier, upkeep.Swarm, Protocol):
    """All that the parts need of a network."""

    def now(self) -> int:
        """Return network time in Unix ms."""
        ...


class Engine:
    """The parts of one open account."""

    def __init__(self, store: Store, carrier: Carrier, entropy: random.Random, answers: Answers | None = None) -> None:
        self.store = store
        self.carrier = carrier
        self.board = EventBoard()
        self._answers = answers
        self.outbox = Outbox(store, carrier, entropy, self._settled)
        self.sync = Sync(store, carrier, carrier.now)
        self.upkeep = Upkeep(store, carrier, carrier.now, self.board.tell)
        self.actions = Actions(store, entropy, carrier.now, self._acted)
        self.inbox = Inbox(
            store,
            carrier,
            self._read,
            carrier.now,
            Listeners(self._arrived, self.sync.fetched, self.sync.missing),
        )

    def work(self, *, receive: bool) -> list[tuple[Coroutine[None, None, None], str]]:
        """Return what has to run while the account is open, with names; to fetch nothing, without `receive`."""
        found: list[tuple[Coroutine[None, None, None], str]] = [
            (self.outbox.run(), "outbox"),
            (self.upkeep.run(), "upkeep"),
        ]
        if receive:
            found += [(self.inbox.run(), "inbox"), (self.sync.run(), "sync")]
        return found

    def shown(self, message: Message) -> Message:
        """Return a message as a user of the account gets it: answerable, and marked if it is a request."""
        contact = self.store.configs.contact(message.sender) if message.incoming else None
        request = message.incoming and not (contact is not None and contact.approved)
        reactions = () if request else message.reactions
        return replace(message, request=request, reactions=reactions, _answers=self._answers)

    def _read(self, data: bytes, name: str, expiry_ms: int) -> Letter | None:
        return letters.read(data, name, self.store.keys, expiry_ms)

    def _settled(self, receipt: Receipt) -> None:
        self.upkeep.changed()
        self.board.tell([MessageSettled(receipt)])

    def _acted(self, events: Sequence[Event]) -> None:
        self.outbox.wake()
        self.sync.changed()
        self.upkeep.changed()
        self.board.tell(events)

    def _arrived(self, events: Sequence[Event]) -> None:
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
