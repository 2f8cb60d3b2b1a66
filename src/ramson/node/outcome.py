"""What a storage request came to: a status, a body, and whether that body is structured.

The transports differ only in how they write this down: HTTPS uses the status and a content type, OxenMQ one part
for 200 and two parts otherwise (storage-rpc.md §1), an onion reply puts both into its inner JSON (onion.md §4).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one request.

    `status` is an HTTP status.  `body` is complete and encoded.  `is_json` says that it is structured: JSON, or
    bencoded when the request was; otherwise it is plain UTF-8 text meant for a person.
    """

    status: int
    body: bytes
    is_json: bool

    @classmethod
    def text(cls, status: int, text: str) -> Outcome:
        """Make an outcome of a plain text, as most refusals are."""
        return cls(status, text.encode(), is_json=False)

    def omq_parts(self) -> list[bytes]:
        """Return the data parts of an OxenMQ reply: the body alone, or the decimal code and the body."""
        return [self.body] if self.status == 200 else [b"%d" % self.status, self.body]
