"""The configuration file: every option explained, every mistake named with its line and its remedy."""

import contextlib
import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import LocalError
from ramson.node import settings
from ramson.node.settings import BY_KEY, OPTIONS, Settings, SettingsError, parse, parse_assignment, settle
from ramson.world import Endpoint

DOCS = Path(__file__).parents[2] / "docs" / "node.md"
CLOSED = {"network.file": "network.json", "network.name": "n0"}


def refusal(text):
    with pytest.raises(SettingsError) as caught:
        parse(text, file="node.toml")
    return str(caught.value), caught.value.remedy


def test_the_default_file_sets_nothing_and_means_what_it_shows():
    text = settings.default_file()
    assert parse(text) == {}
    uncommented = re.sub(r"(?m)^#(\w+ = )", r"\1", text)
    assert parse(uncommented) == {option.key: option.default for option in OPTIONS}
    for option in OPTIONS:
        assert option.explanation[:20] in text


def test_options_and_settings_are_the_same_list():
    assert [option.attribute for option in OPTIONS] == [field.name for field in fields(Settings)]
    assert len(BY_KEY) == len(OPTIONS)


def test_the_documentation_has_the_table_of_options():
    assert settings.table() in DOCS.read_text(), "put the output of ramson.node.settings.table() into docs/node.md"


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        (
            '[listen]\naddress = "x"\n\nhttps_port = "22021"\n',
            "node.toml, line 4: listen.https_port must be a whole number",
            "write, for example: https_port = 0",
        ),
        ("[listen]\nomq_port = 70000", "node.toml, line 2: listen.omq_port cannot be 70000", "from 0 to 65535"),
        ("[listen]\nomq_port = true", "listen.omq_port must be a whole number", "omq_port = 0"),
        (
            "[limits]\nconections = 5",
            "node.toml, line 2: there is no option limits.conections",
            "did you mean connections",
        ),
        ("database_mib = 5", "node.toml, line 1: there is no option database_mib", "in the section [limits]"),
        ("[nothing]\nat = 'all'", "there is no option nothing.at", "lists all options"),
        ("[tests]\npeers = 1", "node.toml, line 2: tests.peers must be true or false", "peers = true"),
        ('[log]\nlevel = "loud"', 'log.level cannot be "loud"', "one of debug, info, warning, error"),
        ("[log\nlevel = 3", "node.toml is not TOML", "a section is a line like [listen]"),
        ("data_dir = /var", "node.toml is not TOML", "texts need quotes"),
        ("data_dir = ['a']", "node.toml, line 1: data_dir must be a text", "data_dir = "),
        ("log = 5", "there is no option log", ""),
        ("[data_dir]\nx = 1", "data_dir must be a text", ""),
    ],
)
def test_mistakes_name_option_and_line_and_say_what_to_write(text, message, remedy):
    said, what_to_do = refusal(text)
    assert message in said
    assert remedy in what_to_do


@given(st.text(max_size=60))
def test_no_text_is_worse_than_refused(text):
    with contextlib.suppress(SettingsError):
        assert parse(text).keys() <= BY_KEY.keys()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("limits.connections=500", ("limits.connections", 500)),
        ("tests.peers = false", ("tests.peers", False)),
        ("metrics.listen=127.0.0.1:1", ("metrics.listen", "127.0.0.1:1")),
        ('data_dir="/a b"', ("data_dir", "/a b")),
    ],
)
def test_assignments(text, want):
    assert parse_assignment(text) == want


@pytest.mark.parametrize(
    "text", ["limits.connections", "limits.connections=many", "x=1", "", "tests.peers=1", "log.level=x"]
)
def test_assignments_that_are_refused(text):
    with pytest.raises(SettingsError):
        parse_assignment(text)


def test_the_command_line_wins_over_the_file_and_the_file_over_defaults():
    chosen = settle({**CLOSED, "limits.connections": 7, "log.level": "debug"}, {"limits.connections": 8})
    assert (chosen.limits_connections, chosen.log_level, chosen.limits_database_mib) == (8, "debug", 3584)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "nothing says who is in the network"),
        ({"network.file": "x"}, "network.name is missing"),
        ({**CLOSED, "network.oxend": "ipc:///x"}, "either of a network file or beside an oxend"),
        ({**CLOSED, "metrics.listen": "9100"}, "metrics.listen cannot be '9100'"),
    ],
)
def test_what_does_not_go_together(written, message):
    with pytest.raises(SettingsError, match=message) as caught:
        settle(written, {})
    assert caught.value.remedy


def test_limits_of_connections():
    config = settle({**CLOSED, "limits.connections": 70, "limits.connections_per_address": 9}, {}).node_config()
    assert (config.max_connections, config.max_connections_per_address) == (70, 9)


def test_the_nodes_configuration():
    chosen = settle({"network.oxend": "ipc:///x", "limits.database_mib": 2, "data_dir": "/d"}, {})
    config = chosen.node_config()
    assert (config.https, config.omq) == (Endpoint("0.0.0.0", 22021), Endpoint("0.0.0.0", 22020))
    assert (config.max_database_bytes, config.data_dir, config.metrics) == (2 * 1024 * 1024, Path("/d"), None)
    chosen = settle({"network.oxend": "ipc:///x", "network.testnet": True, "listen.omq_port": 5}, {})
    config = chosen.node_config()
    assert (config.https.port, config.omq.port, config.testnet) == (38155, 5, True)
    listed = settle({**CLOSED, "listen.address": "127.0.0.9"}, {}).node_config(("127.0.0.1", 1, 2), testnet=True)
    assert (listed.https, listed.omq, listed.testnet) == (Endpoint("127.0.0.9", 1), Endpoint("127.0.0.9", 2), True)


def test_metrics_are_for_this_machine_only():
    for host in ("127.0.0.1", "localhost", "[::1]", "127.9.9.9"):
        assert settle({**CLOSED, "metrics.listen": f"{host}:9100"}, {}).node_config().metrics.port == 9100
    for host in ("0.0.0.0", "192.0.2.1", "[::]", "example.org"):
        with pytest.raises(LocalError, match="loopback"):
            settle({**CLOSED, "metrics.listen": f"{host}:9100"}, {}).node_config()


def test_the_documented_default_file_is_toml_a_person_can_edit():
    text = settings.default_file()
    assert max(map(len, text.splitlines())) <= 110
    assert tomllib.loads(text) == {section: {} for section in dict.fromkeys(o.section for o in OPTIONS if o.section)}


def of_kind(option):
    if option.choices:
        return st.sampled_from(option.choices)
    if isinstance(option.default, bool):
        return st.booleans()
    return st.text() if isinstance(option.default, str) else st.integers(option.least, option.most)


@given(st.fixed_dictionaries({}, optional={option.attribute: of_kind(option) for option in OPTIONS}))
def test_settings_written_as_assignments_are_read_again(changes):
    chosen = replace(settle({}, CLOSED), **changes)
    read = dict(map(parse_assignment, settings.assignments(chosen)))
    assert {BY_KEY[key].attribute: value for key, value in read.items()} == {
        option.attribute: value for option in OPTIONS if (value := getattr(chosen, option.attribute)) != option.default
    }
