"""From Content bytes to what a mailbox stores for one recipient, and back.

Knows nothing of what Content says; `content` does.  Spec: messaging.md §3.2, config-sync.md (wrapping).

Theory of operation.  A direct message is wrapped four times:

    padded        Content ‖ 0x80 ‖ zeros, whole blocks of 160 bytes, so that size tells little
    sealed        signed by the sender, sealed to the recipient (`ramson.crypto.sealing`)
    Envelope      type, sent time, sealed bytes, and always a 64-byte proSig: a decoy unless the sender has Pro
    WebSocketMessage{REQUEST}, a relic that every client expects; its empty texts are written out

A config message is wrapped for oneself in the same way but without time, decoy and padding to blocks, and
sealed deterministically, so that two devices that store the same thing store it once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ramson.crypto.account import ACCOUNT, AccountId
from ramson.crypto.entropy import Entropy
from ramson.crypto.keys import KEY_SIZE, SIGNATURE_SIZE, Ed25519KeyPair, X25519KeyPair
from ramson.crypto.sealing import Opened, open_sealed, seal, seal_deterministic
from ramson.errors import LocalError, ParseError
from ramson.protocol import protobuf
from ramson.protocol.namespaces import Namespace
from ramson.protocol.session_pb2 import Content, Envelope, SharedConfigMessage, WebSocketMessage

BLOCK: Final = 160
# Far more than a mailbox holds as one message (76,800 bytes); nothing larger is parsed.
MAX_SIZE: Final = 1_000_000

_SOURCE_DEVICE = 1
_PAD_START = b"\x80"

CONFIG_KINDS: Final = {
    Namespace.USER_PROFILE: SharedConfigMessage.USER_PROFILE,
    Namespace.CONTACTS: SharedConfigMessage.CONTACTS,
    Namespace.CONVO_INFO_VOLATILE: SharedConfigMessage.CONVO_INFO_VOLATILE,
    Namespace.USER_GROUPS: SharedConfigMessage.USER_GROUPS,
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """An opened direct message: who signed it, when it says it was sent (ms), and its Content, unpadded."""

    content: bytes = field(repr=False)
    sender: AccountId
    sender_ed25519: bytes
    sent_ms: int


def pad(message: bytes) -> bytes:
    """Append 0x80 and zeros up to whole blocks; one block more when 0x80 alone would fill the last one."""
    size = (len(message) + 1) // BLOCK * BLOCK + BLOCK
    return (message + _PAD_START).ljust(size, b"\0")


def unpad(padded: bytes) -> bytes:
    """Undo `pad`, however many zeros there are; without a 0x80 the input is returned as it is."""
    stripped = padded.rstrip(b"\0")
    return stripped[:-1] if stripped.endswith(_PAD_START) else padded


def wrap_direct(
    content: bytes,
    sender: Ed25519KeyPair,
    recipient: AccountId,
    sent_ms: int,
    entropy: Entropy,
    *,
    pro_key: Ed25519KeyPair | None = None,
) -> bytes:
    """Return the bytes to store in namespace 0 of `recipient`, an 05 account.

    Draws the ephemeral key, then, without `pro_key` (the rotating key of a Pro subscription), the key of the
    decoy signature.  Raises LocalError for other kinds of accounts, for Content too large for any mailbox, and for a
    time that is no 64-bit number.
    """
    if recipient.prefix != ACCOUNT:
        raise LocalError("a direct message goes to an account id that begins with 05")
    if len(content) > MAX_SIZE:
        raise LocalError("the message is too large")
    sealed = seal(sender, recipient.key, pad(content), entropy.randbytes(KEY_SIZE))
    pro_sig = (pro_key or Ed25519KeyPair.generate(entropy)).sign(sealed)
    return direct_message(sealed, sent_ms, pro_sig)


def direct_message(sealed: bytes, sent_ms: int, pro_sig: bytes) -> bytes:
    """Return sealed bytes in an Envelope in a WebSocketMessage."""
    if len(pro_sig) != SIGNATURE_SIZE:
        raise LocalError(f"a Pro signature has {SIGNATURE_SIZE} bytes")
    envelope = protobuf.make(
        Envelope,
        type=Envelope.SESSION_MESSAGE,
        timestamp=sent_ms,
        sourceDevice=_SOURCE_DEVICE,
        content=sealed,
        proSig=pro_sig,
    )
    return _in_websocket(envelope)


def unwrap_direct(data: bytes, recipient: X25519KeyPair) -> Incoming:
    """Open what was stored in namespace 0.

    The sender is the one whose signature is inside; what the Envelope says about it is not read.  Raises
    ParseError for everything that is not a message sealed to `recipient`.
    """
    envelope = _from_websocket(data)
    opened = open_sealed(recipient, envelope.content)
    return Incoming(unpad(opened.message), opened.sender, opened.sender_ed25519, envelope.timestamp)


def wrap_config(data: bytes, keys: Ed25519KeyPair, seqno: int, namespace: int) -> bytes:
    """Wrap a config message for one's own mailbox.

    Raises LocalError for a namespace without configs and a seqno that is no 64-bit number.
    """
    config = protobuf.make(SharedConfigMessage, kind=_config_kind(namespace), seqno=seqno, data=data)
    content = protobuf.write(Content(sharedConfigMessage=config)) + _PAD_START
    sealed = seal_deterministic(keys, keys.to_x25519().public, content)
    return _in_websocket(Envelope(type=Envelope.SESSION_MESSAGE, timestamp=1, content=sealed))


def unwrap_config(wrapped: bytes, keys: Ed25519KeyPair, namespace: int) -> bytes:
    """Return the config message inside.

    Raises ParseError if it does not open, was not written by ourselves or is another kind of config;
    LocalError for a namespace without configs.
    """
    kind = _config_kind(namespace)
    own = keys.to_x25519()
    opened: Opened = open_sealed(own, _from_websocket(wrapped).content)
    if opened.sender.key != own.public:
        raise ParseError("a config message from somebody else")
    config = protobuf.read(Content, unpad(opened.message)).sharedConfigMessage
    if config.kind != kind or not config.HasField("data"):
        raise ParseError("a config message of another kind")
    return config.data


def _config_kind(namespace: int) -> SharedConfigMessage.Kind:
    try:
        return CONFIG_KINDS[Namespace(namespace)]
    except (KeyError, ValueError):
        raise LocalError("wrapped config messages live in namespaces 2 to 5") from None


def _in_websocket(envelope: Envelope) -> bytes:
    message = WebSocketMessage(type=WebSocketMessage.REQUEST)
    request = message.request
    request.verb, request.path, request.id = "", "", 0
    request.body = protobuf.write(envelope)
    return protobuf.write(message)


def _from_websocket(data: bytes) -> Envelope:
    if len(data) > MAX_SIZE:
        raise ParseError("the message is too large")
    message = protobuf.read(WebSocketMessage, data)
    if message.type != WebSocketMessage.REQUEST or not message.request.HasField("body"):
        raise ParseError("not a WebSocketMessage with a request")
    envelope = protobuf.read(Envelope, message.request.body)
    if envelope.type != Envelope.SESSION_MESSAGE or not envelope.HasField("content"):
        raise ParseError("not an Envelope of a direct message")
    return envelope
