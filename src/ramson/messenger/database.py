"""The open file of an account as a database: queries, transactions, single values, and errors a person understands.

Every change is a transaction; transactions nest.  Several programs may have the same file open.
Knows nothing of what the tables hold.  Spec: none (local format).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from ramson.messenger.vault import AccountFileError


class Database:
    """One connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._connection.close()

    def execute(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Run a statement inside a transaction; return how many rows it changed."""
        with self._errors():
            self._connection.execute(query, values)
            return int(self._connection.changes())

    def executemany(self, query: str, values: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row, inside a transaction."""
        with self._errors():
            self._connection.executemany(query, values)

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._errors():
            return list(self._connection.execute(query, values).fetchall())

    def first(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """Return the first row, or None."""
        with self._errors():
            return self._connection.execute(query, values).fetchone()

    def row(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Return the first row.  Raises AccountFileError if there is none."""
        found = self.first(query, values)
        if found is None:
            raise AccountFileError("the account file lacks a row that must be there", remedy="Restore a backup of it.")
        return found

    def value(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row.  Raises AccountFileError if there is none."""
        return self.row(query, values)[0]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a single value."""
        found = self.first("SELECT value FROM meta WHERE key = ?", (key,))
        return default if found is None else found[0]

    def set(self, key: str, value: int | bytes | str) -> None:
        """Keep a single value; inside a transaction."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def remove(self, key: str) -> None:
        """Forget a single value; inside a transaction."""
        self.execute("DELETE FROM meta WHERE key = ?", (key,))

    def foreign_version(self) -> int:
        """Return a number that changes when another program has changed the file."""
        with self._errors():
            return int(self._connection.pragma("data_version"))

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._connection.in_transaction)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of the block, or nothing of it."""
        with self._errors(), self._connection:
            yield

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.ConnectionClosedError:
            raise AccountFileError("the account is closed", remedy="Use it inside `async with`.") from None
        except apsw.BusyError as error:
            raise AccountFileError(
                "another program keeps the account file to itself", remedy="Close that program and try again."
            ) from error
        except apsw.FullError as error:
            raise AccountFileError("there is no room for the account file", remedy="Free some disk space.") from error
        except apsw.Error as error:
            raise AccountFileError(f"the account file cannot be used: {error}") from error
