"""`ramson nodes`: made by one person, signed by others on their own machines, taken by a friend in any form."""

import io
import json
import stat
import sys
from dataclasses import replace

import pytest

from ramson.cli import main
from ramson.crypto.keys import Ed25519KeyPair
from ramson.network import NetworkProfile, cache
from ramson.network.cache import Snapshot
from ramson.network.judge import Standing
from ramson.protocol import network_file, node_list
from ramson.protocol.list_channels import ListChannels
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState, Seed
from ramson.protocol.node_list import DAY_MS, ListAuthority, SignedNodeList, state
from ramson.protocol.node_list_text import to_uri
from ramson.protocol.nodes import NodeRecord
from ramson.world import real

COUNT = 40


def a_node(number: int) -> NodeRecord:
    keys = Ed25519KeyPair.from_seed(number.to_bytes(32))
    return NodeRecord(keys.public, keys.to_x25519().public, b"L" * 32, f"10.1.{number}.1", 22021, 22020, 7)


@pytest.fixture
def ramson(tmp_path, monkeypatch, capsys):
    """Type a command; standard input is bytes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "RAMSON_NETWORK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)

    def type_command(*arguments, given=b""):
        monkeypatch.setattr(sys, "argv", ["ramson", "nodes", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        captured = capsys.readouterr()
        return code, captured.out.strip(), captured.err

    return type_command


@pytest.fixture
def network(tmp_path, ramson, monkeypatch):
    """A network of forty nodes that describes itself, two of whose three signers have to sign."""
    keys = [ramson("keygen", f"signer{i}.key")[1] for i in range(3)]
    nodes = tuple(NetworkNode(f"n{i}", NodeState.ACTIVE, a_node(i)) for i in range(COUNT))
    authority = ListAuthority("testing", frozenset(map(bytes.fromhex, keys)), 2)
    path = tmp_path / "network.json"
    path.write_bytes(network_file.encode(NetworkFile(nodes=nodes, node_lists=ListChannels(authority))))
    monkeypatch.setenv("RAMSON_NETWORK", str(path))
    return authority


def test_a_key_is_for_its_owner_only_and_never_overwritten(ramson, tmp_path):
    code, public, _ = ramson("keygen", "my.key")
    assert code == 0
    assert stat.S_IMODE((tmp_path / "my.key").stat().st_mode) == 0o600
    seed = bytes.fromhex((tmp_path / "my.key").read_text())
    assert Ed25519KeyPair.from_seed(seed).public.hex() == public
    code, _, err = ramson("keygen", "my.key")
    assert (code, "is there already" in err) == (1, True)


def test_a_list_is_made_by_one_signed_by_two_and_taken_by_a_friend(network, ramson, tmp_path):
    assert ramson("export", "--format", "file", "--out", "fresh.nodes")[0] == 0
    code, out, err = ramson("verify", "fresh.nodes")
    assert (code, "not signed by 2 known signers" in err) == (1, True)
    assert "seeds list 100%" in out
    # The first signer sends it on to the second, who sends the result to everybody.
    assert ramson("sign", "fresh.nodes", "--key", "signer0.key", "--out", "once.nodes")[0] == 0
    code, text, _ = ramson("sign", "once.nodes", "--key", "signer2.key", "--format", "text")
    assert (code, text.startswith("ramson-nodes:")) == (0, True)
    assert ramson("verify", text)[0] == 0
    code, out, _ = ramson("import", "-", "--json", given=f"Hello! {text}\nBye".encode())
    taken = json.loads(out)
    assert (code, taken["trusted"], taken["count"], len(taken["signers"])) == (0, True, COUNT, 2)
    imported = tmp_path / ".local/share/ramson/node-lists/testing.nodes"
    assert network.trusts(node_list.decode(imported.read_bytes()))
    assert stat.S_IMODE(imported.stat().st_mode) == 0o600
    assert len(json.loads(ramson("show", "--json")[1])["nodes"]) == COUNT


def test_signing_in_place_keeps_the_signatures_there_are(network, ramson):
    ramson("export", "--format", "file", "--out", "a.nodes")
    for number in (0, 1, 1):
        assert ramson("sign", "a.nodes", "--key", f"signer{number}.key")[0] == 0
    shown = json.loads(ramson("show", "a.nodes", "--json")[1])
    assert (shown["signatures"], shown["trusted"]) == (2, True)


def test_a_starter_list_goes_through_a_picture(network, ramson, tmp_path):
    assert ramson("export", "--starter", "--format", "file", "--out", "s.nodes")[0] == 0
    for number in range(2):
        ramson("sign", "s.nodes", "--key", f"signer{number}.key")
    assert ramson("export", "--list", "s.nodes", "--format", "qr", "--out", "s.png")[0] == 0
    code, out, _ = ramson("import", "s.png", "--json")
    taken = json.loads(out)
    assert (code, taken["part"], taken["count"], taken["trusted"]) == (0, True, 30, True)
    code, drawn, _ = ramson("export", "--list", "s.nodes", "--format", "qr")
    assert (code, "█" in drawn) == (0, True)


def test_where_seeds_are_blocked_what_is_known_here_can_be_passed_on(network, ramson, tmp_path):
    described = network_file.parse((tmp_path / "network.json").read_bytes())
    blocked = replace(described, seeds=(Seed("https://127.0.0.1:1/json_rpc"),))  # nobody listens at port 1
    (tmp_path / "network.json").write_bytes(network_file.encode(blocked))
    code, out, err = ramson("export")
    assert (code, out, "No seed" in err) == (1, "", True)

    profile = NetworkProfile.from_file(blocked)
    now = real.world().clock.now()
    snapshot = Snapshot(tuple(map(a_node, range(COUNT))), (), now, Standing.AGREED, "somebody", now - DAY_MS)
    home = tmp_path / ".local/share/ramson"
    home.mkdir(parents=True)
    (home / f"nodes-{profile.fingerprint[:16]}.json").write_bytes(cache.encode(snapshot, profile.fingerprint))
    code, text, _ = ramson("export")
    shown = json.loads(ramson("show", text, "--json")[1])
    assert (code, shown["count"], shown["time_ms"], shown["signatures"]) == (0, COUNT, now - DAY_MS, 0)

    ramson("import", signed([0, 1], tmp_path=tmp_path))
    shown = json.loads(ramson("show", ramson("export")[1], "--json")[1])
    assert shown["trusted"]  # the imported list is passed on as it is


def test_dns_records_can_be_taken_back(network, ramson, tmp_path):
    code, records, _ = ramson("export", "--starter", "--format", "dns-txt")
    assert code == 0
    assert all(line.startswith('"rnl1 ') for line in records.splitlines())
    assert ramson("import", "-", given=records.encode())[0] == 0


def signed(authority_signers, *, days_old=0, count=COUNT, name="testing", tmp_path=None):
    now = real.world().clock.now()
    made = SignedNodeList(state(name, map(a_node, range(count)), height=1, time_ms=now - days_old * DAY_MS))
    for number in authority_signers:
        seed = bytes.fromhex((tmp_path / f"signer{number}.key").read_text())
        made = made.signed_by(Ed25519KeyPair.from_seed(seed))
    return to_uri(node_list.encode(made))


def test_an_older_or_unsigned_list_does_not_replace_a_signed_one(network, ramson, tmp_path):
    assert ramson("import", signed([0, 1], days_old=1, tmp_path=tmp_path))[0] == 0
    code, _, err = ramson("import", signed([0, 1], days_old=2, tmp_path=tmp_path))
    assert (code, "newer" in err) == (1, True)
    code, _, err = ramson("import", signed([0], tmp_path=tmp_path))
    assert (code, "forget" in err) == (1, True)
    assert ramson("import", signed([1, 2], tmp_path=tmp_path))[0] == 0
    assert ramson("forget")[0] == 0
    assert ramson("import", signed([0], tmp_path=tmp_path))[0] == 0  # better than nothing
    assert ramson("forget")[0] == 0
    assert ramson("forget")[0] == 1


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"days_old": 181}, "too old"),
        ({"days_old": -3}, "future"),
        ({"name": "other"}, "another network, other"),
        ({"count": 2}, "too few"),
    ],
)
def test_a_list_that_is_of_no_use_is_refused_with_a_reason(network, ramson, tmp_path, wishes, words):
    code, _, err = ramson("import", signed([0, 1], tmp_path=tmp_path, **wishes))
    assert (code, words in err) == (1, True)


def test_a_signer_does_not_sign_what_the_network_does_not_list(network, ramson, tmp_path):
    now = real.world().clock.now()
    strangers = state("testing", map(a_node, range(100, 140)), height=1, time_ms=now)
    uri = to_uri(node_list.encode(SignedNodeList(strangers)))
    code, _, err = ramson("sign", uri, "--key", "signer0.key", "--format", "text")
    assert (code, "only 0%" in err) == (1, True)
    assert ramson("sign", uri, "--key", "signer0.key", "--format", "text", "--unchecked")[0] == 0


def test_a_key_that_others_can_read_is_not_used(network, ramson, tmp_path):
    ramson("export", "--format", "file", "--out", "a.nodes")
    (tmp_path / "signer0.key").chmod(0o644)
    code, _, err = ramson("sign", "a.nodes", "--key", "signer0.key")
    assert (code, "chmod 0600" in err) == (1, True)


@pytest.mark.parametrize("source", ["nowhere.nodes", "ramson-nodes:AAAA", "-"])
def test_what_is_no_list_is_told(network, ramson, source):
    code, out, err = ramson("import", source, given=b"nothing here")
    assert (code, out) == (1, "")
    assert "Traceback" not in err


def test_nobody_is_known_to_sign_lists_of_the_public_network(ramson, tmp_path):
    ramson("keygen", "signer0.key")
    code, _, err = ramson("verify", signed([0], name="mainnet", tmp_path=tmp_path), "--unchecked")
    assert code == 1
    assert "Nobody is known to sign lists of mainnet" in err
    assert ramson("import", signed([], name="mainnet", tmp_path=tmp_path))[0] == 0
