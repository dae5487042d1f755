"""Figures and pages of results; needs matplotlib."""
