"""segbench doctor: what stands in the way of a run, on this machine, in a cluster file, on every
node; each with its fix.
"""
