"""Account files as the first version made them: one database, whose key is derived from the passphrase."""

import os
import random

from ramson.messenger import sealed_database, vault
from ramson.messenger.vault import KeyCost


def make(path, passphrase, fill):
    cost = KeyCost(1, 13)
    salt = cost.salt(random.SystemRandom())
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sealed_database.connect(path, vault.derive(passphrase, salt, cost), salt)
    try:
        fill(connection)
    finally:
        connection.close()
    return path
