"""Life in a swarm: handing mail over when swarms change, and repairing what members are missing of each other's."""
