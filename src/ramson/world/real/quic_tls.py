"""TLS 1.3 with raw Ed25519 keys instead of certificates, inside QUIC: RFC 7250 and RFC 8446, put under `aioquic`.

Nodes show one another no certificate but the key that the network lists for them.  `aioquic` speaks QUIC and TLS 1.3
but knows only X.509; this module teaches it the little that is missing.  It opens no sockets and decides nothing about
requests.  Spec: storage-rpc.md §1 *QUIC framing*.

Theory of operation
-------------------
A client says in its hello which kinds of certificate it takes from the server (extension `server_certificate_type`,
20) and which it could show itself (`client_certificate_type`, 19); the server says in EncryptedExtensions what it
chose.  With kind 2 the Certificate message holds, in the place of a certificate, a SubjectPublicKeyInfo; everything
else, above all CertificateVerify, is as ever.  aioquic asks a certificate for two things only, its bytes and its key,
so `RawKey` can stand where it wants one.

Whoever offers no raw keys, and a server that shows anything but the expected key, ends the handshake.  A node asks its
clients for no key: nothing here depends on who asks.  spec gap: whether nodes of the reference server ask for one; if
they do, they are shown the node's.

No session is ever resumed and no data is taken before the handshake, which could be repeated by others.

What aioquic does not promise to keep, and this uses: `QuicConnection._initialize`, `.tls` and `._streams`, of a
stream's sender `_buffer_start` and `_buffer_stop`, and of `tls.Context` the methods `_client_send_hello`,
`_client_handle_encrypted_extensions`, `_server_handle_hello`, `_set_peer_certificate` and the attributes
`_signature_algorithms`, `_supported_groups`, `_receive_buffer` and `_peer_certificate`.  Therefore its version is
bounded in pyproject.toml, and a test looks at every byte of the messages.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

from aioquic import tls
from aioquic.buffer import Buffer  # type: ignore[attr-defined] # it is made for this
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ramson.crypto.keys import Ed25519KeyPair

ALPN: Final = "oxenstorage"
CLIENT_CERTIFICATE_TYPE, SERVER_CERTIFICATE_TYPE = 19, 20
RAW_PUBLIC_KEY: Final = 2
MAX_HANDSHAKE: Final = 16 * 1024  # bytes of a TLS message that is not whole

_SPKI_HEAD: Final = bytes.fromhex("302a300506032b6570032100")  # SEQUENCE { SEQUENCE { 1.3.101.112 } BIT STRING }


class RawKey:
    """An Ed25519 public key in the place of a certificate."""

    def __init__(self, public: bytes) -> None:
        self.public = public

    def public_bytes(self, _encoding: object) -> bytes:
        """Return the SubjectPublicKeyInfo."""
        return _SPKI_HEAD + self.public

    def public_key(self) -> Ed25519PublicKey:
        """Return the key that signs.  Raises ValueError if it is none."""
        return Ed25519PublicKey.from_public_bytes(self.public)

    @classmethod
    def parse(cls, spki: bytes) -> RawKey:
        """Read a SubjectPublicKeyInfo.  Raises an alert unless it is an Ed25519 key."""
        if len(spki) != len(_SPKI_HEAD) + 32 or not spki.startswith(_SPKI_HEAD):
            raise tls.AlertUnsupportedCertificate("the key shown is no raw Ed25519 key")
        return cls(spki[len(_SPKI_HEAD) :])


class RawKeyContext(tls.Context):
    """One end of a handshake.  `expected` is the key (32 bytes) that a client wants its server to prove."""

    def __init__(self, *, is_client: bool, expected: bytes | None) -> None:
        # No public authority has a say, so aioquic is told to verify no chain; the key is compared below.
        super().__init__(is_client=is_client, alpn_protocols=[ALPN], verify_mode=ssl.CERT_NONE)
        self._expected = expected
        self._signature_algorithms = [tls.SignatureAlgorithm.ED25519]
        self._supported_groups = [tls.Group.X25519, tls.Group.SECP256R1]

    def handle_message(self, input_data: bytes, output_buf: dict[tls.Epoch, Buffer]) -> None:
        """Take bytes of the handshake; what is not whole is bounded."""
        if len(self._receive_buffer) + len(input_data) > MAX_HANDSHAKE:
            raise tls.AlertDecodeError("a TLS message is too long")
        super().handle_message(input_data, output_buf)

    # ---- a client's side

    def _client_send_hello(self, output_buf: Buffer) -> None:
        kinds = bytes([1, RAW_PUBLIC_KEY])
        offers = [(CLIENT_CERTIFICATE_TYPE, kinds), (SERVER_CERTIFICATE_TYPE, kinds)]
        self.handshake_extensions = [*self.handshake_extensions, *offers]
        super()._client_send_hello(output_buf)

    def _client_handle_encrypted_extensions(self, input_buf: Buffer) -> None:
        super()._client_handle_encrypted_extensions(input_buf)
        chosen = _extensions(self.received_extensions)
        if chosen.get(SERVER_CERTIFICATE_TYPE) != bytes([RAW_PUBLIC_KEY]):
            raise tls.AlertUnsupportedCertificate("the server shows no raw key")
        if chosen.get(CLIENT_CERTIFICATE_TYPE, bytes([RAW_PUBLIC_KEY])) != bytes([RAW_PUBLIC_KEY]):
            raise tls.AlertIllegalParameter("the server wants a kind of certificate that was not offered")

    # ---- a server's side

    def _server_handle_hello(self, input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer) -> None:
        offered = _extensions(
            tls.pull_client_hello(Buffer(data=input_buf.data_slice(0, input_buf.capacity))).other_extensions
        )
        kinds = offered.get(SERVER_CERTIFICATE_TYPE, b"")
        if len(kinds) < 2 or kinds[0] != len(kinds) - 1:
            raise tls.AlertUnsupportedCertificate("the client does not offer to take a raw key")
        if RAW_PUBLIC_KEY not in kinds[1:]:
            raise tls.AlertUnsupportedCertificate("the client takes no raw key")
        choice = (SERVER_CERTIFICATE_TYPE, bytes([RAW_PUBLIC_KEY]))
        self.handshake_extensions = [*self.handshake_extensions, choice]
        super()._server_handle_hello(input_buf, initial_buf, handshake_buf)

    # ---- both

    def _set_peer_certificate(self, certificate: tls.Certificate) -> None:
        if len(certificate.certificates) != 1:
            raise tls.AlertBadCertificate("a raw key stands alone")
        shown = RawKey.parse(certificate.certificates[0][0])
        if self._expected is not None and shown.public != self._expected:
            raise tls.AlertBadCertificate("the server shows another key")
        self._peer_certificate: Any = shown


class RawKeyConnection(QuicConnection):
    """A QUIC connection whose handshake is with raw keys; `expected` as in `RawKeyContext`."""

    def __init__(self, configuration: QuicConfiguration, *, expected: bytes | None, **options: Any) -> None:
        if configuration.is_client is (expected is None):
            raise ValueError("a client has to know its server's key, and only a client can")
        self._expected = expected
        super().__init__(configuration=configuration, **options)

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        ours = RawKeyContext(is_client=self.configuration.is_client, expected=self._expected)
        ours.certificate = self.tls.certificate
        ours.certificate_private_key = self.tls.certificate_private_key
        ours.handshake_extensions = self.tls.handshake_extensions
        ours.alpn_cb = self.tls.alpn_cb
        ours.update_traffic_key_cb = self.tls.update_traffic_key_cb
        self.tls = ours

    def unsent(self, stream: int) -> int:
        """Return how many bytes given for a stream the far end has not acknowledged."""
        known = self._streams.get(stream)
        if known is None:
            return 0
        return known.sender._buffer_stop - known.sender._buffer_start  # noqa: SLF001 - nothing else tells


def configuration(identity: Ed25519KeyPair, *, is_client: bool, idle_seconds: float) -> QuicConfiguration:
    """Return how the connections of a node are to be: its key, and QUIC version 1 only."""
    return QuicConfiguration(
        certificate=RawKey(identity.public),
        private_key=Ed25519PrivateKey.from_private_bytes(identity.seed),
        is_client=is_client,
        alpn_protocols=[ALPN],
        idle_timeout=idle_seconds,
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )


def _extensions(received: list[tuple[int, bytes]] | None) -> dict[int, bytes]:
    return dict(received or [])
