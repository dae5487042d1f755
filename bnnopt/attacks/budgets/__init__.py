"""Smallest distances by attacks within budgets that grow or are bisected; budgets relaxed."""
