"""The fixture `printed`, a plugin of the tests that name it: a second conftest.py would take the
first one's place.
"""

import pytest
from printed_run import Printed, print_run


@pytest.fixture(scope="session")
def printed(tmp_path_factory) -> Printed:
    """The run of printed_run.py, built once."""
    return print_run(tmp_path_factory.mktemp("printed"))
