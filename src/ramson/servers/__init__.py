"""The other servers of the network: what clients reach through onion paths beside the service nodes."""
