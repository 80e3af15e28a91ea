"""Exit codes of every verb."""

FINISHED, USER_ERROR, WITH_FAILURES = 0, 2, 3
# 128 and the number of the signal, as shells say it.
HUNG_UP, INTERRUPTED, TERMINATED = 129, 130, 143
