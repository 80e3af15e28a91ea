"""The labels' names and colours, as the two viewers read them."""

import re

from trials.inference.new_scans import itk_snap_labels, slicer_colours

CLASSES = ("background", "left kidney", 'the "big" one')


def test_itk_snap_gets_a_line_a_label_with_seven_numbers_and_a_quoted_name():
    lines = itk_snap_labels(CLASSES).splitlines()[1:]

    numbers = [list(map(float, line.split(' "')[0].split())) for line in lines]
    assert [row[0] for row in numbers] == [0, 1, 2]
    assert [row[4:] for row in numbers] == [[0, 0, 0], [1, 1, 1], [1, 1, 1]]
    assert [re.fullmatch(r'[^"]*"([^"]+)"', line)[1] for line in lines] == [
        *("background", "left kidney", "the 'big' one")
    ]


def test_slicer_gets_names_without_spaces_and_an_invisible_background():
    head, size, *lines = slicer_colours(CLASSES).splitlines()

    assert head.startswith("# Color table file")
    assert size == "# 3 values"
    assert [line.split()[1] for line in lines] == ["background", "left_kidney", 'the_"big"_one']
    assert [line.split()[5] for line in lines] == ["0", "255", "255"]
    assert len({tuple(line.split()[2:5]) for line in lines}) == 3
