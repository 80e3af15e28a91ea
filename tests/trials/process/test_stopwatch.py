"""A stopwatch counts what happens inside its blocks and nothing else."""

import time

import torch

from trials.process.environment import Stopwatch


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_only_the_blocks_count():
    watch = Stopwatch(torch.device("cpu"))
    started = time.perf_counter()
    for _ in range(2):
        with watch:
            spin(0.01)
    inside = time.perf_counter() - started
    spin(0.05)

    assert 0.02 <= watch.seconds() <= inside
    assert watch.seconds() == watch.seconds()
