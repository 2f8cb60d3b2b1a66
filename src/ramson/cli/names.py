"""How people are called on the screen, and who is meant by whoever types a name.

Theory of operation.  What somebody calls themselves is their word and may be anybody's name.  So it stands behind their
id and between “ and ”, which it cannot hold itself: no such name reads as an id, as a name that we gave, or as
the beginning of a message.  What *we* call somebody stands alone, as long as nobody else is called that.

Ids are shortened to their ends, which say who of the people we know somebody is: where two of them have the same ends,
both are shown whole.  Ends say nothing more, for an id with given ends can be searched for.

Who is typed is an id, or what we call exactly one person; never what people call themselves.
Spec: none (what is shown is every program's own).
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final, TypeAlias

from ramson.cli.harmless import harmless
from ramson.crypto.account import AccountId
from ramson.errors import LocalError
from ramson.messenger import Client
from ramson.protocol.config import Contact

Typed: TypeAlias = AccountId | str
"""Who somebody typed: an id, or a nickname that is to be looked up in the account."""

YOU: Final = "you"
NOTES: Final = "Note to Self"
_LIKE_AN_ID: Final = re.compile(r"05\S*|[0-9a-fA-F]{20,}")
_BEGINNING, _END = 8, 6  # digits of an id that are shown
_MOST: Final = 5  # names that are proposed
_WHAT_IS_TAKEN: Final = (
    "Give the account id, or a name that you gave with `ramson nickname`; those that people give themselves are not"
    " taken."
)


class NoSuchName(LocalError):
    """We call nobody that, or more than one person."""


class BadNickname(LocalError):
    """A nickname that could not tell who somebody is."""


class Names:
    """What the people whom the account `own` knows are called."""

    def __init__(self, own: AccountId, people: Iterable[Contact]) -> None:
        self._own = own
        self._people = {each.id: each for each in people}
        self._ends: defaultdict[str, set[AccountId]] = defaultdict(set)
        self._taken = Counter((_folded(YOU), _folded(NOTES)))
        for each in self._people.values():
            self._ends[_ends(each.id)].add(each.id)
            self._taken.update({_folded(each.nickname), _folded(each.name)})

    # Showing

    def shown(self, who: AccountId) -> str:
        """Return what stands for somebody in one line with other things."""
        if who == self._own:
            return YOU
        name, alone = self._called(who)
        return name if alone else f"{self.short(who)} {name}".rstrip()

    def listed(self, who: AccountId) -> str:
        """Return what stands for somebody in a list of people, from which ids are copied."""
        name = NOTES if who == self._own else self._called(who)[0]
        return f"{who.hex}  {name or '(no name)'}"

    def short(self, who: AccountId) -> str:
        """Return an id, shortened unless it could then be another one's whom we know."""
        return who.hex if self._ends.get(_ends(who), set()) - {who} else _ends(who)

    def fields(self, who: AccountId) -> dict[str, str]:
        """Return for programs what somebody is called, by us and by themselves."""
        known = self._people.get(who)
        return {"nickname": known.nickname if known else "", "profile_name": known.name if known else ""}

    def _called(self, who: AccountId) -> tuple[str, bool]:
        """Return a name, or nothing, and whether it tells without an id who that is."""
        known = self._people.get(who)
        if known is None:
            return "", False
        if not _folded(known.nickname):
            return _quoted(known.name) if _folded(known.name) else "", False
        nickname = _one_line(known.nickname)
        clear = nickname == known.nickname and not _LIKE_AN_ID.match(nickname)
        return nickname, clear and self._taken[_folded(nickname)] == 1

    # Typing

    def meant(self, typed: Typed) -> AccountId:
        """Return who is meant.  Raises NoSuchName, which says what would fit."""
        if isinstance(typed, AccountId):
            return typed
        found = self._nicknamed(typed)
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchName(
                f"you call {len(found)} people {_quoted(typed)}",
                remedy=f"Give the id of the one you mean: {'; '.join(self._told(each) for each in found)}.",
            )
        like = self._close(typed)
        raise NoSuchName(
            f"you call nobody {_quoted(typed)}, and it is no account id",
            remedy=f"Did you mean {' or '.join(like)}?" if like else _WHAT_IS_TAKEN,
        )

    def check_nickname(self, who: AccountId, nickname: str) -> None:
        """Raise BadNickname unless we may call somebody that; the empty one is none."""
        if who not in self._people:
            raise BadNickname("nobody whom you know has this id", remedy="Write to them first.")
        if not nickname:
            return
        if not _folded(nickname) or _one_line(nickname) != nickname:
            raise BadNickname("this nickname cannot be seen, or not as it is", remedy="Choose letters.")
        if _LIKE_AN_ID.match(nickname):
            raise BadNickname("this nickname looks like an account id", remedy="Choose another one.")
        if _folded(nickname) in {_folded(YOU), _folded(NOTES)}:
            raise BadNickname("that is what you are called here yourself", remedy="Choose another one.")
        if set(self._nicknamed(nickname)) - {who}:
            raise BadNickname("you call somebody else that", remedy="Choose another one.")

    def _nicknamed(self, name: str) -> list[AccountId]:
        wanted = _folded(name)
        return [who for who, each in self._people.items() if wanted and _folded(each.nickname) == wanted]

    def _told(self, who: AccountId) -> str:
        name = self._people[who].name
        return f"{who.hex} {_quoted(name)}" if _folded(name) else who.hex

    def _close(self, typed: str) -> list[str]:
        """Return what we call people that is like what was typed."""
        wanted = _folded(typed)
        names = {_folded(each.nickname): _one_line(each.nickname) for each in self._people.values()}
        names.pop("", None)
        like = difflib.get_close_matches(wanted, names, n=_MOST)
        like += [each for each in names if wanted and wanted in each and each not in like]
        return [names[each] for each in like[:_MOST]]


def names_of(me: Client) -> Names:
    """Return what the people of an open account are called at this moment."""
    return Names(me.account_id, me.people())


def read_person(text: str) -> Typed:
    """Return who was typed, so far as the account is not needed for it.

    Raises AccountIdError for what can only be an id that was not copied as it is.
    """
    return AccountId.parse(text) if _LIKE_AN_ID.fullmatch(text.strip()) else text


def never_written_to(me: Client, to: AccountId) -> bool:
    """Tell whether an id is nobody's whom we know: an id has no checksum, and may have been mistyped."""
    return to != me.account_id and me.contact(to) is None and not me.history(to, limit=1)


def first_message(names: Names, to: AccountId) -> str:
    """Return what a person is told of a message to such an id."""
    return f"this is the first message to {names.short(to)}"


def _ends(who: AccountId) -> str:
    return f"{who.hex[:_BEGINNING]}…{who.hex[-_END:]}"


def _quoted(name: str) -> str:
    inside = _one_line(name).replace("“", '"').replace("”", '"')
    return f"“{inside}”"


def _one_line(name: str) -> str:
    return "".join("�" if each in "\n\t\u2028\u2029" else each for each in harmless(name))


def _folded(name: str) -> str:
    """Return what two names have in common that a person would take for the same."""
    plain = "".join(each for each in name if unicodedata.category(each) not in {"Cc", "Cf"} or each in "\n\t")
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold()).split())
