"""Whether a network that was read gives what its source gives."""
