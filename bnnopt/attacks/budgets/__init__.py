"""Smallest distances by attacks within budgets that grow or shrink; budgets relaxed."""
