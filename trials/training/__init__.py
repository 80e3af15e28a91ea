"""One training run: built, trained, resumed, and ended."""
