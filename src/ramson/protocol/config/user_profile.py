"""One's own profile: name, picture, and the settings of Note to Self.

A view over a `Config` of kind USER_PROFILE.  Spec: config-sync.md §4.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ramson.crypto.keys import KEY_SIZE
from ramson.protocol.config import fields
from ramson.protocol.config.config import Config
from ramson.protocol.config.fields import Picture
from ramson.protocol.config.values import Scalar, Value, dict_at

_MS_FROM = 10**12  # a larger time is in ms


@dataclass(frozen=True, slots=True)
class ProAccess:
    """What the account's devices know of its Pro subscription."""

    features: int = 0  # profile bits: 1 badge, 2 animated picture
    credential: Value | None = field(default=None, repr=False)  # as it is: its form changed between versions
    rotating_seed: bytes = field(default=b"", repr=False)  # of the older form; 32 bytes or none
    expires_s: int = 0
    auto_renew: bool = False
    grace_s: int = 0
    refund_requested_s: int = 0
    prepaid: bool = False


class UserProfile:
    """The profile; setters write to the config at once."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def name(self) -> str:
        """The display name, empty if there is none."""
        return fields.name(self.config.data, b"n")

    def set_name(self, name: str) -> None:
        """Set the name; an empty one removes it.  Raises LocalError above 100 bytes of UTF-8."""
        self.config.edit((), {b"n": fields.put_name(name)})

    def set_name_truncated(self, name: str) -> None:
        """Set as much of the name as fits."""
        self.set_name(fields.truncated(name))

    @property
    def picture(self) -> Picture | None:
        """The picture; the one that was uploaded again, if that is the later."""
        data = self.config.data
        if self._was_reuploaded:
            again = fields.picture(data, b"P", b"Q")
            if again is not None:
                return again
        return fields.picture(data)

    def set_picture(self, picture: Picture | None, *, updated_s: int | None = None) -> None:
        """Set or remove the picture; `updated_s` says when the profile was changed."""
        self._set_picture(fields.put_picture(picture), b"t", updated_s)

    def set_reuploaded_picture(self, picture: Picture | None, *, updated_s: int) -> None:
        """Set where the unchanged picture was uploaded again, before its file expired."""
        self._set_picture(fields.put_picture(picture, b"P", b"Q"), b"T", updated_s)

    def set_time(self, updated_s: int) -> None:
        """Say when the profile was changed, and leave what it shows."""
        self.config.edit((), {self._time_key: fields.put_positive(updated_s)})

    def _set_picture(self, changes: fields.Changes, time_key: bytes, updated_s: int | None) -> None:
        if updated_s is not None:
            changes[time_key] = fields.put_positive(updated_s)
        self.config.edit((), changes)

    @property
    def updated_s(self) -> int:
        """When the profile was last changed, in seconds; 0 if that is not known."""
        return fields.number(self.config.data, self._time_key)

    @property
    def _time_key(self) -> bytes:
        return b"T" if self._was_reuploaded else b"t"

    @property
    def _was_reuploaded(self) -> bool:
        return fields.number(self.config.data, b"T") > fields.number(self.config.data, b"t")

    @property
    def note_to_self_priority(self) -> int:
        """-1 hidden, 0 normal, above pinned."""
        return fields.number(self.config.data, b"+")

    def set_note_to_self_priority(self, priority: int) -> None:
        """Hide (-1), show (0) or pin (above) Note to Self."""
        self.config.edit((), {b"+": fields.put_number(priority)})

    @property
    def note_to_self_timer_s(self) -> int:
        """After how many seconds one's notes disappear; 0 never."""
        return max(0, fields.number(self.config.data, b"e"))

    def set_note_to_self_timer(self, seconds: int) -> None:
        """Let notes disappear after so many seconds; 0 never."""
        self.config.edit((), {b"e": fields.put_positive(seconds)})

    @property
    def accepts_community_requests(self) -> bool | None:
        """Whether strangers in communities may write to us; None if that was never decided."""
        value = self.config.data.get(b"M")
        return value > 0 if isinstance(value, int) else None

    def set_accepts_community_requests(self, accepts: bool | None) -> None:  # noqa: FBT001 - three-valued
        """Decide it, or leave it undecided again."""
        self.config.edit((), {b"M": None if accepts is None else int(accepts)})

    @property
    def pro(self) -> ProAccess:
        """The subscription."""
        data = self.config.data
        expires = fields.number(data, b"E")
        credential = data.get(b"s")
        return ProAccess(
            features=fields.number(data, b"f"),
            credential=credential,
            rotating_seed=fields.octets(dict_at(data, (b"s",)), b"r", KEY_SIZE),
            expires_s=expires // 1_000 if expires > _MS_FROM else expires,
            auto_renew=fields.flag(data, b"A"),
            grace_s=fields.number(data, b"G"),
            refund_requested_s=fields.number(data, b"R"),
            prepaid=fields.flag(data, b"I"),
        )

    def set_pro_features(self, bits: int) -> None:
        """Set the profile bits."""
        self.config.edit((), {b"f": fields.put_number(bits)})

    def set_pro_credential(self, credential: Scalar | None) -> None:
        """Set or remove the credential, an opaque string."""
        self.config.edit((), {b"s": credential})
