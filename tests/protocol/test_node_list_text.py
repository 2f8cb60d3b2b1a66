"""Node lists as text: pasted, scanned, or taken from DNS."""

import importlib.util
import random
import textwrap
from pathlib import Path

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol.node_list import STARTER_NODES, SignedNodeList, encode, state
from ramson.protocol.node_list_text import (
    MAX_PARTS,
    TooLargeForForm,
    find_uri,
    from_txt,
    from_uri,
    to_qr_text,
    to_txt,
    to_uri,
)

_spec = importlib.util.spec_from_file_location("lists_for_text", Path(__file__).with_name("test_node_list.py"))
lists = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lists)

LONGEST_MESSAGE = 2000  # code points


@given(st.binary(min_size=1, max_size=300))
def test_both_spellings_can_be_read_back(data):
    assert from_uri(to_uri(data)) == data
    assert from_uri(to_qr_text(data)) == data


@given(st.binary(min_size=1, max_size=300))
def test_line_breaks_and_indents_do_no_harm(data):
    assert from_uri("\n   ".join(textwrap.wrap(to_uri(data), 40)) + "\n") == data


@given(st.text(max_size=100))
def test_other_text_is_refused(text):
    for words in (text, "ramson-nodes:" + text + "!", "RAMSON-NODES:" + text + "1"):
        with pytest.raises(ParseError):
            from_uri(words)


@pytest.mark.parametrize(
    "text", ["ramson-nodes:", "ramson-nodes:A", "ramson-nodes:AB", "RAMSON-NODES:A", "RAMSON-NODES:AB"]
)
def test_text_with_bits_left_over_is_refused(text):
    with pytest.raises(ParseError):
        from_uri(text)


def test_text_without_end_is_refused_unread():
    with pytest.raises(ParseError, match="too long"):
        from_uri("ramson-nodes:" + "A" * 10_000_000)


def test_a_list_in_a_message_is_found():
    uri = to_uri(b"some list")
    assert find_uri(f"Take this: {uri}. Good luck") == uri
    assert find_uri(f"{to_qr_text(b'some list')}\n") == to_qr_text(b"some list")
    assert find_uri("nothing here, not even ramson-nodes: with a space") is None


# ---- a starter list fits


def starter(signers: int = 3) -> bytes:
    rng = random.Random(7)  # addresses of the public network have nothing in common
    nodes = [lists.a_node(i, ip=".".join(str(rng.randrange(1, 255)) for _ in range(4))) for i in range(STARTER_NODES)]
    signed = SignedNodeList(state("mainnet", nodes, height=2_000_000, time_ms=lists.NOW, part=True))
    for number in range(signers):
        signed = signed.signed_by(lists.signer(number))
    return encode(signed)


def test_a_starter_list_with_three_signatures_fits_one_message():
    assert len(to_uri(starter())) <= LONGEST_MESSAGE


def test_a_starter_list_fits_one_qr_code_that_can_be_scanned():
    code = segno.make(to_qr_text(starter()), error="l", boost_error=False, micro=False)
    assert code.mode == "alphanumeric"
    assert code.version <= 30  # of 40: 137 modules a side


# ---- DNS


@given(st.binary(min_size=1, max_size=3000), st.randoms())
def test_dns_records_come_in_any_order_and_among_others(data, rng: random.Random):
    records = [*to_txt(data), "v=spf1 -all", "rnl1 1/1 nonsense", "rnl1 3/2 00000000 AA"]
    rng.shuffle(records)
    assert from_txt(records) == data


def test_each_dns_record_is_one_string():
    assert max(map(len, to_txt(starter()))) <= 255


def test_a_record_missing_or_changed_is_noticed():
    records = to_txt(starter())
    with pytest.raises(ParseError):
        from_txt(records[1:])
    with pytest.raises(ParseError):
        from_txt([records[0][:-1] + ("A" if records[0][-1] != "A" else "B"), *records[1:]])
    with pytest.raises(ParseError):
        from_txt([])


def test_parts_of_two_lists_are_not_mixed():
    old, new = to_txt(starter(2)), to_txt(starter(3))
    assert from_txt([*old[:3], *new]) == starter(3)
    with pytest.raises(ParseError):
        from_txt([*old[:3], *new[3:]])


def test_a_list_too_large_for_dns_is_refused():
    with pytest.raises(TooLargeForForm):
        to_txt(bytes(MAX_PARTS * 200))
