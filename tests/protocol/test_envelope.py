"""Direct messages and wrapped configs (messaging §3.1-3.2); byte equality with other clients is in the vectors."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.account import AccountId, AccountKeys
from ramson.crypto.keys import Ed25519KeyPair, verify
from ramson.crypto.sealing import seal
from ramson.errors import LocalError, ParseError
from ramson.protocol import envelope, group_envelope, protobuf
from ramson.protocol.session_pb2 import Content, Envelope, WebSocketMessage

ALICE, BOB, EVE = (AccountKeys.from_entropy(bytes([n]) * 16) for n in (1, 2, 3))
SENT = 1_700_000_000_123
CONTENT = b"\x0a\x04\x0a\x02hi"


def wrap(content: bytes = CONTENT, **changes) -> bytes:
    return envelope.wrap_direct(content, ALICE.ed25519, BOB.id, SENT, random.Random(7), **changes)


def opened_letter(data: bytes) -> Envelope:
    return protobuf.read(Envelope, protobuf.read(WebSocketMessage, data).request.body)


WRAPPED = wrap()


def test_the_recipient_reads_content_sender_and_time():
    assert envelope.unwrap_direct(WRAPPED, BOB.x25519) == envelope.Incoming(
        CONTENT, ALICE.id, ALICE.ed25519.public, SENT
    )


def test_nobody_else_does():
    for keys in (ALICE, EVE):
        with pytest.raises(ParseError):
            envelope.unwrap_direct(WRAPPED, keys.x25519)


def test_what_the_envelope_says_about_the_sender_is_not_believed():
    message = protobuf.read(WebSocketMessage, WRAPPED)
    letter = protobuf.read(Envelope, message.request.body)
    letter.source = EVE.id.hex
    message.request.body = protobuf.write(letter)
    assert envelope.unwrap_direct(protobuf.write(message), BOB.x25519).sender == ALICE.id


def test_every_message_carries_a_pro_signature_of_64_bytes():
    decoy = opened_letter(WRAPPED)
    assert len(decoy.proSig) == 64
    pro = Ed25519KeyPair.from_seed(b"\x05" * 32)
    real = opened_letter(wrap(pro_key=pro))
    assert verify(pro.public, real.content, real.proSig)
    assert decoy.ByteSize() == real.ByteSize()
    assert not any(verify(keys.ed25519.public, decoy.content, decoy.proSig) for keys in (ALICE, BOB))


@pytest.mark.parametrize("write", [envelope.direct_message, group_envelope.group_message])
def test_a_pro_signature_of_another_size_would_show(write):
    with pytest.raises(LocalError):
        write(b"content", SENT, bytes(63))


@pytest.mark.parametrize("number", [-1, 2**64])
def test_times_that_do_not_fit_are_the_callers_mistake(number):
    for write in (envelope.direct_message, group_envelope.group_message):
        with pytest.raises(LocalError, match="range"):
            write(b"content", number, bytes(64))


@pytest.mark.parametrize("seqno", [-(2**63) - 1, 2**63])
def test_a_seqno_that_does_not_fit_is_the_callers_mistake(seqno):
    with pytest.raises(LocalError, match="range"):
        envelope.wrap_config(b"config", ALICE.ed25519, seqno, 3)


def test_decoys_differ():
    first, second = (
        opened_letter(envelope.wrap_direct(CONTENT, ALICE.ed25519, BOB.id, SENT, random.Random(n))) for n in (1, 2)
    )
    assert first.proSig != second.proSig
    assert first.content != second.content


def test_empty_texts_are_written_out():
    assert WRAPPED.startswith(b"\x08\x01\x12")
    assert b"\x0a\x00\x12\x00\x1a" in WRAPPED[:12]
    assert WRAPPED.endswith(b"\x20\x00")


def test_size_tells_only_the_number_of_blocks():
    sizes = {len(wrap(bytes(length))) for length in (0, 1, 50, 158)}
    assert len(sizes) == 1
    assert len(wrap(bytes(159))) - sizes.pop() >= envelope.BLOCK


@pytest.mark.parametrize("prefix", [0x03, 0x15, 0x25])
def test_only_accounts_get_direct_messages(prefix):
    with pytest.raises(LocalError):
        envelope.wrap_direct(CONTENT, ALICE.ed25519, AccountId(prefix, BOB.id.key), SENT, random.Random(7))


def test_too_large_to_be_stored_anywhere():
    with pytest.raises(LocalError):
        wrap(bytes(envelope.MAX_SIZE + 1))
    with pytest.raises(ParseError):
        envelope.unwrap_direct(bytes(envelope.MAX_SIZE + 1), BOB.x25519)


# ---- padding


@given(st.binary(max_size=500))
def test_padding_round_trip(message):
    padded = envelope.pad(message)
    assert len(padded) % envelope.BLOCK == 0
    assert envelope.unpad(padded) == message


def test_padding_at_the_edge_takes_one_block_more():
    assert [len(envelope.pad(bytes(size))) for size in (158, 159, 160, 319)] == [160, 320, 320, 480]


def test_unpadded_messages_are_taken_as_they_are():
    assert envelope.unpad(b"abc") == b"abc"
    assert envelope.unpad(b"abc\0\0") == b"abc\0\0"
    assert envelope.unpad(b"\0\0") == b"\0\0"
    assert envelope.unpad(b"") == b""
    assert envelope.unpad(b"a\x80\x80") == b"a\x80"


# ---- what is refused


def letter(**changes) -> bytes:
    message = WebSocketMessage(type=WebSocketMessage.REQUEST)
    sealed = seal(ALICE.ed25519, BOB.id.key, envelope.pad(CONTENT), b"\x11" * 32)
    fields = {"type": Envelope.SESSION_MESSAGE, "timestamp": SENT, "content": sealed} | changes
    message.request.body = protobuf.write(Envelope(**{name: v for name, v in fields.items() if v is not None}))
    return protobuf.write(message)


def test_an_envelope_needs_no_more_than_this():
    assert envelope.unwrap_direct(letter(), BOB.x25519).content == CONTENT


def test_refused():
    body = protobuf.read(WebSocketMessage, letter()).request.body
    for data in (
        b"",
        b"\xff",
        letter(type=Envelope.CLOSED_GROUP_MESSAGE),
        letter(content=None),
        letter(content=b""),
        letter(content=bytes(111)),
        protobuf.write(WebSocketMessage(type=WebSocketMessage.REQUEST)),
        protobuf.write(WebSocketMessage(type=WebSocketMessage.RESPONSE, request={"body": body})),
        protobuf.write(WebSocketMessage(request={"body": body})),
        protobuf.write(WebSocketMessage(type=WebSocketMessage.REQUEST, request={"body": body[2:]})),  # no type
        protobuf.write(WebSocketMessage(type=WebSocketMessage.REQUEST, request={"body": b"\x08\x05" + body[2:]})),
    ):
        with pytest.raises(ParseError):
            envelope.unwrap_direct(data, BOB.x25519)


# ---- configs


def test_configs_are_for_oneself_and_always_wrapped_alike():
    wrapped = envelope.wrap_config(b"config", ALICE.ed25519, 5, 3)
    assert wrapped == envelope.wrap_config(b"config", ALICE.ed25519, 5, 3)
    assert envelope.unwrap_config(wrapped, ALICE.ed25519, 3) == b"config"
    for keys, namespace in ((ALICE, 2), (BOB, 3)):
        with pytest.raises(ParseError):
            envelope.unwrap_config(wrapped, keys.ed25519, namespace)


def test_a_config_from_somebody_else_is_refused():
    config = Content(sharedConfigMessage={"kind": 2, "seqno": 1, "data": b"x"})
    forged = envelope.wrap_direct(protobuf.write(config), EVE.ed25519, ALICE.id, 1, random.Random(1))
    with pytest.raises(ParseError, match="somebody else"):
        envelope.unwrap_config(forged, ALICE.ed25519, 3)
    own = envelope.wrap_direct(protobuf.write(config), ALICE.ed25519, ALICE.id, 1, random.Random(1))
    assert envelope.unwrap_config(own, ALICE.ed25519, 3) == b"x"


def test_a_message_without_config_is_refused():
    own = envelope.wrap_direct(b"", ALICE.ed25519, ALICE.id, 1, random.Random(1))
    for namespace in (2, 3, 4, 5):
        with pytest.raises(ParseError):
            envelope.unwrap_config(own, ALICE.ed25519, namespace)


@pytest.mark.parametrize("namespace", [0, 1, 6, 11, -10])
def test_other_namespaces_hold_no_wrapped_configs(namespace):
    with pytest.raises(LocalError):
        envelope.wrap_config(b"", ALICE.ed25519, 1, namespace)


# ---- fuzz


def read(data: bytes) -> None:
    try:
        envelope.unwrap_direct(data, BOB.x25519)
    except ParseError:
        return
    # Only bytes outside the sealed content can change without being noticed.
    sealed = opened_letter(WRAPPED).content
    assert sealed in data


@settings(max_examples=1500, deadline=None)
@given(st.integers(0), st.integers(1, 255), st.integers(0))
def test_fuzz_damaged_messages(position, mask, cut):
    damaged = bytearray(WRAPPED)
    damaged[position % len(damaged)] ^= mask
    read(bytes(damaged))
    read(WRAPPED[: cut % len(WRAPPED)])


@settings(max_examples=1500, deadline=None)
@given(st.binary(max_size=100))
def test_fuzz_random_bytes(data):
    with pytest.raises(ParseError):
        envelope.unwrap_direct(data, BOB.x25519)
    with pytest.raises(ParseError):
        envelope.unwrap_config(data, BOB.ed25519, 2)
