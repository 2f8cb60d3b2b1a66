"""The node's TLS certificate: self-signed, made at the first start, checked by nobody.

Who a node is follows from onion encryption and the ping header; TLS only hides what passes from the wire.
The fields are those every node of the network has, so that a certificate does not tell nodes apart.
Spec: storage-rpc.md §1 *TLS*.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from ramson.node.private_files import check_private, make_private_directory, write_private
from ramson.world import Certificate

CERTIFICATE_FILE: Final = "cert.pem"
KEY_FILE: Final = "key.pem"
LIFETIME: Final = timedelta(days=10_000)
KEY_BITS: Final = 2048


def create(now: int) -> Certificate:
    """Make a certificate that is valid from `now` (ms).  The key comes from the system's randomness."""
    # Imported where they are needed, once in a node's life: they take 3 MiB.
    from cryptography import x509  # noqa: PLC0415 - as said
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as said
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - as said
    from cryptography.x509.oid import NameOID  # noqa: PLC0415 - as said

    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "AU"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Oxen"),
            x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
        ]
    )
    start = datetime.fromtimestamp(now // 1000, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + LIFETIME)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def load_or_create(directory: Path, now: int) -> Certificate:
    """Read the certificate in `directory`, or make one at the first start; `now` is in ms.

    The key's file gets mode 0600.  Raises NotPrivate when others may read it.
    """
    make_private_directory(directory)
    certificate_path, key_path = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if certificate_path.exists() and key_path.exists():
        check_private(key_path)
        return Certificate(certificate_path.read_bytes(), key_path.read_bytes())
    certificate = create(now)
    write_private(key_path, certificate.private_key)
    write_private(certificate_path, certificate.certificate)
    return certificate
