"""How many files a process may hold open."""

import resource

# What a trial opens besides its data.
OTHERS = 256


def allow_open_files(number: int, what: str) -> None:
    """Let this process hold so many files open for what, and a few more: a map of a file keeps a
    descriptor, and those of 489 cases pass the usual 1024. Raises ValueError where it may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = number + OTHERS
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(
            f"{what} need {needed} open files, and the limit is {hard}; raise it (ulimit -Hn "
            f"{needed})"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
