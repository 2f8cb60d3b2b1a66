"""An error as a person sees it."""

import pytest

from ramson.errors import LocalError, in_one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (LocalError("there is none", remedy="make one"), "There is none. Make one"),
        (LocalError("there is none.", remedy="Run: ramson nodes keygen"), "There is none. Run: ramson nodes keygen"),
        (LocalError("note.txt is no list"), "note.txt is no list."),
        (LocalError("/tmp is no list"), "/tmp is no list."),
        (LocalError(""), "Something went wrong."),
    ],
)
def test_what_went_wrong_stands_before_what_to_do(error, line):
    assert in_one_line(error) == line
