"""What an operator may write into the configuration, and how a mistake is told."""

import re
import stat
import tomllib
from pathlib import Path

import pytest

from ramson.errors import LocalError
from ramson.node.private_files import NotPrivate
from ramson.servers.files.config import BadConfig, Ids, Limits, parse
from ramson.servers.files.storing import StorageMisconfigured
from ramson.servers.keys import ServerKeyError, ServerKeys
from ramson.world import Endpoint, real

EVERYTHING = """
listen = "127.0.0.1:8080"
directory = "/srv/files"
direct = false
ids = "numeric"

[limits]
max_file = 6000000
max_bytes = 1000000000
default_ttl_s = 86400
request_burst = 10

[postgres]
dsn = "dbname=files"

[s3]
endpoint = "https://s3.example.org"
bucket = "files"
access_key = "KEY"
secret_key = "hidden"
region = "eu-central-1"
prefix = "files/"

[versions]
desktop = "1.17.17"
"""


def test_everything_that_can_be_set():
    config = parse(EVERYTHING, environment={})
    assert config.listen == Endpoint("127.0.0.1", 8080)
    assert str(config.directory) == "/srv/files"
    assert config.direct is False
    assert config.ids is Ids.NUMERIC
    assert config.limits == Limits(max_file=6_000_000, max_bytes=10**9, default_ttl_s=86_400, request_burst=10.0)
    assert config.postgres == "dbname=files"
    assert config.bucket is not None
    assert config.bucket.credentials.secret_key == "hidden"
    assert config.versions == {"desktop": "1.17.17"}
    assert "hidden" not in repr(config)
    assert "dbname" not in repr(config)


def test_the_example_of_the_documentation_is_the_default():
    page = (Path(__file__).parents[2] / "docs" / "servers.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    config = parse(example, environment={"RAMSON_S3_SECRET_KEY": "hidden"})
    assert config.limits == Limits()
    assert (config.direct, config.ids) == (True, Ids.CONTENT)
    assert set(tomllib.loads(example)["limits"]) == set(Limits.__struct_fields__)


def test_arguments_and_environment_come_first(tmp_path):
    environment = {"RAMSON_POSTGRES": "dbname=other", "RAMSON_S3_SECRET_KEY": "from outside"}
    config = parse(EVERYTHING, directory=tmp_path, listen="[::]:80", environment=environment)
    assert config.directory == tmp_path
    assert config.listen == Endpoint("::", 80)
    assert config.postgres == "dbname=other"
    assert config.bucket.credentials.secret_key == "from outside"


def test_a_directory_is_enough(tmp_path):
    config = parse("", directory=tmp_path, environment={})
    assert (config.listen, config.limits, config.bucket) == (Endpoint("0.0.0.0", 80), Limits(), None)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "directory"),
        ("listen = \n", "line 1"),
        ("listen = 5", "listen"),
        ('directory = "x"\nlisten = "nowhere"', "nowhere"),
        ('directory = "x"\nlisten = "h:99999"', "99999"),
        ('directory = "x"\ncolour = "red"', "colour"),
        ('directory = "x"\nids = "names"', "ids"),
        ('directory = "x"\n[limits]\nmax_fil = 5', "max_fil"),
        ('directory = "x"\n[limits]\nmax_file = 0', "max_file"),
        ('directory = "x"\n[limits]\nmax_file = 20000000', "max_file"),
        ('directory = "x"\n[limits]\ndefault_ttl_s = 99999999', "default_ttl_s"),
        ('directory = "x"\n[limits]\nupload_burst_bytes = 5', "upload_burst_bytes"),
        ('directory = "x"\n[s3]\nendpoint = "http://h"\nbucket = "bucket"\naccess_key = "k"', "secret key"),
        ('directory = "x"\n[s3]\nbucket = "bucket"', "endpoint"),
    ],
)
def test_mistakes_are_named(text, names):
    with pytest.raises(BadConfig) as caught:
        parse(text, environment={})
    assert names in str(caught.value)


def test_a_bucket_that_cannot_be_is_refused():
    with pytest.raises(StorageMisconfigured):
        parse(EVERYTHING.replace("https://s3.example.org", "s3"), environment={})


def test_the_key_is_made_once_and_private(tmp_path):
    keys = ServerKeys.load_or_create(tmp_path / "server", real.world().entropy)
    path = tmp_path / "server" / "server_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert ServerKeys.load_or_create(tmp_path / "server", real.world().entropy) == keys
    assert keys.ed25519.seed.hex() not in repr(keys)
    path.chmod(0o644)
    with pytest.raises(NotPrivate):
        ServerKeys.load_or_create(tmp_path / "server", real.world().entropy)


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"zz" * 32, b"00" * 33])
def test_a_broken_key_file_is_never_replaced(tmp_path, content):
    (tmp_path / "server").mkdir(mode=0o700)
    path = tmp_path / "server" / "server_key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ServerKeyError) as caught:
        ServerKeys.load_or_create(tmp_path / "server", real.world().entropy)
    assert isinstance(caught.value, LocalError)
    assert path.read_bytes() == content
