"""The first screen: the answers to the run's questions, what to use, and what can be resolved."""
