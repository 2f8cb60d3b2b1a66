"""Numbers of the storage protocol that both ends share.  Spec: storage-rpc.md §2–4, defaults.md *Client RPC*."""

from __future__ import annotations

from typing import Final

SECOND_MS: Final = 1000
DAY_MS: Final = 24 * 60 * 60 * SECOND_MS

ACCOUNT_SIZE: Final = 33  # bytes: network byte and key
SESSION_PREFIX: Final = 0x05  # the key of such an account is X25519, of every other Ed25519
HASH_LENGTH: Final = 43  # characters
MAX_DATA: Final = 76_800  # bytes of one message
TOKEN_SIZE: Final = 36  # bytes of a subaccount token
MAX_HASHES: Final = 20_000  # in one request; spec gap: no limit is given
MAX_TOKENS: Final = 50  # (un)revoked in one request
MAX_SUBREQUESTS: Final = 20
MAX_NESTING: Final = 50  # `ifelse` inside `ifelse`; spec gap: no limit is given

MIN_TTL_MS: Final = 10 * SECOND_MS
MAX_EXPIRE_MS: Final = 30 * DAY_MS  # `expire` is capped to this from now
STORE_TOLERANCE_MS: Final = 10 * SECOND_MS
SIGNATURE_TOLERANCE_MS: Final = 60 * SECOND_MS
FORWARDED_TOLERANCE_MS: Final = 70 * SECOND_MS

MAX_RETRIEVE: Final = 7_800_000  # bytes of one retrieve reply, as `message_cost` counts them
DEFAULT_RETRIEVE_SHARE: Final = 5  # without limits: this part of it

MIN_TIMESTAMP: Final = 10**9  # less is not in milliseconds
MAX_TIMESTAMP: Final = (2**63 - 1) // 10**6  # more does not fit nanoseconds

MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**64 - 1
