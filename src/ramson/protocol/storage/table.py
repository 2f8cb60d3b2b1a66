"""The method table of the documentation, made from the declarations: `python -m ramson.protocol.storage.table`."""

from __future__ import annotations

import sys

from ramson.protocol.storage.declaration import AUTH_FIELDS, PUBKEY, Auth, Field, Method, Side
from ramson.protocol.storage.requests import METHODS

_SIGNED_TEXT = {
    "namespace_text": "*NS*",
    "mode_text": "*mode*",
    "signed_at": "sig_timestamp",
    "tokens": "tokens",
}
_HEAD = """\
# Storage RPC: methods and parameters

Made from the declarations in `ramson.protocol.storage.requests`; do not edit by hand.

*NS* in what is signed is the namespace: nothing for 0, decimal, or `all`.  *mode* is `shorten`, `extend` or nothing.
Lists are signed as one run of their elements.  Methods marked *swarm* are carried out by every member of the swarm.
"""


def markdown() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, _common(), *(_section(method) for method in METHODS.values())])


def _common() -> str:
    fields = "\n".join(_row(field) for field in AUTH_FIELDS)
    return f"## Parameters of authentication\n\n|Parameter|Kind|Meaning|\n|---|---|---|\n{fields}\n"


def _row(field: Field) -> str:
    names = ", ".join(f"`{name}`" for name in (field.name, *field.aliases))
    about = f"required; {field.about}" if field.required else field.about
    return f"|{names}|{field.kind.wanted}|{about}|"


def _section(method: Method) -> str:
    lines = [f"## {method.name}", "", method.about, ""]
    facts = [f"also called `{name}`" for name in method.aliases]
    if method.recursive:
        facts.append("*swarm*")
    if method.auth is not Auth.NEVER:
        signed = " ".join([f"`{method.name}`", *(_SIGNED_TEXT.get(attr, attr) for attr in method.signs)])
        facts.append(f"signature: {method.auth.value}, over {signed}")
        facts.append("no subaccounts" if method.access is None else f"subaccounts with {method.access.name}")
    if rule := method.time:
        sign = {Side.NEAR: "±", Side.NOT_AFTER: "at most +", Side.NOT_BEFORE: "at least −"}[rule.side]
        attr = _SIGNED_TEXT.get(rule.attr, rule.attr)
        facts.append(f"{attr} {sign}{rule.tolerance // 1000} s from now, else {rule.status}")
    if facts:
        lines += ["; ".join(facts) + ".", ""]
    if method.fields or method.pubkey_aliases:
        names = ", ".join(f"`{name}`" for name in (PUBKEY, *method.pubkey_aliases))
        lines += ["|Parameter|Kind|Meaning|", "|---|---|---|", f"|{names}|33 bytes in hex|required; the account|"]
        lines += [_row(field) for field in method.fields]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
