"""What is remembered between runs, and that damaged memories are refused."""

import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.network.cache import MAX_AGE_MS, MAX_SIZE, FileCache, MemoryCache, Snapshot, decode, encode

NOW = 1_750_000_000_000


def test_a_snapshot_comes_back_as_it_was(nodes):
    snapshot = Snapshot(tuple(nodes(5)), (nodes(5)[3].ed25519,), NOW)
    assert decode(encode(snapshot, "net"), "net", now_ms=NOW) == snapshot


def test_another_networks_cache_is_refused(nodes):
    with pytest.raises(ParseError, match="network"):
        decode(encode(Snapshot(tuple(nodes(2)), (), NOW), "net"), "other", now_ms=NOW)


def test_an_old_cache_is_refused(nodes):
    data = encode(Snapshot(tuple(nodes(2)), (), NOW), "net")
    with pytest.raises(ParseError, match="old"):
        decode(data, "net", now_ms=NOW + MAX_AGE_MS + 1)


@given(st.binary(max_size=200))
def test_anything_else_is_a_parse_error(data):
    with pytest.raises(ParseError):
        decode(data, "net", now_ms=NOW)


@pytest.mark.parametrize("damage", [("version", 2), ("guards", ["AA=="]), ("nodes", [[1]]), ("saved_ms", "x")])
def test_a_damaged_field_is_a_parse_error(nodes, damage):
    document = json.loads(encode(Snapshot(tuple(nodes(1)), (), NOW), "net"))
    document[damage[0]] = damage[1]
    with pytest.raises(ParseError):
        decode(json.dumps(document).encode(), "net", now_ms=NOW)


def test_a_file_is_for_its_owner_only_and_replaced_whole(tmp_path):
    cache = FileCache(tmp_path / "nodes.json")
    assert cache.load() is None
    cache.save(b"old")
    cache.save(b"new")
    assert cache.load() == b"new"
    assert stat.S_IMODE((tmp_path / "nodes.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["nodes.json"]


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path):
    cache = FileCache(tmp_path / "nodes.json")
    cache.save(b"old")
    with pytest.raises(TypeError):
        cache.save("not bytes")
    assert cache.load() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_grew_too_large_is_not_loaded(tmp_path):
    (tmp_path / "nodes.json").write_bytes(b"x" * (MAX_SIZE + 1))
    assert FileCache(tmp_path / "nodes.json").load() is None


def test_memory_keeps_what_it_was_given():
    cache = MemoryCache()
    cache.save(b"x")
    assert cache.load() == b"x"
