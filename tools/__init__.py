"""What makes the documentation: run notebooks, and the hooks of its site."""
