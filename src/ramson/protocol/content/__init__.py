"""What a message says: typed values from and to Content bytes, with the rules for refusing.

Who signed it and when it was sent come from the envelope.  `decode` raises ParseError for what must be dropped;
kinds that have no class are named, not interpreted.  Rules that need to know more than one message are in `rules`.
Spec: messaging.md §3.1, §3.3 (sync copies), §3.4, §3.6.
"""

from ramson.protocol.content.reading import MAX_ATTACHMENTS, MAX_EMOJI, MAX_RECEIPTS, decode
from ramson.protocol.content.values import (
    NEVER,
    Attachment,
    Call,
    CallStep,
    CommunityInvitation,
    DataExtraction,
    Decoded,
    Expiration,
    ExpirationMode,
    Extraction,
    GroupInvite,
    GroupPromotion,
    LinkPreview,
    OtherContent,
    Profile,
    Quote,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    Sendable,
    TextMessage,
    TimerUpdate,
    Typing,
    Unsend,
)
from ramson.protocol.content.writing import encode

__all__ = [
    "MAX_ATTACHMENTS",
    "MAX_EMOJI",
    "MAX_RECEIPTS",
    "NEVER",
    "Attachment",
    "Call",
    "CallStep",
    "CommunityInvitation",
    "DataExtraction",
    "Decoded",
    "Expiration",
    "ExpirationMode",
    "Extraction",
    "GroupInvite",
    "GroupPromotion",
    "LinkPreview",
    "OtherContent",
    "Profile",
    "Quote",
    "ReactionChange",
    "ReadReceipt",
    "RequestResponse",
    "Sendable",
    "TextMessage",
    "TimerUpdate",
    "Typing",
    "Unsend",
    "decode",
    "encode",
]
