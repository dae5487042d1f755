"""What a torch module does to an image, recorded and read."""
