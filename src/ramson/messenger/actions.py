"""What the owner of an account does: each a transaction that changes the account and queues what others must hear.

Nothing here waits for the network.  Spec: messaging.md §3.3 to §3.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ramson.crypto.account import AccountId
from ramson.crypto.entropy import Entropy
from ramson.errors import LocalError
from ramson.messenger import events, letters
from ramson.messenger.events import Event
from ramson.messenger.intake import READ_RECEIPTS, TYPING
from ramson.messenger.letters import Outgoing
from ramson.messenger.message import Conversation, Kind, Message, State
from ramson.messenger.store import Chore, Store
from ramson.protocol.config import Contact, ExpiryMode, Picture
from ramson.protocol.config.convo_info_volatile import ReadState
from ramson.protocol.content import (
    MAX_ATTACHMENTS,
    MAX_EMOJI,
    MAX_RECEIPTS,
    NEVER,
    Attachment,
    CommunityInvitation,
    DataExtraction,
    Expiration,
    ExpirationMode,
    Extraction,
    LinkPreview,
    Profile,
    Quote,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    Sendable,
    TextMessage,
    TimerUpdate,
    Typing,
    Unsend,
)
from ramson.protocol.content.rules import MINUTE_MS, may_react

_TO_CONFIG: Final = {
    ExpirationMode.NONE: ExpiryMode.NONE,
    ExpirationMode.AFTER_READ: ExpiryMode.AFTER_READ,
    ExpirationMode.AFTER_SEND: ExpiryMode.AFTER_SEND,
}
_FROM_CONFIG: Final = {config: mode for mode, config in _TO_CONFIG.items()}


class Blocked(LocalError):
    """Something is to be sent to somebody who is blocked."""


class NotApproved(LocalError):
    """Something that only people who approved of each other do."""


class NoSuchMessage(LocalError):
    """A message that is not, or no longer, in the account file."""


class NotYours(LocalError):
    """Only the author of a message takes it back."""


class TooManyReactions(LocalError):
    """More reactions than others accept from one person in a minute."""


class BadReaction(LocalError):
    """A reaction that cannot be sent."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A text to be sent, with what goes with it; `files` of it, (id, place), are still to be uploaded."""

    text: str
    quote: Quote | None = None
    attachments: tuple[Attachment, ...] = ()
    previews: tuple[LinkPreview, ...] = ()
    invitation: CommunityInvitation | None = None
    files: tuple[tuple[int, int], ...] = ()


