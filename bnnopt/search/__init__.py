"""The compiled kernel: search over which first-layer neurons flip. Arrays only, no models."""

from __future__ import annotations

from bnnopt.search.cache import ensure_cache_folder

ensure_cache_folder()
