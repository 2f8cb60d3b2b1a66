"""A whole network of processes and sockets on one machine."""
