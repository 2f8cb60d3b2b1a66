"""Bytes in, bytes out: keys, account ids, recovery phrase, sealing and onion ciphers.

No I/O, no clock, no randomness of its own, no network words.
"""
