"""The method table is made from the declarations and names everything."""

from pathlib import Path

from ramson.protocol.storage.requests import METHODS
from ramson.protocol.storage.table import markdown


def test_every_method_and_parameter_is_in_the_table():
    page = markdown()
    for method in METHODS.values():
        assert f"\n## {method.name}\n" in page
        for field in method.fields:
            for name in (field.name, *field.aliases):
                assert f"`{name}`" in page
    assert "delete_before" in page
    assert "before at most +60 s from now, else 401" in page


def test_the_documentation_is_not_stale():
    """Else: python -m ramson.protocol.storage.table > docs/storage-rpc.md."""
    page = Path(__file__).parents[2] / "docs" / "storage-rpc.md"
    assert page.read_text(encoding="utf-8") == markdown()
