"""The world as it is: sockets, the machine's clock and its randomness."""
