"""What a parameter of a storage request can be, and how each kind is written in JSON and in bencode.

A kind turns a decoded value of either encoding into the one Python value the request types hold, and back.  JSON has
base64 where bencode has raw bytes; keys are hexadecimal in JSON and either in bencode; flags are booleans in JSON and
1 or 0 in bencode.  It never sees a missing value.  Spec: storage-rpc.md §2, node/CORRECTIONS.md.
"""

from __future__ import annotations

import re
from binascii import b2a_base64, unhexlify
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ramson.protocol.namespaces import MAX_NAMESPACE, MIN_NAMESPACE
from ramson.protocol.storage.limits import (
    ACCOUNT_SIZE,
    HASH_LENGTH,
    MAX_DATA,
    MAX_HASHES,
    MAX_INT,
    MAX_TIMESTAMP,
    MIN_INT,
    MIN_TIMESTAMP,
    TOKEN_SIZE,
)

ALL: Final = "all"


class Misfit(ValueError):
    """A value that is not of its parameter's kind, with a reason better than the kind's description."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of parameter.

    `wanted` describes it in refusals and in the documentation.  The readers raise ValueError (a `Misfit` has its own
    text) for what is not of this kind.
    """

    wanted: str
    from_json: Callable[[Any], Any]
    from_bt: Callable[[Any], Any]
    to_json: Callable[[Any], Any]
    to_bt: Callable[[Any], Any]


def decode_base64(text: Any) -> bytes:
    """Decode standard base64, padded fully or not at all.  Raises ValueError."""
    if text.__class__ is not str:
        raise ValueError
    if len(text) & 3:
        if text[-1] == "=":
            raise ValueError
        text += "=" * (-len(text) & 3)
    try:
        return msgspec.convert(text, bytes)  # as strict as binascii's strict mode, and four times as fast
    except msgspec.ValidationError:
        raise ValueError from None


def encode_base64(data: bytes) -> str:
    """Encode in padded base64."""
    return b2a_base64(data, newline=False).decode("ascii")


def _same(value: Any) -> Any:
    return value


def _hex(value: bytes) -> str:
    return value.hex()


def _text_of(value: Any) -> str:
    """Take a bencoded string for text."""
    if value.__class__ is not bytes:
        raise ValueError
    text: str = value.decode()
    return text


def _number(value: Any) -> int:
    if value.__class__ is not int or not MIN_INT <= value <= MAX_INT:
        raise ValueError
    number: int = value
    return number


# ---- keys and signatures


def _account_from_json(value: Any) -> bytes:
    if value.__class__ is not str or len(value) != 2 * ACCOUNT_SIZE:
        raise ValueError
    return unhexlify(value)


def _account_from_bt(value: Any) -> bytes:
    if value.__class__ is bytes and len(value) == ACCOUNT_SIZE:
        raw: bytes = value
        return raw
    return _account_from_json(_text_of(value))


def _testnet_account(value: Any) -> Any:
    """Complete 64 digits to an account of the prefix 05."""
    if len(value) == 2 * (ACCOUNT_SIZE - 1):
        return "05" + value if isinstance(value, str) else b"05" + value
    return value


def _ed25519_from_json(value: Any) -> bytes:
    if value.__class__ is not str or len(value) != 64:
        raise ValueError
    return unhexlify(value)


def _ed25519_from_bt(value: Any) -> bytes:
    if value.__class__ is bytes and len(value) == 32:
        raw: bytes = value
        return raw
    return _ed25519_from_json(_text_of(value))


def _signature_from_json(value: Any) -> bytes:
    if value.__class__ is not str or len(value) not in {86, 88}:
        raise ValueError
    signature = decode_base64(value)
    if len(signature) != 64:  # 88 characters that are not all padded as they should be
        raise ValueError
    return signature


def _signature_from_bt(value: Any) -> bytes:
    if value.__class__ is not bytes or len(value) != 64:
        raise ValueError
    raw: bytes = value
    return raw


def _token_from_json(value: Any) -> bytes:
    if value.__class__ is not str:
        raise ValueError
    if len(value) == 2 * TOKEN_SIZE:
        return unhexlify(value)
    token = decode_base64(value)
    if len(token) != TOKEN_SIZE:
        raise ValueError
    return token


