"""A service node: storage API, onion relay, mailbox database, replication."""
