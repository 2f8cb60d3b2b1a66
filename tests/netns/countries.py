"""Two countries and the ISP between them, made of network namespaces on this machine.

    home (192.0.2.2) ── isp (the censor's rules stand here) ── abroad (every server's address is one of its own)

Nothing is routed to the machine's own network: a packet for any other address ends in the ISP's namespace.  All
addresses are those kept for documentation and benchmarks (RFC 5737, RFC 2544).  Needs root, `ip` and `nft`.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from censors import INSIDE, LIAR_PORT, Censor, Groups, rules

HERE = Path(__file__).parent
TRAVELLER = "192.0.2.2"
BLOCK = "198.18"  # the devnet's: seed at .0.1, node i at .(i+1).1
SEED = f"{BLOCK}.0.1"
RESOLVER, SITE, MIRROR, PROXY, NOWHERE = (f"203.0.113.{n}" for n in (53, 80, 81, 90, 66))
NOT_CENSORED = Censor("nothing is blocked")


@dataclass(frozen=True, order=True)
class Seen:
    """How many packets somebody at home sent to one destination."""

    address: str
    protocol: str
    port: int
    packets: int


@dataclass(frozen=True)
class Program:
    """A program that runs, and the line with which it said that it serves."""

    process: subprocess.Popen[bytes]
    said: str

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def hear(self) -> str:
        """Read a line of its standard output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line, "the program ended"
        return line


