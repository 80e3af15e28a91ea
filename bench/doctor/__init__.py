"""segbench doctor: finds problems that would stop a run, on this machine, in a cluster file and on
every node, each with a fix.
"""
