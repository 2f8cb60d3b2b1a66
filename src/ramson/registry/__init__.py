"""Who is in the network: the node list and the seed service."""
