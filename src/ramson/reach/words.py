"""What the person is told about the way out: one sentence on what is wrong, what is tried, and what can be done."""

from __future__ import annotations

from collections.abc import Sequence

from ramson.reach.order import Candidate
from ramson.reach.route import Rung, Symptom

_WRONG = {
    Symptom.NAME: "Names cannot be looked up here, or are answered falsely",
    Symptom.TCP: "The nodes of the network cannot be connected to from here",
    Symptom.PROXY: "The proxy or transport does not work",
    Symptom.HELLO: "Connections to the network are cut off as soon as they begin",
    Symptom.TLS: "Somebody on the way interferes with encrypted connections",
    Symptom.FROZEN: "Connections to the network freeze after a while",
    Symptom.HTTP: "The nodes of the network do not answer properly",
    Symptom.ONION: "Somebody else answers in place of the nodes",
}
_BY = {
    Rung.DIRECT: "",
    Rung.SPLIT: "by a disguised greeting",
    Rung.PROXY: "by a proxy",
    Rung.BRIDGE: "by a bridge",
    Rung.TRANSPORT: "by a pluggable transport",
}
NO_BRIDGE = "Get a bridge from somebody you trust (`ramson bridge add`), or use another network or a VPN"
WITH_BRIDGES = "Check that the device is online, get another bridge, or use another network"
KEPT = "Messages wait in the outbox and go out by themselves"


def usage(using: Candidate) -> str:
    """Say by which way messages travel; nothing for the straight one."""
    return f"The straight way is blocked here; messages travel {_BY[using.rung]}." if _BY[using.rung] else ""


def trouble(how: Symptom | None, trying: Sequence[str], candidates: Sequence[Candidate]) -> str:
    """Say why there is no way out; nothing if none was needed yet."""
    if how is None and not trying:
        return ""
    parts = [_WRONG[how]] if how is not None else []
    if trying:
        parts.append(f"{'trying' if parts else 'Trying'} {_listed(trying)}")
        return f"{': '.join(parts)}. {KEPT}."
    bridged = any(candidate.rung in {Rung.BRIDGE, Rung.TRANSPORT} for candidate in candidates)
    return f"{'; '.join(parts)}. {WITH_BRIDGES if bridged else NO_BRIDGE}. {KEPT}."


def _listed(labels: Sequence[str]) -> str:
    return " and ".join(labels) if len(labels) < 3 else f"{', '.join(labels[:-1])} and {labels[-1]}"
