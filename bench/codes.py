"""Exit codes of every verb."""

FINISHED, MENDABLE, WITH_FAILURES, INTERRUPTED = 0, 2, 3, 130
