"""Which configs there are, where each is kept, and the keys one is read and written with.

Spec: config-sync.md §4 (table), groups-v2.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ramson.crypto.keys import KEY_SIZE, Ed25519KeyPair, require_size
from ramson.errors import LocalError
from ramson.protocol.namespaces import Namespace

MAX_KEYS = 64  # of a group; each is tried for each message


class ConfigKind(Enum):
    """A kind of config: its namespace, its encryption domain, and whether it belongs to one's own account."""

    USER_PROFILE = Namespace.USER_PROFILE, b"UserProfile", True
    CONTACTS = Namespace.CONTACTS, b"Contacts", True
    CONVO_INFO_VOLATILE = Namespace.CONVO_INFO_VOLATILE, b"ConvoInfoVolatile", True
    USER_GROUPS = Namespace.USER_GROUPS, b"UserGroups", True
    GROUP_INFO = Namespace.GROUP_INFO, b"groups::Info", False
    GROUP_MEMBERS = Namespace.GROUP_MEMBERS, b"groups::Members", False

    def __init__(self, namespace: Namespace, domain: bytes, personal: bool) -> None:  # noqa: FBT001 - an enum's row
        self.namespace = namespace
        self.domain = domain
        self.personal = personal


@dataclass(frozen=True, slots=True)
class ConfigKeys:
    """What a config is encrypted and signed with.  Made by `own` or `group`; secrets are not shown."""

    encryption: tuple[bytes, ...] = field(repr=False)  # 32 bytes each; the first encrypts, all are tried
    owner: Ed25519KeyPair | None = None  # of a personal config: its messages are sealed to this account
    signer: Ed25519KeyPair | None = None  # of a group's config, if we are an admin
    verifier: bytes | None = None  # the group's public key: messages without its signature do not count

    def __post_init__(self) -> None:
        if not 1 <= len(self.encryption) <= MAX_KEYS:
            raise LocalError(f"a config has 1 to {MAX_KEYS} encryption keys")
        for key in self.encryption:
            require_size("the key of a config", key, KEY_SIZE)

    @classmethod
    def own(cls, owner: Ed25519KeyPair) -> ConfigKeys:
        """Return the keys of an account's own configs."""
        return cls((owner.seed,), owner=owner)

    @classmethod
    def group(cls, encryption: tuple[bytes, ...], public: bytes, admin: Ed25519KeyPair | None = None) -> ConfigKeys:
        """Return the keys of a group's configs: all known group keys, newest first, and the admin's if it is ours."""
        require_size("the key of a group", public, KEY_SIZE)
        if admin is not None and admin.public != public:
            raise LocalError("the admin key is that of another group")
        return cls(encryption, signer=admin, verifier=public)

    @property
    def may_write(self) -> bool:
        """Whether messages made with these keys count for others."""
        return self.verifier is None or self.signer is not None