class Countries:
    """The three namespaces; a context manager.  `nodes` is how many nodes' addresses there are abroad."""

    def __init__(self, nodes: int, names: dict[str, str]) -> None:
        self._mark = f"r{os.getpid()}"
        self.home, self.isp, self.abroad = (f"{self._mark}-{place}" for place in ("home", "isp", "abroad"))
        self._names = names
        node_addresses = tuple(f"{BLOCK}.{i + 1}.1" for i in range(nodes))
        self.groups = Groups((SEED,), node_addresses)
        self._stack = contextlib.ExitStack()
        self._liar: Program | None = None
        self._running: set[int] = set()  # process ids

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for namespace in (self.home, self.isp, self.abroad):
                _run("ip", "netns", "add", namespace)
                stack.callback(_run, "ip", "netns", "del", namespace)
            for namespace in (self.isp, self.abroad):
                self._ip(namespace, "link set lo up")
            self._furnish()
            self._join(self.abroad, "198.51.100.2/24", "198.51.100.1/24", "outside")
            self._ip(self.abroad, "route add default via 198.51.100.1")
            self._ip(self.isp, f"route add {BLOCK}.0.0/16 via 198.51.100.2")
            self._ip(self.isp, "route add 203.0.113.0/24 via 198.51.100.2")
            for address in (SEED, f"{BLOCK}.0.2", *self.groups.nodes, RESOLVER, SITE, MIRROR, PROXY):
                self._ip(self.abroad, f"address add {address}/32 dev lo")
            for setting in ("net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_acct=1"):
                _run("ip", "netns", "exec", self.isp, "sysctl", "-qw", setting)
            self._resolve(stack, self.home)
            self._resolve(stack, self.abroad)
            stack.enter_context(
                self.running(
                    self.abroad, sys.executable, str(HERE / "resolver.py"), RESOLVER, "53", *_pairs(self._names)
                )
            )
            self.censor(NOT_CENSORED)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def censor(self, censor: Censor) -> None:
        """Put these rules in place of what was there; what is counted starts anew."""
        if self._liar is None and censor.poisoned:
            lies = {**self._names, **dict.fromkeys(censor.poisoned, NOWHERE)}
            self._liar = self._stack.enter_context(
                self.running(
                    self.isp, sys.executable, str(HERE / "resolver.py"), "0.0.0.0", str(LIAR_PORT), *_pairs(lies)
                )
            )
        _run("ip", "netns", "exec", self.isp, "nft", "-f", "-", text=rules(censor, self.groups))

    def move_house(self) -> None:
        """Put a new machine in the place of the one at home, so that no socket of an ended program still speaks."""
        self._ip(self.isp, f"link del {INSIDE}")
        _run("ip", "netns", "del", self.home)
        _run("ip", "netns", "add", self.home)
        self._furnish()

    def _furnish(self) -> None:
        self._ip(self.home, "link set lo up")
        self._join(self.home, f"{TRAVELLER}/24", "192.0.2.1/24", INSIDE)
        self._ip(self.home, "route add default via 192.0.2.1")

    def blocked(self) -> int:
        """How many packets the censor has interfered with since it was put in place."""
        counters = self._nft("list", "counters", "table", "ip", "censor")
        return sum(int(item["counter"]["packets"]) for item in counters if "counter" in item)

    def seen(self) -> list[Seen]:
        """Where those at home have sent packets since the censor was put in place."""
        found = [
            item["set"].get("elem", []) for item in self._nft("list", "set", "ip", "censor", "seen") if "set" in item
        ]
        return sorted(_seen(element["elem"]) for elements in found for element in elements)

    def starved(self) -> float:
        """Return for how many seconds what runs now has waited for a processor since it began, all together.

        It is what a machine that is busy with something else adds to a time; timeouts and pauses are not in it.
        """
        waited = 0
        for process in self._running:
            for task in Path(f"/proc/{process}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):  # it has just ended
                    waited += int(task.read_text().split()[1])
        return waited / 1e9

    def run(self, namespace: str, *command: str) -> str:
        """Run a program in a namespace to its end and return what it printed."""
        return _run(*self.inside(namespace, *command))

    @contextlib.contextmanager
    def running(
        self, namespace: str, *command: str, log: Path | None = None, says: bytes = b"ready"
    ) -> Iterator[Program]:
        """Run a program in a namespace until the end of the block; it has `says` in a line when it serves."""
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context(log.open("ab")) if log is not None else None
            process = subprocess.Popen(
                self.inside(namespace, *command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            stack.callback(_end, process)
            self._running.add(process.pid)
            stack.callback(self._running.remove, process.pid)
            assert process.stdout is not None
            for line in process.stdout:
                if says in line:
                    break
            else:
                raise AssertionError(f"{command} ended at once: {log.read_text()[-2000:] if log else 'no log'}")
            yield Program(process, line.decode())

    @staticmethod
    def inside(namespace: str, *command: str) -> list[str]:
        """Return the command line that runs a command in a namespace, with that namespace's resolver."""
        return ["ip", "netns", "exec", namespace, *command]

    def _join(self, namespace: str, address: str, gateway: str, name: str) -> None:
        one, other = f"{self._mark}{name[0]}0", f"{self._mark}{name[0]}1"
        _run("ip", "link", "add", one, "type", "veth", "peer", "name", other)
        _run("ip", "link", "set", one, "netns", namespace, "name", "eth0")
        _run("ip", "link", "set", other, "netns", self.isp, "name", name)
        for place, link, has in ((namespace, "eth0", address), (self.isp, name, gateway)):
            self._ip(place, f"address add {has} dev {link}")
            self._ip(place, f"link set {link} up")

    @staticmethod
    def _resolve(stack: contextlib.ExitStack, namespace: str) -> None:
        directory = Path("/etc/netns") / namespace  # `ip netns exec` lays these files over /etc
        directory.mkdir(parents=True)
        stack.callback(shutil.rmtree, directory)
        (directory / "resolv.conf").write_text(f"nameserver {RESOLVER}\noptions timeout:2 attempts:2\n")

    @staticmethod
    def _ip(namespace: str, command: str) -> None:
        _run("ip", "-n", namespace, *command.split())

    def _nft(self, *arguments: str) -> list[dict[str, dict[str, object]]]:
        output = _run("ip", "netns", "exec", self.isp, "nft", "-j", *arguments)
        return json.loads(output)["nftables"]


def _seen(element: dict) -> Seen:
    address, protocol, port = element["val"]["concat"]
    return Seen(address, protocol, port, element["counter"]["packets"])


def _pairs(names: dict[str, str]) -> Sequence[str]:
    return [f"{name}={address}" for name, address in names.items()]


def _run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[:2000]}"
    return done.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
