"""How well a host's GPUs are: Xid errors by two routes, what still stands of them, who is missing."""
