"""TLS settings of listeners and clients.

Nothing here decides whom to trust: `world.http.Tls` says that.  storage-rpc.md §1 (TLS).
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from ramson.errors import LocalError
from ramson.world.http import Certificate, Tls


class CertificateError(LocalError):
    """A listener's certificate or key cannot be used."""


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Give a path under which `data` can be read while the block lasts: in memory where the system can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        path, keep = f"/proc/self/fd/{descriptor}", True
    else:
        descriptor, path = tempfile.mkstemp()  # mode 0600
        keep = False
    try:
        os.write(descriptor, data)
        yield path
    finally:
        os.close(descriptor)
        if not keep:
            os.unlink(path)  # noqa: PTH108 - a descriptor's path, not one of ours


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """Return a listener's settings: TLS 1.2 or newer with this certificate.  Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1  # each costs a new connection some 20 µs, and every resumed one brings the next
    context.set_alpn_protocols(["http/1.1"])
    try:
        # ssl reads certificates from files only
        with _as_file(certificate.certificate + b"\n" + certificate.private_key) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, OSError) as error:
        raise CertificateError(
            "the certificate and its key cannot be loaded: both must be PEM and belong together"
        ) from error
    return context


@cache
def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@cache
def _authorities() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return the settings for dialling a server trusted as `tls` says; with pins the pins alone decide, afterwards."""
    return _authorities() if tls.verify and not tls.pins else _any_certificate()
