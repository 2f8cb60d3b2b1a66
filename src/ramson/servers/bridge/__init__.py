"""A web bridge: a web site that also carries sealed onion requests to guards.  docs/bridge.md."""
