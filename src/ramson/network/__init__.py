"""A client's way through the network: directory, paths, onion requests, swarms, mailbox operations."""
