"""Vectors of the families of typed configs: scenarios of several clients that edit, push, merge, dump and reload.

Families `config_user_profile`, `config_contacts`, `config_convo_info_volatile` and `config_user_groups`; what
their setters and contents look like is in `config_scenario_views`.
"""

from __future__ import annotations

from typing import Any

from config_scenario_views import VIEWS, View
from vector_ops import Json, operation

from ramson.crypto.config_encrypt import OVERHEAD, decrypt
from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import Ed25519KeyPair
from ramson.protocol import bt
from ramson.protocol.config import Config, ConfigKeys, ConfigKind
from ramson.protocol.config.packing import unpack
from ramson.protocol.envelope import unwrap_config

H = bytes.fromhex


def scenario(kind: ConfigKind, view: type[View]) -> Any:
    def play(given: Json, expected: Json) -> Json:
        keys = ConfigKeys.own(Ed25519KeyPair.from_seed(H(given["seed"])))
        clients: dict[str, Config] = {}
        results = []
        for step, wanted in zip(given["steps"], expected["results"], strict=True):
            name, do = step["client"], step["do"]
            config = clients.setdefault(name, Config(kind, keys))
            if do == "load_dump":
                config = clients[name] = Config.load(kind, keys, H(step["dump"]))
            results.append(_step(config, view(config), step, wanted))
        return {"results": results}

    return play


def _step(config: Config, view: View, step: Json, wanted: Any) -> Any:
    match step["do"]:
        case "content" | "load_dump":
            return {"needs_push": config.needs_push, "content": view.content()}
        case "push":
            return _push(config, wanted)
        case "confirm_pushed":
            config.confirm_pushed(step["seqno"], [step["hash"]])
            return None
        case "dump":
            return _dump(config, wanted)
        case "merge":
            messages = [(message["hash"], H(message["data"])) for message in step["messages"]]
            accepted = config.merge(messages, now_ms=0)
            return {
                "accepted": accepted,
                "needs_push": config.needs_push,
                "needs_dump": config.needs_dump,
                "current_hashes": list(config.current_hashes),
                "content": view.content(),
            }
        case setter:
            values = {key: value for key, value in step.items() if key not in {"client", "do"}}
            if "id" in values:
                values["session_id"] = values.pop("id")
            getattr(view, setter)(**values)
            return None


def _push(config: Config, wanted: Json) -> Json:
    push = config.push()
    (message,) = push.messages
    if message.hex() != wanted["message"] and wanted["compressed"] is not None:
        # Another version of zstd compresses otherwise; what it says must be the same.
        assert unpack(H(wanted["message"]), config.kind, config.keys) == unpack(message, config.kind, config.keys)
        message = H(wanted["message"])
    encrypted = unwrap_config(message, config.keys.owner, config.kind.namespace)
    body = decrypt(encrypted, config.keys.encryption[0], config.kind.domain).lstrip(b"\0")
    serialized = unpack(message, config.kind, config.keys)
    return {
        "seqno": push.seqno,
        "obsolete": list(push.obsolete),
        "message": message.hex(),
        "encrypted": encrypted.hex(),
        "padded_size": len(encrypted) - OVERHEAD,
        "compressed": body.hex() if body[:1] == b"z" else None,
        "serialized": serialized.hex(),
        "serialized_hash": blake2b(serialized).hex(),
    }


def _dump(config: Config, wanted: Json) -> Json:
    dump = config.dump()
    ours, theirs = bt.decode(dump), bt.decode(H(wanted["dump"]))
    # The order of the obsolete hashes says nothing.
    ours[b")"].sort()
    theirs[b")"].sort()
    return wanted if ours == theirs else {"dump": dump.hex()}


for _name, (_kind, _view) in VIEWS.items():
    operation(_name, "scenario")(scenario(_kind, _view))
