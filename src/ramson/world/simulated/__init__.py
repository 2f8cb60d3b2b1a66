"""A world in virtual time: one event loop, an in-memory network, one seed."""
