"""The method table is made from the declarations and names everything."""

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
