"""Vectors of family `community_url`."""

from __future__ import annotations

from vector_ops import Json, operation

from ramson.protocol import community_url
from ramson.protocol.community_url import CommunityUrl


def _written(found: CommunityUrl) -> Json:
    return {"base_url": found.base_url, "room": found.room, "pubkey": None if found.key is None else found.key.hex()}


@operation("community_url", "parse_full_url")
def parse_full_url(given: Json, _expected: Json) -> Json:
    return _written(community_url.parse_full(given["url"]))


@operation("community_url", "parse_partial_url")
def parse_partial_url(given: Json, _expected: Json) -> Json:
    return _written(community_url.parse_partial(given["url"]))


@operation("community_url", "canonical_url")
def canonical_url(given: Json, _expected: Json) -> Json:
    return {"url": community_url.canonical_base(given["url"])}


@operation("community_url", "canonical_room")
def canonical_room(given: Json, _expected: Json) -> Json:
    return {"room": community_url.canonical_room(given["room"])}


@operation("community_url", "full_url")
def full_url(given: Json, _expected: Json) -> Json:
    return {"url": community_url.full(given["base_url"], given["room"], bytes.fromhex(given["pubkey"]))}
