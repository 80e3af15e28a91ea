"""Which trials are due, what they start from, and which are finished."""
