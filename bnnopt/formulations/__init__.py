"""Pyomo models of attack problems."""
