"""The configs that an account's devices, and a group's admins, keep in step through a mailbox.

Pure: no I/O, no clock, no randomness.  `Config` is the state machine; `UserProfile`, `Contacts`,
`ConvoInfoVolatile` and `UserGroups` read and change what it holds.  Spec: config-sync.md.
"""

from __future__ import annotations

from ramson.protocol.config.config import MAX_MESSAGES, Config, Push, ReadOnlyConfig, State
from ramson.protocol.config.contacts import BlindedContact, Contact, Contacts
from ramson.protocol.config.convo_info_volatile import ConvoInfoVolatile
from ramson.protocol.config.fields import ExpiryMode, Notify, Picture
from ramson.protocol.config.kinds import ConfigKeys, ConfigKind
from ramson.protocol.config.packing import ConfigTooLarge
from ramson.protocol.config.user_groups import UserGroups
from ramson.protocol.config.user_profile import UserProfile

__all__ = [
    "MAX_MESSAGES",
    "BlindedContact",
    "Config",
    "ConfigKeys",
    "ConfigKind",
    "ConfigTooLarge",
    "Contact",
    "Contacts",
    "ConvoInfoVolatile",
    "ExpiryMode",
    "Notify",
    "Picture",
    "Push",
    "ReadOnlyConfig",
    "State",
    "UserGroups",
    "UserProfile",
]
