"""What final trials and other programs predict, and its scores."""
