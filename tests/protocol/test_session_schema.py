"""session.proto is the schema of messaging §3.1, and the committed code is generated from it."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from ramson.errors import ParseError
from ramson.protocol import protobuf, session_pb2

SOURCE = Path(__file__).parents[2] / "src"


def test_the_generated_code_is_that_of_the_schema(tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc")
    compiled = tmp_path / "session.bin"
    arguments = [f"-I{SOURCE}", f"--descriptor_set_out={compiled}", "ramson/protocol/session.proto"]
    assert protoc.main(["protoc", *arguments]) == 0
    [schema] = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file
    committed = descriptor_pb2.FileDescriptorProto()
    session_pb2.DESCRIPTOR.CopyToProto(committed)
    for file in (schema, committed):
        forget_json_names(file)
    assert committed == schema


def forget_json_names(message) -> None:
    """Names for JSON are filled in by one of the two only."""
    for part in (
        message.message_type if isinstance(message, descriptor_pb2.FileDescriptorProto) else message.nested_type
    ):
        for field in part.field:
            field.ClearField("json_name")
        forget_json_names(part)


def test_a_required_field_must_be_there():
    for kind, data in ((session_pb2.Envelope, b""), (session_pb2.Envelope, b"\x08\x06"), (session_pb2.Content, b"*\0")):
        with pytest.raises(ParseError):
            protobuf.read(kind, data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x02\x0a\x00"[:3],
        b"\x12\x01\xff\x08\x06\x28\x01",  # Envelope.source
        b"\x08\x06\x28\x01\x12\x03a\xc3(",
        b"\x08\x06\x28\x01" + b"\x0b" * 200,
    ],
)
def test_malformed_envelopes(data):
    with pytest.raises(ParseError):
        protobuf.read(session_pb2.Envelope, data)


def test_texts_are_checked_wherever_they_are():
    attachment = b"\x09" + bytes(8) + b"\x12\x01\xff"  # AttachmentPointer.contentType
    preview = b"\x0a\x01x\x1a" + bytes([len(attachment)]) + attachment
    data = b"\x52" + bytes([len(preview)]) + preview
    message = b"\x0a" + bytes([len(data)]) + data
    with pytest.raises(ParseError):
        protobuf.read(session_pb2.Content, message)
    assert protobuf.read(session_pb2.Content, message.replace(b"\xff", b"y")).dataMessage.preview[0].url == "x"
    with pytest.raises(ParseError):
        protobuf.read(session_pb2.WebSocketMessage, b"\x12\x03\x2a\x01\xff")  # a repeated text


def test_bytes_need_not_be_utf8():
    assert protobuf.read(session_pb2.Content, b"\x8a\x01\x01\xff").proSigForCommunityMessageOnly == b"\xff"


def test_unknown_fields_and_enum_values_survive():
    data = b"\x08\x06\x28\x01" + bytes.fromhex("fa3e0378797a")
    assert protobuf.write(protobuf.read(session_pb2.Envelope, data)) == data
    strange = b"\x60\x07"  # expirationType 7
    message = protobuf.read(session_pb2.Content, strange)
    assert not message.HasField("expirationType")
    assert protobuf.write(message) == strange
