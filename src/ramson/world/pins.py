"""Certificate pins: the SHA-256 of a certificate's SubjectPublicKeyInfo, as seeds are pinned by.

Spec: bootstrap-and-paths.md §2.1.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ramson.world.http import Certificate

if TYPE_CHECKING:
    from cryptography import x509


def _digest(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - as below

    key = certificate.public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def pin_of_der(certificate: bytes) -> bytes:
    """Return the pin (32 bytes) of a certificate as TLS hands it over.  Raises ValueError for a broken one."""
    from cryptography import x509  # noqa: PLC0415 - 10 MiB that a node, which pins nobody, does without

    return _digest(x509.load_der_x509_certificate(certificate))


def pin_of(certificate: Certificate) -> bytes:
    """Return the pin (32 bytes) of a listener's certificate.  Raises ValueError for a broken one."""
    from cryptography import x509  # noqa: PLC0415 - as above

    return _digest(x509.load_pem_x509_certificate(certificate.certificate))
