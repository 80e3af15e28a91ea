"""What a grid unfolds into, and what it is refused for."""
