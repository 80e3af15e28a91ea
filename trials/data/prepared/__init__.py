"""From checked cases to a cache of cubes, and its copy on a node."""
