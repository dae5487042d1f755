"""Scripts that measure; each runs on its own, from anywhere."""
