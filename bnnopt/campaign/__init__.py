"""Campaigns: a grid of attacks that survives anything, on one machine or many."""
