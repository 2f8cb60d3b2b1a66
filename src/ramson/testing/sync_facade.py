"""The fake network for synchronous programs.

Written from `ramson.testing.network.FakeNetwork` by `python tools/write_sync.py`; a test fails when it is stale.  Not to be
edited: what it stands on is in `ramson.sync.loop`.
"""

# ruff: noqa: E501, FBT001, FBT002, F401, PLC2701, PLR0904, PLW0108, RUF100, SLF001 - written by a program

from __future__ import annotations

from collections.abc import Callable

from ramson.bot import Bot
from ramson.crypto.account import AccountId
from ramson.messenger import Receipt
from ramson.sync import Client, Message
from ramson.sync.loop import Block, Wrapped, twin_of
from ramson.testing.network import PATIENCE
from ramson.testing.network import FakeNetwork as AsyncFakeNetwork
from ramson.testing.network import Person as AsyncPerson

__all__ = ["FakeNetwork", "Person"]


@twin_of(AsyncPerson)
class Person(Wrapped):
    """Somebody on the fake network."""

    @property
    def client(self) -> Client:
        """All of their account."""
        answer: Client = self._ask(lambda: self._inner.client)
        return answer

    @property
    def account_id(self) -> AccountId:
        """The id others write to."""
        answer: AccountId = self._ask(lambda: self._inner.account_id)
        return answer

    def say(self, to: AccountId | str, text: str) -> Receipt:
        """Send a text and wait until it is stored."""
        answer: Receipt = self._wait(lambda: self._inner.say(to, text))
        return answer

    def hear(self, *, within: float = PATIENCE) -> Message:
        """Return the next message; waits so many virtual seconds at most.  Raises NothingHeard."""
        answer: Message = self._wait(lambda: self._inner.hear(within=within))
        return answer


@twin_of(AsyncFakeNetwork)
class FakeNetwork(Wrapped):
    """A running network of real nodes in virtual time."""

    def client(self, key: object, *, name: str = "", subscribe: bool = False) -> Client:
        """Prepare the client of an account that belongs to `key`: a new one the first time, then the same."""
        answer: Client = self._ask(lambda: self._inner.client(key, name=name, subscribe=subscribe))
        return answer

    @property
    def now(self) -> float:
        """Virtual seconds since the network was made."""
        answer: float = self._ask(lambda: self._inner.now)
        return answer

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._wait(lambda: self._inner.sleep(seconds))

    def until(self, condition: Callable[[], bool], *, within: float = PATIENCE) -> None:
        """Wait until something is so; it is looked at every half second.  Raises TimeoutError."""
        self._wait(lambda: self._inner.until(condition, within=within))

    def person(self, name: str = "Alice") -> Block[Person]:
        """Be somebody with this name; the same name is the same account."""
        return Block(self._loop, self._inner.person(name))

    def running(self, bot: Bot) -> Block[AccountId]:
        """Let a bot work on this network, with an account made for the test, and give its id.

        Its own file, passphrase and network are not touched.  To enter it again is to restart it.
        """
        return Block(self._loop, self._inner.running(bot))
