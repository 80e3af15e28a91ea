"""segbench doctor: what stands in the way of this machine and its data is found, and each finding
says what to do.
"""

import shutil
from dataclasses import replace

import pytest

from bench.doctor.cluster import rules_of_nodes, token_file
from bench.doctor.data import cache_findings, data_finding
from bench.doctor.findings import ERROR, FINE, WARNING, print_findings
from bench.doctor.machine import (
    FILES_OF_KITS23,
    GIB,
    MIB,
    Machine,
    listening_ports,
    machine_findings,
)
from bench.doctor.run import storage_finding
from bench.doctor.surroundings import (
    Surroundings,
    inspect_surroundings,
    surroundings_findings,
)
from bench.tuning.node_report import NodeReport

SOUND = Machine(
    python="3.11.7",
    versions={"torch": "2.14.1", "ray": "2.60.0"},
    missing=(),
    cuda="12.8",
    sees_gpu=True,
    driver="570.86.15",
    gpus=("NVIDIA A10G",),
    cores=4,
    memory=16 * GIB,
    shm=1024 * MIB,
    disk=100 * GIB,
    open_files=65536,
    open_ports=frozenset({22}),
)


@pytest.mark.parametrize(
    ("facts", "level", "told", "fix"),
    [
        ({"variables": {"RAY_ADDRESS": "127.0.0.1:6379"}}, WARNING, "127.0.0.1:6379", "--address"),
        ({"ray_folder": "/tmp/segbench-0/ray"}, FINE, "runs use /tmp/segbench-0/ray", ""),
        ({"no_ray_folder": "a long path; set RAY_TMPDIR"}, ERROR, "a long path", "set RAY_TMPDIR"),
        ({"user": ""}, FINE, "has no name here", ""),
        ({"home": ""}, WARNING, "there is none", "set HOME"),
        ({"can_write_home": False}, WARNING, "/home/me cannot be written", "set HOME"),
        ({"hides": ("bench.py",)}, WARNING, "bench.py in it would be imported", "segbench run"),
        ({"has_tilde": True}, WARNING, "a folder named ~", "./~"),
    ],
)
def test_what_surrounds_a_run_is_known(facts, level, told, fix):
    (finding,) = surroundings_findings(Surroundings(**{"home": "/home/me"} | facts))

    assert (finding.level, told in finding.message, fix in finding.fix) == (level, True, True)


def test_files_that_hide_our_packages_are_found(tmp_path):
    (tmp_path / "trials").mkdir()
    (tmp_path / "bench.py").touch()
    (tmp_path / "~").mkdir()

    found = inspect_surroundings(tmp_path)

    assert (found.hides, found.has_tilde) == (("bench.py", "trials"), True)


def test_a_sound_machine_has_nothing_to_mend():
    assert {finding.level for finding in machine_findings(SOUND)} == {FINE}


