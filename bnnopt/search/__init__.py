"""The compiled kernel: search over which first-layer neurons flip. Arrays only, no models."""