class Actions:
    """The actions of one account.  `now` gives network time in ms; `tell` is told what happened."""

    def __init__(
        self, store: Store, entropy: Entropy, now: Callable[[], int], tell: Callable[[Sequence[Event]], None]
    ) -> None:
        self._store = store
        self._configs = store.configs
        self._conversations = store.conversations
        self._own = store.keys.id
        self._entropy = entropy
        self._now = now
        self._tell = tell

    # Writing

    def check(self, to: AccountId, draft: Draft, *, attachments: int) -> None:
        """Say before anything is done whether a draft with so many attachments can be sent.

        Raises BadText, BadRecipient, Blocked.
        """
        letters.check_recipient(to)
        if draft.text or not (attachments or draft.invitation):
            letters.check_text(draft.text)
        if attachments > MAX_ATTACHMENTS:
            raise letters.BadText(f"a message has at most {MAX_ATTACHMENTS} attachments")
        letters.check_previews(draft.text, draft.previews)
        contact = self._configs.contact(to)
        if contact is not None and contact.blocked:
            raise Blocked("this contact is blocked", remedy="Unblock it first.")

    def send(self, to: AccountId, draft: Draft) -> int:
        """Queue a text and return its id.  Whoever is written to is approved by that.

        Raises BadText, BadRecipient, Blocked.
        """
        self.check(to, draft, attachments=len(draft.attachments))
        with self._configs.changing():
            told = self._approve(to)
            expiration = self.expiration(to)

            def message(sent_ms: int) -> Sendable:
                return TextMessage(
                    draft.text,
                    sent_ms,
                    profile=self.own_profile(),
                    quote=draft.quote,
                    expiration=expiration,
                    attachments=draft.attachments,
                    previews=draft.previews,
                    invitation=draft.invitation,
                )

            number = self._queue(to, message, draft.files)
        self._tell(told)
        return number

    def react(self, message: Message, emoji: str, *, removed: bool = False) -> None:
        """React to a message or withdraw a reaction.

        Raises BadReaction, TooManyReactions, NotApproved, Blocked.
        """
        if not 0 < len(emoji.encode("utf-8", "surrogatepass")) <= MAX_EMOJI or emoji.isspace():
            raise BadReaction("a reaction is one emoji", remedy="Choose an emoji.")
        peer = message.conversation
        if message.kind is Kind.DELETED:
            raise NoSuchMessage("the message was taken back")
        with self._configs.changing():
            if peer != self._own:
                contact = self._check_approved(peer, "reactions go to people who have accepted each other")
                if not contact.approved_me:
                    raise NotApproved("this person has not accepted you yet", remedy="Wait until they answer.")
            now = self._now()
            if not removed and not may_react(self._conversations.reaction_times(self._own, now - MINUTE_MS), now):
                raise TooManyReactions("more reactions than a minute takes", remedy="Wait a minute.")

            def react(sent_ms: int) -> Sendable:
                change = ReactionChange(
                    message.sent_ms, message.sender, emoji, removed, sent_ms, profile=self.own_profile()
                )
                self._conversations.react(peer, self._own, change)
                return change

            self._queue(peer, react)
        self._tell([events.ReactionChanged(peer, message.sender, message.sent_ms, self._own, emoji, removed)])

    def unsend(self, message: Message) -> None:
        """Take back a message of our own, on all devices of both sides.  Raises NotYours, NoSuchMessage."""
        if message.sender != self._own:
            raise NotYours("only its author takes a message back", remedy="Delete it for yourself.")
        with self._configs.changing():
            found = self._conversations.find(message.sender, message.sent_ms, message.conversation)
            if found is None or found.kind is Kind.DELETED:
                raise NoSuchMessage("the message is not there any more")
            if found.state in {State.SENDING, State.FAILED}:
                # Our other devices never got it.  The recipient may have, if an answer was lost on its way to us: the
                # request goes out all the same.
                self._conversations.remove([found.id])
            else:
                self._conversations.unsend(found)
            if found.own_hash:
                self._store.add_chore(Chore("delete", found.own_hash))
            self._queue(message.conversation, lambda sent_ms: Unsend(message.sent_ms, self._own, sent_ms))
        self._tell([events.MessageUnsent(message.conversation, self._own, message.sent_ms)])

    def resend(self, message: Message) -> None:
        """Put a text of our own that failed into the outbox again, as it was.  Raises NoSuchMessage."""
        with self._configs.changing():
            text = self._conversations.text(message.id)
            if text is None or message.sender != self._own or message.state is not State.FAILED:
                raise NoSuchMessage("only a text that could not be sent is sent again")
            if not all(each.url for each in text.attachments) and not self._store.attached.urls(message.id):
                raise NoSuchMessage("the files of this message are not here any more", remedy="Send them anew.")
            sealed = letters.write(
                replace(text, sync_target=None), self._store.keys, message.conversation, self._entropy
            )
            self._store.queue_again(message.id, sealed)

    def delete(self, message: Message) -> None:
        """Delete a message for ourselves, here and in our own swarm."""
        with self._configs.changing():
            found = self._conversations.find(message.sender, message.sent_ms, message.conversation)
            if found is None:
                return
            if found.own_hash:
                self._store.add_chore(Chore("delete", found.own_hash))
            self._conversations.remove([found.id])

    def mark_read(self, peer: AccountId, up_to_ms: int | None = None) -> None:
        """Note that we have read a conversation, all of it or up to a sent time, on all devices.

        What disappears after reading begins to; if read receipts are on, the other side is told.
        """
        now = self._now()
        with self._configs.changing():
            unread = [moment for moment in self._conversations.unread(peer) if up_to_ms is None or moment <= up_to_ms]
            state = self._configs.read_states.one_to_one(peer) or ReadState()
            if not unread and not state.unread:
                return
            last = max([*unread, state.last_read_ms, self._conversations.last_read(peer)])
            self._conversations.set_last_read(peer, last)
            self._configs.read_states.set_read(peer, ReadState(last))
            for name, expiry in self._conversations.start_timers(peer, last, now):
                self._store.add_chore(Chore("shorten", name, expiry))
            if self._store.setting(READ_RECEIPTS) and self._approved(peer) and peer != self._own:
                for start in range(0, len(unread), MAX_RECEIPTS):
                    times = tuple(unread[start : start + MAX_RECEIPTS])
                    self._queue(peer, lambda sent_ms, times=times: ReadReceipt(times, sent_ms))  # type: ignore[misc]
        self._tell([events.ConversationRead(peer, last)])

    def mark_unread(self, peer: AccountId) -> None:
        """Mark a conversation unread by hand, on all devices."""
        with self._configs.changing():
            self._configs.read_states.set_read(peer, ReadState(self._conversations.last_read(peer), unread=True))

    def typing(self, peer: AccountId, *, started: bool) -> Outgoing | None:
        """Return a typing notice to be stored at once, or None if none is to be sent."""
        contact = self._configs.contact(peer)
        if not self._store.setting(TYPING) or contact is None or contact.blocked:
            return None
        if not (contact.approved and contact.approved_me):
            return None
        with self._configs.changing():
            sent_ms = self._store.sent_time(self._now())
        return letters.write(Typing(started, sent_ms), self._store.keys, peer, self._entropy)

    def tell_extraction(self, peer: AccountId, what: Extraction, target_ms: int = 0) -> None:
        """Tell the other side that we took a picture of the conversation, or saved a file.  Raises NotApproved."""
        with self._configs.changing():
            self._check_approved(peer, "only contacts are told")
            setting = self.expiration(peer)
            expiration = Expiration(ExpirationMode.AFTER_READ, setting.timer_s) if setting.active else NEVER
            self._queue(peer, lambda sent_ms: DataExtraction(what, sent_ms, target_ms, expiration))

    # Contacts

    def accept(self, peer: AccountId) -> None:
        """Accept a message request: its sender is told, and is a contact from now on."""
        letters.check_recipient(peer)
        with self._configs.changing():
            told = self._approve(peer)
        self._tell(told)

    def decline(self, peer: AccountId) -> None:
        """Delete a message request, or any contact, with all its messages, here and in our own swarm."""
        with self._configs.changing():
            for name in self._conversations.clear(peer):
                self._store.add_chore(Chore("delete", name))
            self._configs.contacts.erase(peer)
            self._configs.read_states.erase_one_to_one(peer)
        self._tell([events.ContactChanged(peer, None)])

    def block(self, peer: AccountId, *, blocked: bool = True) -> None:
        """Drop from now on all that somebody sends, or do so no longer; on all devices."""
        letters.check_recipient(peer)
        if peer == self._own:
            raise letters.BadRecipient("nobody can block themselves")
        self.change_contact(peer, lambda contact: replace(contact, blocked=blocked))

    def change_contact(self, peer: AccountId, change: Callable[[Contact], Contact]) -> None:
        """Change what is shared about somebody, who is made a contact if they are none."""
        with self._configs.changing():
            known = self._configs.contact(peer)
            contact = change(known or Contact(peer, created_s=self._now() // 1000))
            if contact != known:
                self._configs.contacts.set(contact)
        if contact != known:
            self._tell([events.ContactChanged(peer, contact)])

    def set_priority(self, peer: AccountId, priority: int) -> None:
        """Pin a conversation (1 and more), hide it (-1), or neither (0); on all devices."""
        if peer != self._own:
            self.change_contact(peer, lambda contact: replace(contact, priority=max(-1, priority)))
            return
        with self._configs.changing():
            self._configs.profile.set_note_to_self_priority(max(-1, priority))
        self._tell([])

    def set_profile(self, name: str | None, picture: Picture | None, *, keep_picture: bool) -> None:
        """Change our name, our picture, or both.  Raises BadName."""
        if name is not None:
            letters.check_name(name)
        with self._configs.changing():
            profile = self._configs.profile
            if name is not None:
                profile.set_name(name)
            time_s = self._configs.next_profile_time_s(self._now())
            profile.set_picture(profile.picture if keep_picture else picture, updated_s=time_s)
        self._tell([events.ProfileChanged(self._store.name)])

    def set_disappearing(self, peer: AccountId, expiration: Expiration) -> None:
        """Let what we write to somebody disappear from now on, and tell them.  Raises BadTimer, Blocked."""
        letters.check_recipient(peer)
        letters.check_timer(expiration, after_read=peer != self._own)
        with self._configs.changing():
            told: list[Event] = []
            if peer == self._own:
                self._configs.profile.set_note_to_self_timer(expiration.timer_s)
            else:
                told = self._approve(peer)
                contact = self._configs.contact(peer) or Contact(peer)
                mode = _TO_CONFIG[expiration.mode]
                self._configs.contacts.set(replace(contact, expiry=mode, timer_s=expiration.timer_s))
            self._queue(peer, lambda sent_ms: TimerUpdate(expiration, sent_ms, profile=self.own_profile()))
        self._tell(told)

    # Looking

    def expiration(self, peer: AccountId) -> Expiration:
        """Return how what we write to somebody disappears."""
        if peer == self._own:
            timer_s = self._configs.profile.note_to_self_timer_s
            return Expiration(ExpirationMode.AFTER_SEND, timer_s) if timer_s else NEVER
        contact = self._configs.contact(peer)
        if contact is None or contact.expiry is ExpiryMode.NONE:
            return NEVER
        return Expiration(_FROM_CONFIG[contact.expiry], contact.timer_s)

    def own_profile(self) -> Profile | None:
        """Return what our messages say about us."""
        picture, name = self._configs.profile.picture, self._store.name
        time_s = self._configs.profile_time_s
        if not (name or picture or time_s):
            return None  # but what was taken away is told: others may still show it
        return Profile(name, picture.url if picture else "", picture.key if picture else b"", time_s)

    def conversations(self, *, requests: bool) -> list[Conversation]:
        """Return the conversations, or the unanswered message requests: pinned ones first, then the latest.

        Whom we blocked is left out of the requests, and who is hidden out of the conversations.
        """
        found: list[Conversation] = []
        for contact in self._configs.contacts:
            if requests != (not contact.approved) or (requests and contact.blocked) or contact.priority < 0:
                continue
            found.append(self._conversation(contact))
        profile = self._configs.profile
        if not requests and profile.note_to_self_priority >= 0:
            notes = self._conversation(Contact(self._own, approved=True, priority=profile.note_to_self_priority))
            found.append(replace(notes, expiration=self.expiration(self._own)))
        found.sort(key=lambda each: (each.priority, each.last.sent_ms if each.last else 0, each.peer), reverse=True)
        return found

    def _conversation(self, contact: Contact) -> Conversation:
        last = self._conversations.history(contact.id, 1)
        state = self._configs.read_states.one_to_one(contact.id)
        return Conversation(
            peer=contact.id,
            name=contact.nickname or contact.name,
            last=last[0] if last else None,
            unread=len(self._conversations.unread(contact.id)),
            priority=contact.priority,
            request=not contact.approved,
            blocked=contact.blocked,
            marked_unread=state is not None and state.unread,
            muted_until_s=contact.muted_until_s,
            expiration=self.expiration(contact.id),
        )

    # Inside

    def _queue(self, to: AccountId, message: Callable[[int], Sendable], files: Sequence[tuple[int, int]] = ()) -> int:
        def write(sent_ms: int) -> Outgoing:
            return letters.write(message(sent_ms), self._store.keys, to, self._entropy)

        return self._store.queue(to, self._now(), write, files)

    def _approved(self, peer: AccountId) -> bool:
        contact = self._configs.contact(peer)
        return contact is not None and contact.approved and not contact.blocked

    def _check_approved(self, peer: AccountId, why: str) -> Contact:
        contact = self._configs.contact(peer)
        if contact is None or not self._approved(peer):
            raise NotApproved(why, remedy="Accept the request, or write first.")
        return contact

    def _approve(self, peer: AccountId) -> list[Event]:
        """Make somebody an approved contact; tell them if they had asked.  Raises Blocked."""
        if peer == self._own:
            if self._configs.profile.note_to_self_priority < 0:
                self._configs.profile.set_note_to_self_priority(0)
            return []
        known = self._configs.contact(peer)
        if known is not None and known.blocked:
            raise Blocked("this contact is blocked", remedy="Unblock it first.")
        contact = known or Contact(peer, created_s=self._now() // 1000)
        contact = replace(contact, approved=True, priority=max(0, contact.priority))
        if contact == known:
            return []
        asked = known is not None and not known.approved and self._conversations.has_incoming(peer)
        self._configs.contacts.set(contact)
        if asked:
            self._queue(peer, lambda sent_ms: RequestResponse(True, sent_ms, self.own_profile()))
        return [events.ContactChanged(peer, contact)]