def _token_from_bt(value: Any) -> bytes:
    if value.__class__ is bytes and len(value) == TOKEN_SIZE:
        raw: bytes = value
        return raw
    return _token_from_json(_text_of(value))


def _for_testnet(read: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def reader(value: Any) -> bytes:
        if value.__class__ is str or value.__class__ is bytes:
            value = _testnet_account(value)
        return read(value)

    return reader


ACCOUNT: Final = Kind("33 bytes in hex (66 digits)", _account_from_json, _account_from_bt, _hex, _same)
TESTNET_ACCOUNT: Final = Kind(
    "33 bytes in hex (66 digits, or 64 for a prefix of 05)",
    _for_testnet(_account_from_json),
    _for_testnet(_account_from_bt),
    _hex,
    _same,
)
ED25519: Final = Kind("32 bytes in hex (64 digits)", _ed25519_from_json, _ed25519_from_bt, _hex, _same)
SIGNATURE: Final = Kind(
    "64 bytes in base64 (86 or 88 characters)", _signature_from_json, _signature_from_bt, encode_base64, _same
)
TOKEN: Final = Kind(
    "a token of 36 bytes in base64 (48 characters) or hex (72)", _token_from_json, _token_from_bt, encode_base64, _same
)

# ---- data and texts


def _data_from_json(value: Any) -> bytes:
    if value.__class__ is str and len(value) > (MAX_DATA + 2) // 3 * 4:
        raise Misfit(f"message data exceeds {MAX_DATA} bytes")
    data = decode_base64(value)
    if len(data) > MAX_DATA:
        raise Misfit(f"message data exceeds {MAX_DATA} bytes")
    return data


def _data_from_bt(value: Any) -> bytes:
    if value.__class__ is not bytes:
        raise ValueError
    data: bytes = value
    if len(data) > MAX_DATA:
        raise Misfit(f"message data exceeds {MAX_DATA} bytes")
    return data


def _text_from_json(value: Any) -> str:
    if value.__class__ is not str:
        raise ValueError
    text: str = value
    return text


DATA: Final = Kind(f"base64 of at most {MAX_DATA} bytes", _data_from_json, _data_from_bt, encode_base64, _same)
TEXT: Final = Kind("a string", _text_from_json, _text_of, _same, _same)

# ---- numbers and flags


def _namespace(value: Any) -> int:
    if value.__class__ is not int or not MIN_NAMESPACE <= value <= MAX_NAMESPACE:
        raise ValueError
    number: int = value
    return number


def _namespace_or_all(value: Any) -> int | None:
    if value in (ALL, b"all"):
        return None
    return _namespace(value)


def _namespace_out(value: int | None) -> int | str:
    return ALL if value is None else value


def _timestamp(value: Any) -> int:
    number = _number(value)
    if not MIN_TIMESTAMP <= number <= MAX_TIMESTAMP:
        raise Misfit("timestamps must be in milliseconds") if number >= 0 else ValueError
    return number


_SIGNED_DIGITS: Final = re.compile(r"-?[0-9]{1,100}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,100}", re.ASCII)


def _any_time_from_json(value: Any) -> int:
    if value.__class__ is str and _SIGNED_DIGITS.fullmatch(value):
        value = int(value)
    return _number(value)


def _lifetime_from_bt(value: Any) -> int:
    number = _number(value)
    if number < 0:
        raise ValueError
    return number


def _lifetime_from_json(value: Any) -> int:
    if value.__class__ is str and _DIGITS.fullmatch(value):
        value = int(value)
    return _lifetime_from_bt(value)


def _flag_from_json(value: Any) -> bool:
    if value is True or value is False:
        flag: bool = value
        return flag
    raise ValueError


def _flag_from_bt(value: Any) -> bool:
    if value.__class__ is not int or value not in {0, 1}:
        raise ValueError
    return value == 1


NAMESPACE: Final = Kind(f"an integer from {MIN_NAMESPACE} to {MAX_NAMESPACE}", _namespace, _namespace, _same, _same)
NAMESPACE_OR_ALL: Final = Kind(
    f'an integer from {MIN_NAMESPACE} to {MAX_NAMESPACE}, or "all"',
    _namespace_or_all,
    _namespace_or_all,
    _namespace_out,
    _namespace_out,
)
TIMESTAMP: Final = Kind("an integer, Unix milliseconds", _timestamp, _timestamp, _same, _same)
ANY_TIME: Final = Kind(
    "an integer, Unix milliseconds (JSON: also as a string of digits)", _any_time_from_json, _number, _same, _same
)
LIFETIME: Final = Kind(
    "an integer, milliseconds (JSON: also as a string of digits)", _lifetime_from_json, _lifetime_from_bt, _same, _same
)
COUNT: Final = Kind("an integer, 0 or more", _lifetime_from_bt, _lifetime_from_bt, _same, _same)
INTEGER: Final = Kind("an integer", _number, _number, _same, _same)
FLAG: Final = Kind("a boolean", _flag_from_json, _flag_from_bt, _same, int)

# ---- lists


def _list_of(read: Callable[[Any], Any], maximum: int, what: str) -> Callable[[Any], tuple[Any, ...]]:
    """Read a list of 1 to `maximum` elements, or a single element in place of a list of one."""

    def reader(value: Any) -> tuple[Any, ...]:
        if value.__class__ is not list:
            return (read(value),)
        if not value:
            raise Misfit("at least 1 required")
        if len(value) > maximum:
            raise Misfit(f"at most {maximum} {what} allowed")
        return tuple([read(element) for element in value])

    return reader


_HASH: Final = re.compile(rf"[A-Za-z0-9+/]{{{HASH_LENGTH}}}", re.ASCII)


def is_hash(text: str) -> bool:
    """Tell whether this is written like a message hash."""
    return _HASH.fullmatch(text) is not None


def _hash_from_json(value: Any) -> str:
    if value.__class__ is not str or not _HASH.fullmatch(value):
        raise ValueError
    text: str = value
    return text


def _hash_from_bt(value: Any) -> str:
    return _hash_from_json(_text_of(value))


def _sought_from_json(value: Any) -> str:
    # The documented "all" was never made; it is looked up like a hash, and nothing has it (node/CORRECTIONS.md).
    return value if value == ALL else _hash_from_json(value)


def _sought_from_bt(value: Any) -> str:
    return _sought_from_json(_text_of(value))


def _tokens_to_json(tokens: tuple[bytes, ...]) -> list[str]:
    return [encode_base64(token) for token in tokens]


def _one_or_many(values: tuple[int, ...]) -> int | list[int]:
    return values[0] if len(values) == 1 else list(values)


HASHES: Final = Kind(
    f"1 to {MAX_HASHES} hashes of {HASH_LENGTH} characters",
    _list_of(_hash_from_json, MAX_HASHES, "hashes"),
    _list_of(_hash_from_bt, MAX_HASHES, "hashes"),
    list,
    list,
)
SOUGHT_HASHES: Final = Kind(
    f"1 to {MAX_HASHES} hashes of {HASH_LENGTH} characters",
    _list_of(_sought_from_json, MAX_HASHES, "hashes"),
    _list_of(_sought_from_bt, MAX_HASHES, "hashes"),
    list,
    list,
)
TIMESTAMPS: Final = Kind(
    "an integer, Unix milliseconds, or a list of these",
    _list_of(_timestamp, MAX_HASHES, "timestamps"),
    _list_of(_timestamp, MAX_HASHES, "timestamps"),
    _one_or_many,
    _one_or_many,
)


def tokens_kind(maximum: int) -> Kind:
    """Make the kind of a list of 1 to `maximum` subaccount tokens."""
    return Kind(
        f"1 to {maximum} tokens of 36 bytes in base64 or hex",
        # spec gap: the reference server also takes an empty list, which asks for nothing; it is refused here.
        _list_of(_token_from_json, maximum, "subaccount tokens"),
        _list_of(_token_from_bt, maximum, "subaccount tokens"),
        _tokens_to_json,
        list,
    )
