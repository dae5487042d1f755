"""Networks as they are read: what every element of a tensor is, until signs become neurons."""
