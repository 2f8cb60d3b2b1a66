"""The files of messages in the account file: those that wait to be uploaded, and what became of those of others.

Every method that changes something is to be called inside a transaction.  Tables: see `schema`.
Spec: none (local format).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ramson.messenger.database import Database
from ramson.messenger.message import FileState

STAGED_MS: Final = 86_400_000  # a file that no message has claimed by then was left by a program that was killed


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """An encrypted file on its way to the file server; `begun` is where its upload goes on, if it was begun."""

    id: int
    place: int
    blob: bytes = field(repr=False)
    begun: str = field(default="", repr=False)


class Attached:
    """The files in one account file."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def stage(self, blob: bytes, now_ms: int) -> int:
        """Keep an encrypted file for a message that is being written; return its id."""
        return int(
            self._db.value(
                "INSERT INTO files (size, blob, made_ms) VALUES (?, ?, ?) RETURNING id", (len(blob), blob, now_ms)
            )
        )

    def unstage(self, files: Sequence[int]) -> None:
        """Drop files whose message was not written after all."""
        self._db.executemany("DELETE FROM files WHERE id = ? AND message IS NULL", [(number,) for number in files])

    def forget_staged(self, now_ms: int) -> None:
        """Drop files of messages that were never written."""
        self._db.execute("DELETE FROM files WHERE message IS NULL AND made_ms < ?", (now_ms - STAGED_MS,))

    def claim(self, message: int, files: Sequence[tuple[int, int]]) -> None:
        """Let a message have files: (id, place among its attachments)."""
        self._db.executemany(
            "UPDATE files SET message = ?, place = ? WHERE id = ?",
            [(message, place, number) for number, place in files],
        )

    def waiting(self) -> list[int]:
        """Return the messages that wait for their files to be uploaded, the oldest first."""
        rows = self._db.rows(
            "SELECT DISTINCT m.id FROM files f JOIN messages m ON m.id = f.message"
            " WHERE m.state = 'sending' ORDER BY m.id"
        )
        return [number for (number,) in rows]

    def next_file(self, message: int) -> WaitingFile | None:
        """Return the next file of a message that has to be uploaded."""
        row = self._db.first(
            "SELECT id, place, blob, begun FROM files WHERE message = ? AND blob IS NOT NULL ORDER BY place LIMIT 1",
            (message,),
        )
        return None if row is None else WaitingFile(*row)

    def begun(self, file: int, where: str) -> None:
        """Note where the upload of a file goes on; empty if it has to begin anew."""
        self._db.execute("UPDATE files SET begun = ?, sent = 0 WHERE id = ?", (where, file))

    def sent(self, file: int, size: int) -> bool:
        """Note how many bytes of a file the server has; return whether the file is still wanted."""
        return self._db.execute("UPDATE files SET sent = ? WHERE id = ? AND blob IS NOT NULL", (size, file)) == 1

    def uploaded(self, file: int, url: str) -> None:
        """Note where a file is now; its bytes are not needed any more."""
        self._db.execute("UPDATE files SET blob = NULL, url = ? WHERE id = ?", (url, file))

    def urls(self, message: int) -> dict[int, str]:
        """Return where the files of a message are, by their place; empty for those not uploaded yet."""
        return dict(self._db.rows("SELECT place, url FROM files WHERE message = ?", (message,)))

    def done(self, message: int) -> None:
        """Forget the files of a message that is sealed now."""
        self._db.execute("DELETE FROM files WHERE message = ?", (message,))

    # What others sent

    def note(self, message: int, place: int, state: FileState) -> None:
        """Note what became of a file: SAVED or GONE.  A message that was removed meanwhile is none of our business."""
        self._db.execute(
            "INSERT OR REPLACE INTO fetched SELECT id, ?, ? FROM messages WHERE id = ?", (place, state, message)
        )
