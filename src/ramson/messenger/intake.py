"""What follows from what arrived: the rules by which letters and configs change the account, in one transaction.

Theory of operation.  `receive` takes in all that one poll brought: first configs, then letters by sent time, then
the hashes and positions, all or nothing.  Nodes deliver in any order, twice, and late, so everything here is
written so that the order does not matter:

* a message is known by (author, sent time, conversation);
* of the reactions of one person with one emoji the latest counts, whenever it comes;
* a request to unsend, or a receipt, that is here before its message waits for it.

Who is a contact is said by the Contacts config alone.  A message older than that config, from somebody it does not
name, may be from before a removal on another device: it does not bring the sender back.  It is *held*, unseen, and
shown if the sender becomes a contact after all (another device may have taken it for new); so nothing is lost.
When a merge removes a contact, its messages go, but those that the device which removed it may not have seen yet
are held in the same way.

Spec: messaging.md §3.4, §3.5, §3.6; config-sync.md §4.11.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ramson.crypto.account import ACCOUNT, AccountId
from ramson.messenger import events
from ramson.messenger.configs import KINDS
from ramson.messenger.conversations import Row
from ramson.messenger.events import Event
from ramson.messenger.letters import Letter
from ramson.messenger.message import Kind, Message, State
from ramson.messenger.store import Chore, Position, Store
from ramson.messenger.told_profiles import Told
from ramson.protocol.config import ConfigKind, Contact
from ramson.protocol.config.convo_info_volatile import OneToOne
from ramson.protocol.content import (
    NEVER,
    Call,
    DataExtraction,
    Expiration,
    ExpirationMode,
    Extraction,
    GroupInvite,
    GroupPromotion,
    Profile,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    TextMessage,
    TimerUpdate,
    Typing,
    Unsend,
)
from ramson.protocol.content.rules import TYPING_LIFETIME_MS, is_stale, profile_counts
from ramson.protocol.namespaces import Namespace

READ_RECEIPTS: Final = "read receipts"
TYPING: Final = "typing"
CONFIG_NAMESPACES: Final = tuple(kind.namespace for kind in KINDS)
UNSEEN_MS: Final = 30_000  # spec gap: how long before its push a device may not have seen a message
MAX_REQUESTS: Final = 1_000  # spec gap: more unanswered requests than anybody reads would fill the contacts config


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """A config message of our own swarm: its hash, its bytes, and when the swarm says it was stored (ms)."""

    hash: str
    data: bytes = field(repr=False)
    stored_ms: int


class Intake:
    """The rules, applied to one account file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._configs = store.configs
        self._conversations = store.conversations
        self._own = store.keys.id
        self._may_be_mixed = True  # contacts, by a merge: a program may have been killed right after one

    def receive(
        self,
        letters: Iterable[Letter],
        configs: Mapping[int, Sequence[StoredConfig]],
        seen: Iterable[str],
        positions: Sequence[Position],
        now_ms: int,
    ) -> list[Event]:
        """Take in what was fetched and move the positions, in one transaction; return what happened.

        `seen` holds the hashes of everything that was fetched, also of what could not be read.
        """
        told: list[Event] = []
        with self._configs.changing():
            told += self._merge(configs, now_ms)
            for letter in sorted(letters, key=lambda letter: (letter.sent_ms, letter.hash)):
                told += self._take(letter, now_ms)
            told += self._release()
            told += self._put_profiles_right()
            self._store.note_read(list(seen), positions, now_ms)
        return told

    # Configs

    def make_again(self, now_ms: int) -> list[Event]:
        """Make again what was changed here and undone by merges elsewhere; return what happened."""
        if not (self._configs.undone or self._may_be_mixed):
            return []
        with self._configs.changing():
            return self._merge({}, now_ms) + self._put_profiles_right()

    def _merge(self, configs: Mapping[int, Sequence[StoredConfig]], now_ms: int) -> list[Event]:
        told: list[Event] = []
        before = {contact.id: contact for contact in self._configs.contacts} if configs or self._configs.undone else {}
        changed: set[int] = set()
        for namespace in CONFIG_NAMESPACES:
            if found := configs.get(namespace, ()):
                stored = [(each.hash, each.data) for each in found]
                if self._configs.merge(namespace, stored, max(each.stored_ms for each in found), now_ms):
                    changed.add(namespace)
        changed |= self._configs.make_again()
        if Namespace.USER_PROFILE in changed:
            told.append(events.ProfileChanged(self._configs.profile.name))
        if Namespace.CONTACTS in changed:
            self._may_be_mixed = True
            told += self._contacts_changed(before)
        if Namespace.CONVO_INFO_VOLATILE in changed:
            told += self._read_elsewhere(now_ms)
        return told

    def _contacts_changed(self, before: Mapping[AccountId, Contact]) -> list[Event]:
        after = {contact.id: contact for contact in self._configs.contacts}
        for gone in before.keys() - after.keys():
            self._conversations.hide(gone, self._configs.time_ms(ConfigKind.CONTACTS) - UNSEEN_MS)
        return [
            events.ContactChanged(each, after.get(each))
            for each in sorted(before.keys() | after.keys())
            if before.get(each) != after.get(each)
        ]

    def _put_profiles_right(self) -> list[Event]:
        """Let contacts that a merge mixed show again what they told us; see `told_profiles`.

        Does nothing unless the config is clean, so that merged messages stay the same on all devices.
        """
        if not self._may_be_mixed or self._configs.config(ConfigKind.CONTACTS).needs_push:
            return []
        told: list[Event] = []
        for peer, profile in self._store.told_profiles.latest():
            known = self._configs.contact(peer)
            if known is None or profile.updated_s < known.profile_updated_s:
                continue
            contact = profile.shown_by(known)
            if contact != known:
                self._configs.contacts.set(contact)
                self._store.told_profiles.mended(peer)
                told.append(events.ContactChanged(peer, contact))
        self._may_be_mixed = False
        return told

    def _read_elsewhere(self, now_ms: int) -> list[Event]:
        told: list[Event] = []
        for state in [each for each in self._configs.read_states if isinstance(each, OneToOne)]:
            if self._conversations.set_last_read(state.id, state.read.last_read_ms):
                for name, expiry in self._conversations.start_timers(state.id, state.read.last_read_ms, now_ms):
                    self._store.add_chore(Chore("learn", name, expiry))
                told.append(events.ConversationRead(state.id, state.read.last_read_ms))
            elif (here := self._conversations.last_read(state.id)) > state.read.last_read_ms:
                # Two devices read at the same moment and the earlier place won: the later one counts.
                self._configs.read_states.set_read(state.id, replace(state.read, last_read_ms=here))
        return told

    def _release(self) -> list[Event]:
        """Show what was held for somebody who is a contact now."""
        told: list[Event] = []
        for peer in self._conversations.holding():
            if self._configs.contact(peer) is not None:
                told += [_arrival(message) for message in self._conversations.release(peer)]
        return told

    # Letters

    def _take(self, letter: Letter, now_ms: int) -> list[Event]:
        incoming = letter.sender != self._own
        contact = self._configs.contact(letter.sender) if incoming else None
        if contact is not None and contact.blocked:
            return []
        trusted = not incoming or (contact is not None and contact.approved)
        message = letter.message
        match message:
            case TextMessage():
                return self._entry(letter, Kind.TEXT, now_ms, message.profile, message.expiration)
            case TimerUpdate():
                return self._entry(letter, Kind.TIMER, now_ms, message.profile, message.expiration)
            case GroupInvite():
                return self._entry(letter, Kind.GROUP_INVITE, now_ms, message.profile, detail=message.group.hex)
            case GroupPromotion():
                return self._entry(letter, Kind.GROUP_PROMOTION, now_ms, message.profile)
            case Unsend():
                return self._unsend(letter, message, now_ms)
            case RequestResponse() if incoming:
                return self._response(letter, message)
            case ReactionChange():
                return self._reaction(letter, message, trusted=trusted)
            case DataExtraction() if trusted:
                kind = Kind.SCREENSHOT if message.what is Extraction.SCREENSHOT else Kind.MEDIA_SAVED
                return self._entry(letter, kind, now_ms, None, message.expiration)
            case Call() if trusted and incoming:
                if not message.rings or self._conversations.has_call(letter.sender, message.call_id):
                    return []
                return self._entry(letter, Kind.MISSED_CALL, now_ms, None, message.expiration, message.call_id)
            case Typing() if trusted and incoming:
                fresh = abs(now_ms - letter.sent_ms) < TYPING_LIFETIME_MS
                return [events.TypingChanged(letter.sender, message.started)] if fresh else []
            case ReadReceipt() if incoming and contact is not None:  # approved perhaps by another device, not here yet
                return self._receipt(letter, message, now_ms)
            case _:
                return []

    def _entry(
        self,
        letter: Letter,
        kind: Kind,
        now_ms: int,
        profile: Profile | None,
        expiration: Expiration = NEVER,
        detail: str = "",
    ) -> list[Event]:
        """Write down a message or a notice, unless its time is over."""
        incoming = letter.sender != self._own
        if letter.conversation.prefix != ACCOUNT:
            return []
        expires_ms = self._expiry(letter, expiration, now_ms)
        if expires_ms is not None and expires_ms <= now_ms:
            return []
        body, attachments = "", 0
        if self._conversations.is_unsent(letter.sender, letter.sent_ms):
            if letter.conversation == self._own:
                return []
            kind, detail = Kind.DELETED, ""
        elif isinstance(letter.message, TextMessage):
            body, attachments = letter.message.body, len(letter.message.attachments)
        told, held = self._introduce(letter, profile)
        if held is None:
            return []
        number = self._conversations.add(
            Row(
                letter.conversation,
                letter.sender,
                letter.sent_ms,
                State.RECEIVED if incoming else State.SENT,
                kind,
                body,
                detail,
                b"" if kind is Kind.DELETED else letter.content,
                attachments,
                hash=letter.hash,
                own_hash=letter.hash,
                expiration=expiration,
                expires_ms=expires_ms,
                held=held,
            )
        )
        if not number or held or kind is Kind.DELETED:
            return told
        message = self._conversations.message(number)
        assert message is not None, "it has just been written"  # noqa: S101 - an invariant
        told.append(_arrival(message))
        if kind is Kind.TIMER and incoming:
            told.append(events.TimerChanged(letter.sender, expiration))
        return told

    def _expiry(self, letter: Letter, expiration: Expiration, now_ms: int) -> int | None:
        """Return when a message has to disappear, or None.

        The swarm forgets what disappears after sending, and our copies, at the right moment: it may only be early.
        """
        if not expiration.active:
            return None
        incoming = letter.sender != self._own
        latest = now_ms + expiration.timer_s * 1000
        if expiration.mode is ExpirationMode.AFTER_READ and incoming:
            if letter.sent_ms > self._conversations.last_read(letter.conversation):
                return None
        elif not letter.expiry_ms:
            return min(latest, letter.sent_ms + expiration.timer_s * 1000)
        return min(latest, letter.expiry_ms) if letter.expiry_ms else latest

    def _introduce(self, letter: Letter, profile: Profile | None) -> tuple[list[Event], bool | None]:
        """Let the other side of a message be a contact.

        Returns what happened, and whether the message is to be held, or None to drop it.
        """
        if letter.conversation == self._own:
            return [], False
        incoming = letter.sender != self._own
        known = self._configs.contact(letter.conversation)
        # What was written without a network and came late is no message of somebody whom we removed in between.
        came_ms = max(letter.sent_ms, letter.stored_ms) if incoming else letter.sent_ms
        stale = is_stale(came_ms, self._configs.time_ms(ConfigKind.CONTACTS))
        if known is None and stale:
            return [], True
        if known is None:
            if incoming and sum(not contact.approved for contact in self._configs.contacts) >= MAX_REQUESTS:
                return [], None
            contact = Contact(letter.conversation, approved=not incoming, created_s=letter.sent_ms // 1000)
        else:
            contact = replace(known, priority=0) if known.priority < 0 and not stale else known
        if incoming:
            contact = self._told_profile(letter, replace(contact, approved_me=True), profile)
        if contact == known:
            return [], False
        self._configs.contacts.set(contact)
        told: list[Event] = [events.ContactChanged(contact.id, contact)]
        if known is None and incoming:
            told.append(events.RequestReceived(contact))
        elif known is not None and contact.approved and not known.approved_me and incoming:
            told.append(events.RequestAccepted(contact))
        return told, False

    def _unsend(self, letter: Letter, message: Unsend, now_ms: int) -> list[Event]:
        incoming = letter.sender != self._own
        found = self._conversations.find(message.author, message.target_ms, letter.sender if incoming else None)
        if found is None:
            self._conversations.note_unsent(message.author, message.target_ms, now_ms)
            return []
        if found.kind is Kind.DELETED:
            return []
        self._conversations.unsend(found)
        if found.own_hash:
            self._store.add_chore(Chore("delete", found.own_hash))
        return [events.MessageUnsent(found.conversation, message.author, message.target_ms)]

    def _response(self, letter: Letter, message: RequestResponse) -> list[Event]:
        known = self._configs.contact(letter.sender)
        if known is None or not message.approved:
            return []
        contact = self._told_profile(letter, replace(known, approved_me=True), message.profile)
        if contact == known:
            return []
        self._configs.contacts.set(contact)
        told: list[Event] = [events.ContactChanged(contact.id, contact)]
        if not known.approved_me:
            told.append(events.RequestAccepted(contact))
        return told

    def _reaction(self, letter: Letter, change: ReactionChange, *, trusted: bool) -> list[Event]:
        """Note a reaction; one in a conversation that is not approved, or not yet known here to be, is not shown."""
        if change.author not in {self._own, letter.conversation}:
            return []
        told = self._profile_came(letter, change.profile)
        if self._conversations.react(letter.conversation, letter.sender, change) and trusted:
            told.append(
                events.ReactionChanged(
                    letter.conversation, change.author, change.target_ms, letter.sender, change.emoji, change.removed
                )
            )
        return told

    def _profile_came(self, letter: Letter, profile: Profile | None) -> list[Event]:
        """Note what a contact says about itself, if that is news."""
        known = self._configs.contact(letter.sender) if letter.sender != self._own else None
        if known is None or (contact := self._told_profile(letter, known, profile)) == known:
            return []
        self._configs.contacts.set(contact)
        return [events.ContactChanged(contact.id, contact)]

    def _told_profile(self, letter: Letter, contact: Contact, profile: Profile | None) -> Contact:
        """Remember what a contact says about itself, and return the contact with it if that is news."""
        if profile is not None:
            told = Told.of(profile)
            self._store.told_profiles.note(contact.id, told, letter.sent_ms)
            self._may_be_mixed |= 0 < told.updated_s == contact.profile_updated_s and told.shown_by(contact) != contact
        return with_profile(contact, profile)

    def _receipt(self, letter: Letter, message: ReadReceipt, now_ms: int) -> list[Event]:
        if not self._store.setting(READ_RECEIPTS):
            return []
        news = self._conversations.read_by_peer(letter.sender, message.read_ms, now_ms)
        return [events.MessagesRead(letter.sender, tuple(news))] if news else []


def _arrival(message: Message) -> Event:
    return events.MessageReceived(message) if message.incoming else events.MessageSynced(message)


def with_profile(contact: Contact, profile: Profile | None) -> Contact:
    """Return a contact with what it says about itself, if that is news."""
    if profile is None or not profile_counts(
        profile.updated_s, contact.profile_updated_s, known=bool(contact.name or contact.picture)
    ):
        return contact
    return Told.of(profile).shown_by(contact)
