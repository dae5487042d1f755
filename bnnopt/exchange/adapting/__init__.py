"""What foolbox and ART have in common for us."""
