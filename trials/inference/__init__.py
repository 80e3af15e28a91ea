"""A trained network applied to whole cases."""
