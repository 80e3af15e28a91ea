"""Cases at one physical spacing: which, and how their files are brought to it."""
