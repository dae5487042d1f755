"""The verification competition's interface: its three scripts, and a list of instances run."""
