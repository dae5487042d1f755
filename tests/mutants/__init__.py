"""Mutation tests: does every small error in the code that proofs rest on make a test fail?

``make mutants`` runs a fixed sample; ``python -m tests.mutants --help`` says what else there is.
`files.toml` names the code and the tests that must notice, `equivalent.toml` the mutants that
change no claim, each with its reason.
"""
