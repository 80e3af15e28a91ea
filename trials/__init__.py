"""Trains and scores one trial; needs neither Ray nor a grid."""
