"""The process and its machine: workers, memory, time and the versions of packages."""
