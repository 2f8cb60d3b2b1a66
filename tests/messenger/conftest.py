import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ramson.crypto.account import AccountKeys
from ramson.messenger.store import Store
from ramson.messenger.vault import KeyCost

sys.path.insert(0, str(Path(__file__).parent))  # tests share what is beside them and are no package

CHEAP = KeyCost(passes=1, memory=13)
PASSPHRASE = "correct horse"


@pytest.fixture
def alice() -> AccountKeys:
    return AccountKeys.generate(random.Random(1))


@pytest.fixture
def bob() -> AccountKeys:
    return AccountKeys.generate(random.Random(2))


@pytest.fixture
def file(tmp_path: Path, alice: AccountKeys) -> Path:
    """The account file of alice."""
    path = tmp_path / "alice.ramson"
    Store.create(path, PASSPHRASE, alice, name="Alice", now_ms=1, entropy=random.Random(3), cost=CHEAP)
    return path


@pytest.fixture
def reopen(file: Path) -> Iterator[Callable[[], Store]]:
    """Open the file of alice, as after a restart."""
    opened: list[Store] = []

    def open_again() -> Store:
        for store in opened:
            store.close()
        opened.append(Store.open(file, PASSPHRASE, entropy=random.Random(0)))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Store:
    return reopen()
