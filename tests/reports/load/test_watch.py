"""A page under a run that goes on: built at every change and only then, stamped while trials are
missing, left when it ends.
"""

import re

from made_up import MadeUp, all_results, write_result, write_run

from reports.build import build_report
from reports.load.watch import watch


def test_the_page_follows_the_run_to_its_end(tmp_path):
    made = MadeUp(seeds=(0,))
    first, *rest = all_results(made)[:3]
    out = write_run(tmp_path, made, [first])
    stamps, looks = [], []

    def rebuild():
        page = build_report(out, "none")
        stamps.append(re.search(r'class="stamp"[^>]*>(.*?)<', page.read_text())[1])
        return page

    def wait():
        looks.append(len(stamps))
        if len(looks) % 2 == 0 and rest:
            write_result(out, rest.pop())

    page = watch(out, rebuild, lambda: bool(rest), wait)

    assert page == out / "report.html"
    assert [int(stamp.split()[1]) for stamp in stamps] == [3, 2, 1]
    assert looks == [1, 1, 2, 2]


def test_a_run_that_has_ended_is_built_once(tmp_path):
    built = []

    def rebuild():
        built.append(1)
        return tmp_path

    watch(tmp_path, rebuild, lambda: False, lambda: built.append(2))

    assert built == [1]
