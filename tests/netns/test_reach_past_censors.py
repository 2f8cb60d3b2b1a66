"""Messages get through: one person at home behind a censor, one abroad; real programs, sockets and packets.

For each censor: a first start with a bridge link and nothing else known, and a second start with what the first
learned; and a censor that switches on in the middle of a conversation.  The table at the end says how long it took, by
which way, and where packets went.
"""

import json
import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from censors import Censor, Drop
from countries import BLOCK, NOT_CENSORED, NOWHERE, PROXY, RESOLVER, SEED, SITE, Countries, Program, Seen

from ramson.node import certificate

pytestmark = [pytest.mark.netns, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
PYTHON = sys.executable
NODES = 12
SEED_NAME, SITE_NAME = "seed1.onion.example", "www.flowers.example"
NAMES = {SEED_NAME: SEED, SITE_NAME: SITE}
FIRST_START, AFTERWARDS = 60.0, 15.0  # seconds
SCALE = float(os.environ.get("RAMSON_NETNS_SLOWER", "1"))  # for machines that are busy with something else

SEEDS, NODES_TOO = frozenset({Drop.SEEDS}), frozenset({Drop.SEEDS, Drop.NODES})
EVERYTHING = Censor("all of it", NODES_TOO, frozenset({SEED_NAME}), 16_384, frozenset({SEED_NAME}), no_udp=True)
NO_UDP = Censor("no UDP", no_udp=True)
CENSORS = [
    NOT_CENSORED,
    Censor("seeds dropped", drops=SEEDS),
    Censor("nodes dropped", drops=frozenset({Drop.NODES})),
    Censor("seeds and nodes dropped", drops=NODES_TOO),
    Censor("reset on the seed's name", resets=frozenset({SEED_NAME})),
    Censor("frozen after 16 KiB", freeze_after=16_384),
    Censor("the seed's name poisoned", poisoned=frozenset({SEED_NAME})),
    NO_UDP,
    EVERYTHING,
]


@dataclass
class Row:
    censor: str
    start: str
    kept: float
    answered: float
    way: str
    forbidden: int


ROWS: list[Row] = []


@dataclass
class Stage:
    """The countries with a network abroad, a bridge, and a friend."""

    countries: Countries
    network: Path
    link: str
    friend: str
    place: Path

    @contextmanager
    def traveller(self, account: Path, way: str) -> Iterator[Program]:
        """Have somebody at home open or make an account."""
        settings = account.with_suffix(".toml")
        settings.write_text(way)
        command = [PYTHON, str(HERE / "traveller.py"), str(account), str(self.network), str(settings), self.friend]
        log = self.place / "traveller.log"
        with self.countries.running(self.countries.home, *command, log=log) as program:
            yield program


def correspond(traveller: Program, line: str) -> dict:
    """Have a line sent and said back."""
    traveller.tell(line)
    return json.loads(traveller.hear())


def correspond_within(stage: Stage, traveller: Program, line: str, limit: float) -> dict:
    """Have a line kept in so many seconds, not counting those in which the machine did not let the programs run."""
    since = stage.countries.starved()
    said = correspond(traveller, line)
    starved = stage.countries.starved() - since
    assert said["kept"] - starved < limit * SCALE, f"{starved:.1f} s without a processor"
    return said


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    place = tmp_path_factory.mktemp("netns")
    with ExitStack() as stack:
        countries = stack.enter_context(Countries(NODES, NAMES))
        abroad = countries.abroad
        ramson = (PYTHON, "-m", "ramson")
        home = place / "network"
        stack.enter_context(
            countries.running(
                abroad,
                *(*ramson, "devnet", "--in-process", "--no-file-server", "--nodes", str(NODES)),
                *("--block", BLOCK, "--dir", str(home)),
                log=place / "devnet.log",
                says=b"The network is up",
            )
        )
        network, signer = known_by_name(home / "network.json"), place / "signer.key"

        def run(*arguments: str) -> str:
            return countries.run(abroad, *ramson, *arguments)

        public = json.loads(run("nodes", "keygen", str(signer), "--json"))["public"]
        trust(network, public)
        signed = place / "all.nodes"
        run("nodes", "export", "--network", str(network), "--format", "file", "--out", str(signed))
        run("nodes", "sign", str(signed), "--key", str(signer), "--network", str(network))
        chain, key = make_certificate(place)
        site = ("--dir", str(place / "bridge"), "--site", f"https://{SITE_NAME}/", "--network", str(network))
        run("bridge", "keygen", "--dir", str(place / "bridge"))
        link = run("bridge", "link", *site, "--pin", str(chain)).strip().splitlines()[0]
        stack.enter_context(
            countries.running(
                abroad,
                *(*ramson, "bridge", "run", *site, "--listen", f"{SITE}:443", "--allow-private", "--stop-with-input"),
                *("--certificate", str(chain), "--private-key", str(key), "--node-list", str(signed)),
                log=place / "bridge.log",
            )
        )
        friend = (PYTHON, str(HERE / "friend.py"), str(place / "friend"), str(home / "network.json"))
        said = stack.enter_context(countries.running(abroad, *friend, log=place / "friend.log")).said
        yield Stage(countries, network, link, said.split()[0], place)
        print(f"\n{table(ROWS)}")


def known_by_name(network: Path) -> Path:
    """Write how people at home know the network: its seed by a name that can be censored, and no nodes."""
    described = json.loads(network.read_bytes())
    for seed in described["seeds"]:
        seed["url"] = seed["url"].replace(SEED, SEED_NAME)
    there = network.with_name("known.json")
    there.write_text(json.dumps(described))
    return there


def trust(network: Path, signer: str) -> None:
    """Have one signer speak for the network."""
    described = json.loads(network.read_bytes())
    described["node_lists"] = {"network": "country", "signers": [signer], "needed": 1}
    network.write_text(json.dumps(described))


def make_certificate(place: Path) -> tuple[Path, Path]:
    """Make the site's certificate; its key is pinned in the link."""
    made = certificate.create(int(time.time() * 1000))
    chain, key = place / "site.pem", place / "site.key"
    chain.write_bytes(made.certificate)
    key.write_bytes(made.private_key)
    key.chmod(0o600)
    return chain, key


def forbidden(seen: Sequence[Seen], allowed: Collection[str]) -> int:
    """Count the packets that went where the way in use has no business."""
    return sum(each.packets for each in seen if each.address not in allowed)


def table(rows: Sequence[Row]) -> str:
    """Write the table of what happened."""
    head = f"{'censor':<28}{'start':<14}{'kept':>7}{'answered':>10}  {'lost':>4}  {'forbidden':>9}  way"
    lines = [
        f"{row.censor:<28}{row.start:<14}{row.kept:>6.1f}s{row.answered:>9.1f}s  {0:>4}  {row.forbidden:>9}  {row.way}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def way_of(said: dict) -> str:
    """Say in a word by which way messages travel."""
    _, found, way = said["reason"].partition("messages travel by a ")
    return way.rstrip(".") if found else "straight"


@pytest.mark.parametrize("censor", CENSORS, ids=lambda censor: censor.name)
def test_messages_get_through(stage: Stage, tmp_path: Path, censor: Censor) -> None:
    stage.countries.move_house()
    stage.countries.censor(censor)
    anybody = {RESOLVER, SITE, SEED, NOWHERE, *stage.countries.groups.nodes}
    for start, limit in (("first", FIRST_START), ("second", AFTERWARDS)):
        with stage.traveller(tmp_path / "account", f'bridges = ["{stage.link}"]') as traveller:
            said = [
                correspond_within(stage, traveller, f"{start} 0, {censor.name}", limit),
                correspond(traveller, f"{start} 1, {censor.name}"),
            ]
        strayed = forbidden(stage.countries.seen(), anybody)
        ROWS.append(Row(censor.name, start, said[0]["kept"], said[0]["answered"], way_of(said[-1]), strayed))
        assert strayed == 0
    blocks = censor not in {NOT_CENSORED, NO_UDP}  # there is no UDP to drop but questions for names
    assert bool(stage.countries.blocked()) == blocks, "a censor that never met a packet proves nothing"


def test_a_censor_that_switches_on_in_the_middle(stage: Stage, tmp_path: Path) -> None:
    stage.countries.censor(NOT_CENSORED)
    with stage.traveller(tmp_path / "account", f'bridges = ["{stage.link}"]') as traveller:
        before = correspond(traveller, "before it switches on")
        assert way_of(before) == "straight"
        stage.countries.censor(EVERYTHING)
        after = correspond_within(stage, traveller, "after it switched on", AFTERWARDS)
        ROWS.append(Row("switched on in the middle", "running", after["kept"], after["answered"], way_of(after), 0))
        assert way_of(after) == "bridge"
        correspond_within(stage, traveller, "and on", AFTERWARDS)
    assert stage.countries.blocked()


def test_a_pinned_bridge_is_all_that_is_ever_contacted(stage: Stage, tmp_path: Path) -> None:
    stage.countries.move_house()
    stage.countries.censor(NOT_CENSORED)  # everything else could be reached
    with stage.traveller(tmp_path / "account", f'route = "bridge"\nbridges = ["{stage.link}"]') as traveller:
        said = correspond(traveller, "only by the bridge")
    seen = stage.countries.seen()
    ROWS.append(
        Row("none; bridge pinned", "first", said["kept"], said["answered"], "bridge", forbidden(seen, {SITE, RESOLVER}))
    )
    assert {(each.address, each.protocol, each.port) for each in seen} == {(SITE, "tcp", 443), (RESOLVER, "udp", 53)}


def test_with_a_proxy_nothing_but_the_proxy_is_ever_contacted(stage: Stage, tmp_path: Path) -> None:
    stage.countries.move_house()
    stage.countries.censor(NOT_CENSORED)  # everything else could be reached
    socks = (PYTHON, str(HERE / "socks.py"), PROXY, "1080")
    way = f'proxies = ["socks5://{PROXY}:1080"]\nbridges = ["{stage.link}"]'
    with (
        stage.countries.running(stage.countries.abroad, *socks),
        stage.traveller(tmp_path / "account", way) as traveller,
    ):
        said = correspond(traveller, "only by the proxy")
    seen = stage.countries.seen()
    ROWS.append(Row("none; proxy named", "first", said["kept"], said["answered"], "proxy", forbidden(seen, {PROXY})))
    assert {(each.address, each.protocol, each.port) for each in seen} == {(PROXY, "tcp", 1080)}
