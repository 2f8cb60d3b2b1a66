"""The recovery phrase: Monero's words over the account's entropy."""

import contextlib
import zlib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto import phrase
from ramson.crypto.account import AccountKeys
from ramson.crypto.phrase import BadChecksum, ImpossibleWords, PhraseError, UnknownWord, WrongWordCount

# identity.md, test vector
PHRASE = "virtual rounded dating itself sober fleet adrenalin puzzled wept rural axis fictional fleet"
ENTROPY = bytes.fromhex("7728d972721b98816a328c46c1995135")
WORDS = PHRASE.split()


def word_list() -> list[str]:
    return resources.files("ramson.crypto").joinpath("words_english.txt").read_text("ascii").splitlines()


def test_the_word_list_is_the_one_everybody_has():
    words = word_list()
    assert len(words) == 1626
    assert (words[0], words[-1]) == ("abbey", "zoom")
    assert words == sorted(words)
    assert all(word.isalpha() and word.islower() and len(word) > phrase.PREFIX for word in words)
    assert len({word[: phrase.PREFIX] for word in words}) == 1626


def test_the_documented_phrase():
    assert phrase.encode(ENTROPY) == PHRASE
    assert phrase.decode(PHRASE) == ENTROPY
    assert AccountKeys.from_entropy(phrase.decode(PHRASE)).id.hex == (
        "056c3d9682f167135d4c86b0af24e7aca98949380fa825e01455e788fe3df1d05c"
    )


@given(st.binary(min_size=16, max_size=16) | st.binary(min_size=32, max_size=32))
def test_every_entropy_comes_back_from_its_phrase(entropy):
    written = phrase.encode(entropy)
    words = written.split()
    assert len(words) == len(entropy) * 3 // 4 + 1
    assert set(words) <= set(word_list())
    assert phrase.decode(written) == entropy
    assert phrase.decode(" ".join(words[:-1])) == entropy


@pytest.mark.parametrize("entropy", [bytes(16), b"\xff" * 16, bytes(32), b"\xff" * 32])
def test_the_extremes_have_phrases_too(entropy):
    assert phrase.decode(phrase.encode(entropy)) == entropy


@pytest.mark.parametrize("size", [0, 4, 15, 20, 33])
def test_other_sizes_have_no_phrase(size):
    with pytest.raises(PhraseError, match=f"not {size}"):
        phrase.encode(bytes(size))


@pytest.mark.parametrize(
    "written",
    [
        PHRASE.upper(),
        "  " + PHRASE.replace(" ", "\n\t ") + "\n",
        PHRASE.title(),
        " ".join(word[:3] for word in WORDS),
        PHRASE.replace("rounded", "roundabout"),
    ],
)
def test_case_white_space_and_letters_after_the_third_do_not_matter(written):
    assert phrase.decode(written) == ENTROPY


@pytest.mark.parametrize("position", range(1, 14))
def test_an_unknown_word_is_named(position):
    words = [*WORDS]
    words[position - 1] = "Qqqqq"
    with pytest.raises(UnknownWord, match=f"word {position} ") as caught:
        phrase.decode(" ".join(words))
    assert (caught.value.word, caught.value.position) == ("qqqqq", position)


def test_two_letters_are_no_word():
    with pytest.raises(UnknownWord, match="word 1 "):
        phrase.decode("vi " + " ".join(WORDS[1:]))


@pytest.mark.parametrize(
    ("count", "problem"),
    [
        (0, "not enough words"),
        (1, "not enough words"),
        (11, "not enough words"),
        (14, "too many words"),
        (23, "too many words"),
        (26, "too many words"),
        (10_000, "too many words"),
    ],
)
def test_a_wrong_number_of_words_is_said_first(count, problem):
    with pytest.raises(WrongWordCount, match=problem) as caught:
        phrase.decode(" ".join(["nonsense"] * count))
    assert caught.value.count == count


def test_a_wrong_last_word_is_a_bad_checksum():
    with pytest.raises(BadChecksum):
        phrase.decode(" ".join([*WORDS[:-1], WORDS[0]]))


def test_words_in_another_order_are_a_bad_checksum():
    assert zlib.crc32("".join(w[:3] for w in WORDS[3:6] + WORDS[:3] + WORDS[6:12]).encode()) % 12 != 2
    with pytest.raises(BadChecksum):
        phrase.decode(" ".join(WORDS[3:6] + WORDS[:3] + WORDS[6:]))


def test_three_words_beyond_four_bytes_are_impossible():
    words = word_list()
    # 0 + 1626·1625 + 1626²·1625 is over 2³² − 1
    impossible = [words[0], words[1625], words[1624]]
    with pytest.raises(ImpossibleWords, match="words 4 to 6") as caught:
        phrase.decode(" ".join(WORDS[:3] + impossible + WORDS[6:12]))
    assert caught.value.position == 4


@pytest.mark.parametrize(
    "written",
    [
        PHRASE.replace("dating", "datting xyz"),
        PHRASE.replace("dating", "dxxting"),
        " ".join([*WORDS[:-1], WORDS[0]]),
        " ".join(WORDS[:7]),
    ],
)
def test_no_error_shows_a_word_of_the_phrase(written):
    with pytest.raises(PhraseError) as caught:
        phrase.decode(written)
    for text in (str(caught.value), repr(caught.value), caught.value.remedy):
        assert not set(written.split()) & set(text.lower().replace(",", " ").replace(".", " ").split())


@given(st.lists(st.sampled_from(word_list()) | st.text(max_size=5), max_size=26).map(" ".join))
def test_any_text_is_a_phrase_or_a_phrase_error(text):
    with contextlib.suppress(PhraseError):
        assert len(phrase.decode(text)) in (16, 32)
