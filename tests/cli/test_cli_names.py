"""What people are called on the screen, and who is meant by a name that is typed."""

import random

import pytest

from ramson.cli.names import BadNickname, Names, NoSuchName, read_person
from ramson.crypto.account import AccountId, AccountIdError, AccountKeys
from ramson.protocol.config import Contact

ME = AccountKeys.generate(random.Random(0)).id
BOB = AccountId.parse("05b0b00a" + "11" * 25 + "00b0b0b0")
EVE = AccountId.parse("05e7e0e1" + "22" * 25 + "00e7e7e7")
TWIN = AccountId.parse("05b0b00a" + "33" * 25 + "ffb0b0b0")  # of Bob: it begins and ends alike
BOBS, EVES = "05b0b00a…b0b0b0", "05e7e0e1…e7e7e7"


def names(*people: tuple[AccountId, str, str]) -> Names:
    """People as (id, what they call themselves, what we call them)."""
    return Names(ME, [Contact(who, name=name, nickname=nickname) for who, name, nickname in people])


# What Bob calls himself, what we call him, the same of Eve, and how Bob is shown.
TABLE = {
    "what we call somebody stands alone": ("Robert", "Bob", "Eve", "", "Bob"),
    "with blanks and capitals as we gave it": ("", "my Bob ", "", "", "my Bob "),
    "what they call themselves stands behind their id": ("Robert", "", "Eve", "", f"{BOBS} “Robert”"),
    "who has no name has an id": ("", "", "Eve", "", BOBS),
    "a name that cannot be seen is none": ("\u200b \u2060", "", "", "", BOBS),
    "a nickname that cannot be seen is none": ("Robert", "\u200b", "", "", f"{BOBS} “Robert”"),
    "one name of two people": ("Al", "", "Al", "", f"{BOBS} “Al”"),
    "one nickname of two people": ("", "Al", "", "Al", f"{BOBS} Al"),
    "in other letters": ("", "Al", "", "\uff21L", f"{BOBS} Al"),
    "with something between that cannot be seen": ("", "Al", "", "A\u200bl", f"{BOBS} Al"),
    "a nickname that somebody else gives themselves": ("", "Al", " AL", "", f"{BOBS} Al"),
    "also where we call that one otherwise": ("", "Al", "Al", "Eve", f"{BOBS} Al"),
    "a nickname like the own name": ("Bob", "Bob", "", "", "Bob"),
    "their name is our nickname of another": ("Mum", "", "", "Mum", f"{BOBS} “Mum”"),
    "their name is what we are called": ("you", "", "", "", f"{BOBS} “you”"),
    "we call somebody what we are called": ("", "You", "", "", f"{BOBS} You"),
    "or as the notes": ("", "note to self", "", "", f"{BOBS} note to self"),
    "their name is an id": (EVE.hex, "", "", "", f"{BOBS} “{EVE.hex}”"),
    "their name is a short id": (EVES, "", "", "", f"{BOBS} “{EVES}”"),
    "our nickname looks like an id": ("", EVES, "", "", f"{BOBS} {EVES}"),
    "their name ends the name and begins a message": ("Al”: hi “x", "", "", "", f'{BOBS} “Al": hi "x”'),
    "terminal control": ("\x1b[2JAl", "", "", "", f"{BOBS} “�[2JAl”"),
    "lines": ("Al\nMum:\thi\r\u2028x", "", "", "", f"{BOBS} “Al�Mum:�hi��x”"),
    "other direction": ("\u202elA\u2066", "", "", "", f"{BOBS} “�lA�”"),
    "control in our nickname": ("", "A\x9bl", "", "", f"{BOBS} A�l"),
    "direction in our nickname": ("Robert", "\u202elA", "", "", f"{BOBS} �lA"),
}


@pytest.mark.parametrize(("own", "ours", "eves", "ours_of_eve", "shown"), TABLE.values(), ids=TABLE)
def test_how_somebody_is_shown(own, ours, eves, ours_of_eve, shown):
    people = names((BOB, own, ours), (EVE, eves, ours_of_eve))
    assert people.shown(BOB) == shown
    assert people.listed(BOB).startswith(f"{BOB.hex}  ")
    for each in (people.shown(BOB), people.listed(BOB)):
        assert "\n" not in each
        assert each.isprintable()
    assert people.fields(BOB) == {"nickname": ours, "profile_name": own}  # programs get it as it is


def test_in_a_list_the_whole_id_comes_first():
    people = names((BOB, "Robert", "Bob"), (EVE, "Bob", ""), (TWIN, "", ""))
    assert people.listed(BOB) == f"{BOB}  Bob"
    assert people.listed(EVE) == f"{EVE}  “Bob”"
    assert people.listed(TWIN) == f"{TWIN}  (no name)"
    assert people.listed(ME) == f"{ME}  Note to Self"


