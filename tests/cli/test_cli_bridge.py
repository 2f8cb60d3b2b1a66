"""`ramson bridge` as volunteers and their friends type it."""

import io
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ramson.cli import bridge_links, main
from ramson.cli.bridge import bridges_file
from ramson.errors import LocalError
from ramson.protocol import network_file
from ramson.protocol.bridge import BadBridgeLink, link
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.reach import bridge_book

URI = link.make("https://example.org/notes/", bytes(range(32)), "mainnet").uri


@pytest.fixture
def ramson(monkeypatch, capsys, tmp_path):
    """Type a command; returns exit code, standard output and standard error."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def type_command(*arguments, typed=b""):
        monkeypatch.setattr(sys, "argv", ["ramson", "bridge", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(typed), isatty=lambda: False))
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return type_command


def test_a_volunteer_makes_a_link_and_a_friend_keeps_it(ramson, tmp_path):
    home, image, drawing = tmp_path / "bridge", tmp_path / "qr.png", tmp_path / "qr.svg"
    assert ramson("link", "--dir", home, "--site", "https://example.org/")[2].startswith("This bridge has no secret")
    assert ramson("keygen", "--dir", home)[0] == 0
    assert ramson("keygen", "--dir", home, "--label", "family")[0] == 0
    code, uri, _ = ramson("link", "--dir", home, "--site", "https://example.org/", "--image", image, "--qr")
    assert code == 0
    uri = uri.splitlines()[-1]
    assert link.parse(uri).site == "https://example.org/"
    assert ramson("link", "--dir", home, "--site", "https://example.org/", "--image", drawing)[0] == 0
    family = ramson("link", "--dir", home, "--site", "https://example.org/", "--label", "family")[1].strip()
    assert family != uri
    assert image.stat().st_mode & 0o777 == drawing.stat().st_mode & 0o777 == 0o600

    assert ramson("add", image) == (0, "bridge-1\n", "")
    assert ramson("add", uri) == (0, "bridge-1\n", "")  # known already
    message = f"Hi! Try this: {family}. It works for me".encode()
    assert ramson("add", "-", "--label", "aunt", typed=message) == (0, "aunt\n", "")
    assert ramson("list") == (0, "bridge-1  mainnet\naunt  mainnet\n", "")
    assert json.loads(ramson("list", "--json")[1])[1] == {"label": "aunt", "network": "mainnet"}
    assert bridges_file().stat().st_mode & 0o777 == 0o600
    assert [each.link.uri for each in bridge_book.load(bridges_file())] == [uri, family]
    assert ramson("remove", "bridge-1") == (0, "", "")
    assert ramson("list")[1] == "aunt  mainnet\n"
    assert ramson("remove", "bridge-1")[0] == 1


@pytest.mark.parametrize("source", ["ramson-bridge:nonsense", "/does/not/exist", "https://example.org/"])
def test_what_is_no_link_is_refused_in_one_line(ramson, source):
    code, out, err = ramson("add", source)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1


def test_links_are_taken_from_texts_and_pictures_only(tmp_path):
    file = tmp_path / "message.txt"
    for text in (URI, f"see <{URI}>\n", f'"{URI}"', f"({URI})."):
        file.write_text(text)
        assert bridge_links.take(str(file)).uri == URI
    file.write_text("nothing")
    with pytest.raises(LocalError, match="no bridge's link"):
        bridge_links.take(str(file))
    file.write_text("ramson-bridge:damaged")
    with pytest.raises(BadBridgeLink):
        bridge_links.take(str(file))
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(100), b"\xff\xd8\xff" + bytes(100), b"GIF89a", b"BM"):
        file.write_bytes(data)
        with pytest.raises(LocalError, match="cannot be read"):
            bridge_links.take(str(file))
    from PIL import Image

    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    with pytest.raises(LocalError, match="no bridge's link"):
        bridge_links.take(str(tmp_path / "empty.png"))
    with pytest.raises(LocalError, match="png"):
        bridge_links.write_qr(link.parse(URI), tmp_path / "qr.gif")


def test_the_picture_of_a_link_is_its_owner_s_also_where_another_one_was(tmp_path):
    picture = tmp_path / "qr.png"
    picture.write_bytes(b"of before")
    picture.chmod(0o644)
    bridge_links.write_qr(link.parse(URI), picture)
    assert picture.stat().st_mode & 0o777 == 0o600
    assert bridge_links.take(str(picture)).uri == URI


def test_a_book_of_bridges_that_others_can_read_or_that_is_damaged_is_refused(tmp_path):
    book = tmp_path / "bridges"
    assert bridge_book.load(book) == ()
    assert bridge_book.add(book, link.parse(URI)) == "bridge-1"
    assert URI not in repr(bridge_book.load(book))
    with pytest.raises(bridge_book.BridgeBookError, match="label"):
        bridge_book.add(book, link.make("https://example.org/", bytes(32), "mainnet"), "two words")
    book.chmod(0o644)
    with pytest.raises(LocalError, match="others can read"):
        bridge_book.load(book)
    book.chmod(0o600)
    book.write_text("one two three\n")
    with pytest.raises(bridge_book.BridgeBookError, match="damaged"):
        bridge_book.load(book)
    book.write_text(f"label {URI}x\n")
    with pytest.raises(BadBridgeLink):
        bridge_book.load(book)


def test_a_bridge_that_runs_is_found_well_by_its_check_and_a_wrong_link_is_not(ramson, tmp_path):
    node = NodeRecord(bytes(32), bytes([9]) * 32, bytes(32), os.environ["RAMSON_TESTS_BLOCK"] + ".44.1", 9, 9, 0)
    network = tmp_path / "network.json"
    network.write_bytes(network_file.encode(NetworkFile((NetworkNode("a", NodeState.ACTIVE, node),))))
    home = tmp_path / "bridge"
    ramson("keygen", "--dir", home)
    command = [sys.executable, "-m", "ramson.cli", "bridge", "run", "--dir", home, "--network", network]
    command += ["--listen", "127.0.0.1:0", "--stop-with-input", "--allow-private", "--metrics", "127.0.0.1:0"]
    code = "import sys; from ramson.cli import main; main()"
    command[1:3] = ["-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            log = []
            while not (found := re.search(r"at=\S*?:(\d+)", "".join(log))):
                log.append(process.stderr.readline())
                assert log[-1], "".join(log)
            site = f"http://127.0.0.1:{found[1]}/"
            uri = ramson("link", "--dir", home, "--site", site, "--network", network)[1].strip()
            code, out, err = ramson("check", uri, "--network", network)
            assert "ok      web site: answers with status 200" in out, err
            assert "ok      strangers: get status 405, as for any wrong path" in out
            assert "note    node list: the bridge says: no list" in out  # a private network without a name for lists
            assert "failed  nodes: 0 of 1 answered, " in out
            assert "the bridge says: guard unreachable" in out  # this network's only node does not run
            assert code == 1
            wrong = link.make(site, bytes(32), link.parse(uri).network).uri
            steps = json.loads(ramson("check", wrong, "--network", network, "--json")[1])
            assert [step["verdict"] for step in steps[:2]] == ["ok", "failed"]
            assert "wrong link" in steps[1]["found"]
            assert ramson("check", uri)[2].startswith("The bridge leads to another network")
        finally:
            rest = process.communicate()[1]
    assert process.returncode == 0
    assert "127.0.0.1" not in rest
    assert "Traceback" not in rest
