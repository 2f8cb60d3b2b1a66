"""Signing requests to S3-compatible stores: AWS Signature Version 4, with the payload's hash signed too.

Pure: time and keys are arguments.  Spec: AWS, *Authenticating requests (AWS Signature Version 4)*.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "s3"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key and its secret, valid in one region."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


def target(path: str, query: Mapping[str, str]) -> str:
    """Return path and query as they are sent and signed: percent-encoded, the query in order."""
    return quote(path, safe="/-_.~") + (f"?{_query(query)}" if query else "")


def sign(
    credentials: Credentials,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_ms: int,
) -> dict[str, str]:
    """Return `headers` (which hold `host`), names in lower case, with those added that make the request authentic."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    payload = hashlib.sha256(body).hexdigest()
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed |= {"x-amz-content-sha256": payload, "x-amz-date": stamp}
    names = ";".join(sorted(signed))
    lines = [f"{name}:{signed[name]}" for name in sorted(signed)]
    request = "\n".join([method, quote(path, safe="/-_.~"), _query(query), *lines, "", names, payload])
    scope = f"{day}/{credentials.region}/{_SERVICE}/aws4_request"
    text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, credentials.region, _SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    given = f"Credential={credentials.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    return signed | {"authorization": f"{_ALGORITHM} {given}"}


def _query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))