def test_we_are_you_and_strangers_have_an_id():
    people = names((BOB, "Robert", "Bob"))
    assert people.shown(ME) == "you"
    assert people.shown(EVE) == EVES
    assert people.fields(EVE) == {"nickname": "", "profile_name": ""}


def test_ids_that_begin_and_end_like_another_s_are_shown_whole():
    people = names((BOB, "Bob", ""), (TWIN, "Bob", ""))
    assert people.shown(BOB) == f"{BOB} “Bob”"
    assert people.shown(TWIN) == f"{TWIN} “Bob”"
    assert names((BOB, "Bob", "")).short(TWIN) == TWIN.hex  # a stranger's, or a mistyped one
    assert names((BOB, "Bob", "")).short(BOB) == BOBS


@pytest.mark.parametrize("typed", ["Bob", "bob", "BOB", " bob ", "B\u200bob", "\uff22ob"])
def test_a_nickname_is_taken_in_any_case(typed):
    assert names((BOB, "Robert", "Bob"), (EVE, "Bob", "")).meant(typed) == BOB


def test_a_nickname_of_several_words_and_other_alphabets():
    people = names((BOB, "", "Große  Schwester"), (EVE, "", "Ёлка"))
    assert people.meant("GROSSE SCHWESTER") == BOB
    assert people.meant("ёлка") == EVE


def test_an_id_means_itself_whoever_is_called_so():
    assert names((BOB, "", EVE.hex)).meant(read_person(f" {EVE.hex.upper()} ")) == EVE


@pytest.mark.parametrize("typed", ["Robert", "Bo", "Bobb", "", " ", "you", "Note to Self", "\u200b"])
def test_nothing_else_is_taken(typed):
    with pytest.raises(NoSuchName):
        names((BOB, "Robert", "Bob"), (EVE, "", "")).meant(typed)


@pytest.mark.parametrize(
    ("typed", "fit"),
    [
        ("Bbo", "Did you mean Bob?"),
        ("sister", "Did you mean my big sister?"),
        ("Bo", "Did you mean Bob?"),
        ("Robert", "those that people give themselves are not taken"),
    ],
)
def test_an_unknown_name_is_told_with_what_would_fit(typed, fit):
    people = names((BOB, "Robert", "Bob"), (EVE, "", "my big sister"), (TWIN, "Robert", ""))
    with pytest.raises(NoSuchName, match=f"you call nobody “{typed}”") as caught:
        people.meant(typed)
    assert fit in caught.value.remedy
    assert "\n" not in f"{caught.value}{caught.value.remedy}"


def test_a_name_of_two_people_is_told_with_their_ids():
    with pytest.raises(NoSuchName, match="you call 2 people “al”") as caught:
        names((BOB, "Robert", "Al"), (EVE, "", "AL"), (TWIN, "Al", "")).meant("al")
    assert caught.value.remedy.endswith(f"{BOB} “Robert”; {EVE}.")


@pytest.mark.parametrize(
    "typed", ["05abc", "05b0b00a…b0b0b0", BOB.hex[:-1], BOB.hex + "0", BOB.hex[2:], "05" + "g" * 64]
)
def test_what_can_only_be_an_id_is_told_without_the_account(typed):
    with pytest.raises(AccountIdError):
        read_person(typed)


@pytest.mark.parametrize("typed", ["Ada", "0", "", "bob 05", "deadbeef"])
def test_everything_else_may_be_a_nickname(typed):
    assert read_person(typed) == typed


@pytest.mark.parametrize(
    "nickname", ["you", "Note to self", EVES, "05 Bob", "a\nb", "\u202eBob", "\x1b[2J", " ", "\u200b", "eve", "EVE "]
)
def test_a_nickname_that_would_not_tell_who_that_is_is_not_given(nickname):
    with pytest.raises(BadNickname):
        names((BOB, "Robert", "Bob"), (EVE, "", "Eve")).check_nickname(BOB, nickname)


@pytest.mark.parametrize("nickname", ["Bob", "bob", "", "Robert", "👩‍👧", "Ада", "Twin"])
def test_a_nickname_that_tells_is_given_also_when_somebody_calls_themselves_that(nickname):
    people = names((BOB, "Robert", "Bob"), (EVE, "", "Eve"), (TWIN, "Twin", ""))
    people.check_nickname(BOB, nickname)


def test_nobody_unknown_gets_a_nickname():
    with pytest.raises(BadNickname):
        names((BOB, "Robert", "Bob")).check_nickname(EVE, "Eve")
