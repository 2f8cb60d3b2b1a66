"""What an ISP does to traffic that it does not like, as a value and as the nftables rules that do it.  Pure.

Nothing here runs anything: `countries` builds the network in which these rules stand.
"""

from dataclasses import dataclass
from enum import StrEnum

INSIDE = "inside"  # the ISP's interface towards its customers
LIAR_PORT = 5353  # where the ISP's own resolver listens, on the ISP's machine
SNI_REACH = range(32, 520)  # offsets within a segment at which a name is looked for


class Drop(StrEnum):
    """Whole groups of addresses that are dropped."""

    SEEDS = "seeds"
    NODES = "nodes"


@dataclass(frozen=True)
class Censor:
    """One way of blocking.  Times do not occur: all of it is done by looking at packets.

    `resets` are host names: a TCP segment that holds one is answered with a reset.  `freeze_after` is in bytes a TCP
    connection, both ways together: all that comes later vanishes.  `poisoned` names get a false address from every
    resolver asked in the clear.  `no_udp` drops all UDP but questions to resolvers.
    """

    name: str
    drops: frozenset[Drop] = frozenset()
    resets: frozenset[str] = frozenset()
    freeze_after: int | None = None
    poisoned: frozenset[str] = frozenset()
    no_udp: bool = False


@dataclass(frozen=True)
class Groups:
    """The addresses that a censor's groups stand for, in nftables' notation."""

    seeds: tuple[str, ...]
    nodes: tuple[str, ...]

    def of(self, drop: Drop) -> str:
        """Return a group as the elements of a set."""
        return ", ".join(self.seeds if drop is Drop.SEEDS else self.nodes)


def rules(censor: Censor, groups: Groups) -> str:
    """Return what `nft -f` is given: the censor's rules in place of whatever was there, in one step.

    The set `seen` counts what customers begin, by destination, before anything is dropped: datagrams and the first
    packets of connections.  What a machine answers to strays of connections it never had is not its own doing.
    """
    seen = "add @seen { ip daddr . meta l4proto . th dport counter }"
    passing = [
        f'iifname "{INSIDE}" tcp flags & (syn | ack) == syn {seen}',
        f'iifname "{INSIDE}" meta l4proto udp {seen}',
    ]
    passing += [f"ip daddr {{ {groups.of(drop)} }} counter name blocked drop" for drop in sorted(censor.drops)]
    passing += [f"ip saddr {{ {groups.of(drop)} }} drop" for drop in sorted(censor.drops)]
    if censor.no_udp:
        passing.append(f'iifname "{INSIDE}" meta l4proto udp udp dport != 53 counter name blocked drop')
    if censor.freeze_after is not None:
        passing.append(f"meta l4proto tcp ct bytes > {censor.freeze_after} counter name blocked drop")
    for host in sorted(censor.resets):
        passing += [f"{match} counter name blocked reject with tcp reset" for match in _contains(host)]
    redirect = [
        f'iifname "{INSIDE}" meta l4proto {protocol} th dport 53 counter name blocked redirect to :{LIAR_PORT}'
        for protocol in ("tcp", "udp")
        if censor.poisoned
    ]
    return "\n".join(
        [
            "add table ip censor",
            "delete table ip censor",
            "table ip censor {",
            "counter blocked { }",
            "set seen { type ipv4_addr . inet_proto . inet_service; size 65535; flags dynamic; counter; }",
            "chain passing { type filter hook forward priority 0; policy accept;",
            *passing,
            "}",
            "chain names { type nat hook prerouting priority -100; policy accept;",
            *redirect,
            "}",
            "}",
            "",
        ]
    )


def _contains(host: str) -> list[str]:
    # nftables has no search in a payload: it compares at one offset, 16 bytes at most, so there is a rule an offset.
    needle = host.encode()[:16]
    return [
        f'iifname "{INSIDE}" meta l4proto tcp @ih,{offset * 8},{len(needle) * 8} 0x{needle.hex()}'
        for offset in SNI_REACH
    ]
