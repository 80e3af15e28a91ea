"""One architecture a file; registry.py names them."""
