"""What one GPU reaches: steps against bare loops, a grid of trials through the real command, and
the demo.
"""
