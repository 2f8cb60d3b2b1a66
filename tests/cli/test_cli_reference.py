"""The command-line page is what the commands say of themselves."""

from pathlib import Path

from ramson.cli.reference import write


def test_the_page_is_fresh():
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text() == write(), "run: python -m ramson.cli.reference > docs/cli.md"
