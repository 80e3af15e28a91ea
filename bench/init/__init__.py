"""A first grid file for one's own data: what they hold, settings that fit them, and the text."""
