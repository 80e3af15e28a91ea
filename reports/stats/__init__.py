"""Pure functions of arrays: intervals, tests, power."""
