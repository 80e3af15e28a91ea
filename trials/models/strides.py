"""How often a network halves its input: as often as the input's edges allow, so that one
architecture serves cubes and patches of any legal size.
"""

from collections.abc import Sequence

# nnU-Net pools an axis only while that leaves at least 4 voxels. Isensee et al. 2021, supplement.
LEAST_EDGE = 4


Step = tuple[int, int, int]


def strides(edges: Sequence[int], most: int) -> list[Step]:
    """The stride of each halving, at most `most` of them: 2 along every axis whose half is whole
    and at least 4 voxels, else 1.

    128 is halved 5 times, 96 four times and 16 twice; one axis may be halved less often than
    another. No edges give `most` halvings of three axes.
    """
    depth, height, width = edges or [LEAST_EDGE * 2**most] * 3
    found: list[Step] = []
    while len(found) < most:
        step = (_step(depth), _step(height), _step(width))
        if max(step) == 1:
            break
        found.append(step)
        depth, height, width = depth // step[0], height // step[1], width // step[2]
    return found


def even_halvings(edges: Sequence[int], most: int) -> int:
    """How often all axes can be halved together, for networks that treat them alike."""
    return sum(min(step) == 2 for step in strides(edges, most))


def _step(edge: int) -> int:
    return 2 if edge % 2 == 0 and edge // 2 >= LEAST_EDGE else 1