@pytest.mark.parametrize(
    ("facts", "level", "told", "fix"),
    [
        ({"python": "3.10.4"}, ERROR, "3.10.4 is too old", "3.11"),
        ({"missing": ("monai",)}, ERROR, "monai not installed", "pip install -e ."),
        (
            {"versions": {"ray": "2.53.0"}},
            ERROR,
            "2.53.0: anyone who reaches its dashboard can delete",
            "ray[tune]>=2.54",
        ),
        ({"cuda": ""}, ERROR, "built for CPUs only", "pytorch.org"),
        (
            {"driver": "470.57.02"},
            ERROR,
            "torch is built for CUDA 12.8, which needs driver 525.60.13 or newer",
            "driver",
        ),
        ({"cuda": "13.0"}, ERROR, "needs driver 580.65.06", "driver"),
        ({"sees_gpu": False}, ERROR, "torch sees none", "CUDA_VISIBLE_DEVICES"),
        ({"memory": 1 * GIB}, WARNING, "1.0 GiB free for 1 trials", "add memory"),
        ({"shm": 64 * MIB}, WARNING, "64 MiB; Ray needs 75", "--shm-size"),
        ({"disk": GIB // 2}, ERROR, "0.5 GiB free", "--out"),
        ({"disk": 3 * GIB}, WARNING, "take about 6", "--out"),
        (
            {"open_files": 256},
            ERROR,
            f"at most 256; KiTS23 needs {FILES_OF_KITS23}",
            f"ulimit -Hn {FILES_OF_KITS23}",
        ),
        (
            {"open_ports": frozenset({8265})},
            ERROR,
            "port 8265 (dashboard and jobs)",
            "--dashboard-host=127.0.0.1",
        ),
        ({"open_ports": frozenset({6379})}, WARNING, "port 6379 (cluster store)", "firewall"),
    ],
)
def test_f89_f92_a_fault_of_the_machine_is_found_with_its_fix(facts, level, told, fix):
    (found,) = [
        finding for finding in machine_findings(replace(SOUND, **facts)) if finding.level != FINE
    ]

    assert found.level == level
    assert told in found.message
    assert fix in found.fix


def test_f89_a_port_is_open_where_it_listens_on_every_address_of_either_kind():
    zeros = 32 * "0"
    table = f"""  sl  local_address rem_address   st tx_queue
   0: 00000000:2049 00000000:0000 0A 00000000:00000000
   1: 0100007F:18EB 00000000:0000 0A 00000000:00000000
   2: 00000000:0050 0100007F:9999 01 00000000:00000000
   3: {zeros}:18EB {zeros}:0000 0A 00000000:00000000"""

    assert listening_ports(table) == {0x2049, 0x18EB} == {8265, 6379}


def test_the_token_has_to_be_there_and_ones_own(tmp_path):
    path = tmp_path / "auth_token"
    assert token_file(path).level == ERROR
    path.write_text("abc")
    path.chmod(0o644)
    assert (token_file(path).level, token_file(path).fix) == (WARNING, f"chmod 600 {path}")
    path.chmod(0o600)
    assert token_file(path).level == FINE


def test_a_damaged_cube_is_found_by_its_digest(tmp_path, small_cache):
    root = shutil.copytree(small_cache.parents[1], tmp_path / "cache")
    assert [finding.level for finding in cache_findings(root)] == [FINE]
    cube = sorted(root.glob("*/cases/*.image.npy"))[3]
    whole = cube.read_bytes()
    cube.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    (found,) = cache_findings(root)

    assert found.level == ERROR
    assert f"1 of 12 cases in {root}" in found.message
    assert cube.name.partition("-")[0] in found.message


def test_an_empty_cache_and_a_folder_without_data_are_told(tmp_path):
    (cache,) = cache_findings(tmp_path)

    assert cache.level == WARNING
    assert data_finding(tmp_path).level == ERROR
    assert "segbench check" in data_finding(tmp_path).fix


def test_a_run_folder_that_is_missing_is_tried_and_missing_afterwards(tmp_path):
    assert storage_finding(tmp_path / "runs" / "full").level == FINE
    assert not list(tmp_path.iterdir())


def test_storage_that_one_node_does_not_see_is_an_error_that_names_it(tmp_path):
    sound = NodeReport(
        address="10.0.0.1", sees_driver=True, is_seen=True, versions={"ray": "2.60.0"}
    )
    apart = NodeReport(address="10.0.0.2", versions={"ray": "2.59.0"})

    assert [finding.level for finding in rules_of_nodes([sound], tmp_path)] == [FINE]
    storage, versions = rules_of_nodes([sound, apart], tmp_path)
    assert storage.level == ERROR
    assert (
        storage.message
        == f"{tmp_path} is not shared: 10.0.0.2 cannot see what the driver writes there"
    )
    assert "s3://" in storage.fix
    assert versions.level == WARNING


def test_a_node_without_an_answer_is_an_error_that_names_it(tmp_path):
    *_, lost = rules_of_nodes([NodeReport(address="10.0.0.3", lost="NodeDiedError")], tmp_path)

    assert (lost.level, lost.message) == (ERROR, "no answer from 10.0.0.3 (NodeDiedError)")


def test_every_finding_is_printed_with_its_fix_and_counted(tmp_path, capsys):
    findings = list(machine_findings(replace(SOUND, open_files=256, shm=MIB)))

    print_findings(findings, as_json=False)

    printed = capsys.readouterr().out
    assert all(finding.fix in printed for finding in findings)
    assert "1 errors, 1 warnings, 4 fine" in printed
