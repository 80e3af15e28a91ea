"""segbench doctor: what stands in the way is found in real files or in facts, and each finding says what to do."""

import json
import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cli import main
from bench.doctor.client import token_file
from bench.doctor.cluster_file import cluster_findings
from bench.doctor.data import cache_findings, data_finding
from bench.doctor.findings import ERROR, FINE, WARNING, errors, print_findings
from bench.doctor.machine import FILES_OF_KITS23, GIB, MIB, Machine, listening, machine_findings
from bench.doctor.nodes import rules
from bench.doctor.run import file_findings
from bench.doctor.safe_yaml import read_yaml
from bench.tuning.launcher import complaint
from bench.tuning.sight import Sight

SOUND = Machine(
    python="3.11.7",
    versions={"torch": "2.14.1", "ray": "2.60.0"},
    missing=(),
    cuda="12.8",
    sees_card=True,
    driver="570.86.15",
    cards=("NVIDIA A10G",),
    cores=4,
    memory=16 * GIB,
    shm=1024 * MIB,
    disk=100 * GIB,
    open_files=65536,
    open_ports=frozenset({22}),
)
FILES = (ROOT / "cluster.yaml", ROOT / "clusters" / "onprem.yaml")


def test_a_sound_machine_has_nothing_to_mend():
    assert {finding.level for finding in machine_findings(SOUND)} == {FINE}


@pytest.mark.parametrize(
    ("facts", "level", "told", "fix"),
    [
        ({"python": "3.10.4"}, ERROR, "3.10.4 is too old", "3.11"),
        ({"missing": ("monai",)}, ERROR, "monai missing", "pip install -e ."),
        ({"versions": {"ray": "2.53.0"}}, ERROR, "2.53.0: its dashboard deletes for anybody", "ray[tune]>=2.54"),
        ({"cuda": ""}, ERROR, "built for processors alone", "pytorch.org"),
        ({"driver": "470.57.02"}, ERROR, "CUDA 12.8, for which torch is built, needs driver 525.60.13", "driver"),
        ({"cuda": "13.0"}, ERROR, "needs driver 580.65.06", "driver"),
        ({"sees_card": False}, ERROR, "torch sees none", "CUDA_VISIBLE_DEVICES"),
        ({"memory": 1 * GIB}, WARNING, "1.0 GiB free for 1 trials", "more"),
        ({"shm": 64 * MIB}, WARNING, "64 MiB; Ray needs 75", "--shm-size"),
        ({"disk": GIB // 2}, ERROR, "0.5 GiB free", "--out"),
        ({"disk": 3 * GIB}, WARNING, "take about 6", "--out"),
        ({"open_files": 256}, ERROR, f"at most 256; KiTS23 needs {FILES_OF_KITS23}", f"ulimit -Hn {FILES_OF_KITS23}"),
        ({"open_ports": frozenset({8265})}, ERROR, "port 8265 (dashboard and jobs)", "--dashboard-host=127.0.0.1"),
        ({"open_ports": frozenset({6379})}, WARNING, "port 6379 (cluster store)", "firewall"),
    ],
)
def test_f89_f92_a_fault_of_the_machine_is_found_with_its_fix(facts, level, told, fix):
    (found,) = [finding for finding in machine_findings(replace(SOUND, **facts)) if finding.level != FINE]

    assert found.level == level
    assert told in found.message
    assert fix in found.fix


def test_f89_a_port_is_open_where_it_listens_on_every_address_of_either_kind():
    table = """  sl  local_address rem_address   st tx_queue
   0: 00000000:2049 00000000:0000 0A 00000000:00000000
   1: 0100007F:18EB 00000000:0000 0A 00000000:00000000
   2: 00000000:0050 0100007F:9999 01 00000000:00000000
   3: 00000000000000000000000000000000:18EB 00000000000000000000000000000000:0000 0A 00000000:00000000"""

    assert listening(table) == {0x2049, 0x18EB} == {8265, 6379}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_our_own_cluster_files_have_nothing_to_mend_but_their_example_values(file):
    findings = list(cluster_findings(file))

    assert complaint(read_yaml(file)) == ""
    assert {finding.level for finding in findings} == {WARNING}
    assert all("is the example's" in finding.message for finding in findings)


def onprem(tmp_path: Path, old: str, new: str) -> Path:
    """clusters/onprem.yaml with real addresses and one change."""
    text = FILES[1].read_text()
    assert old in text
    file = tmp_path / "my.yaml"
    file.write_text(text.replace("192.168.1.", "10.0.0.").replace(old, new))
    return file


def test_a_file_with_its_own_values_is_fine(tmp_path):
    (found,) = cluster_findings(onprem(tmp_path, "researcher", "me"))

    assert found.level == FINE


# Put together here, so that no secret, not even a false one, stands in this file.
LEAKS = {
    "an AWS key": "AK" + "IA" + 16 * "X",
    "a private key": "-----" + "BEGIN RSA PRIVATE KEY-----",
    "a Hugging Face token": "hf" + "_" + 20 * "x",
    "a GitHub token": "gh" + "p_" + 20 * "x",
    "Ray's token": "RAY_AUTH_" + "TOKEN=abc",
}


@pytest.mark.parametrize(("kind", "leak"), LEAKS.items(), ids=list(LEAKS))
def test_f90_a_secret_is_found_by_its_line_and_never_printed(tmp_path, kind, leak):
    (found,) = cluster_findings(onprem(tmp_path, "cluster_name: segbench\n", f"cluster_name: segbench\n# {leak}\n"))

    assert found.level == ERROR
    assert kind in found.message
    assert found.message.startswith("line ")
    assert leak not in found.message + found.fix


@pytest.mark.parametrize(
    ("old", "new", "level", "told"),
    [
        ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", ERROR, "it listens on 0.0.0.0"),
        ("--dashboard-host=127.0.0.1", "--dashboard-host 10.0.0.10", ERROR, "it listens on 10.0.0.10"),
        ("RAY_AUTH_MODE=token", "HERE=1", ERROR, "RAY_AUTH_MODE=token is missing"),
        ("  ~/.ray/auth_token: ~/.ray/auth_token\n", "", ERROR, "not given the token"),
        ("ray[default,tune]==2.60.0", "ray[default,tune]==2.53.0", ERROR, "2.53.0: its dashboard deletes"),
        ("ray[default,tune]==2.60.0", "ray[default,tune]", WARNING, "no version is pinned"),
        ("RAY_enable_autoscaler_v2=0 ", "", WARNING, "leaves one of your workers out"),
    ],
)
def test_a_fault_of_a_cluster_file_is_found(tmp_path, old, new, level, told):
    (found,) = cluster_findings(onprem(tmp_path, old, new))

    assert found.level == level
    assert told in found.message
    assert found.fix


@pytest.mark.parametrize("source", ["IpRanges: [{CidrIp: 0.0.0.0/0}]", "Ipv6Ranges: [{CidrIpv6: '::/0'}]"])
@pytest.mark.parametrize(("port", "is_open"), [(8265, True), (22, False)])
def test_a_port_open_to_the_world_is_found_in_awss_firewall(tmp_path, source, port, is_open):
    rule = f"{{FromPort: {port}, ToPort: {port}, {source}}}"
    file = onprem(tmp_path, "  type: local\n", f"  type: local\n  security_group: {{IpPermissions: [{rule}]}}\n")

    assert [f"ports {port} to {port}" in found.message for found in errors(cluster_findings(file))] == [True] * is_open


def told_by_doctor(file: Path, capsys) -> list[str]:
    """What `segbench doctor --cluster` says must be mended; it always ends by itself, with exit code 2."""
    assert main(["doctor", "--json", "--cluster", str(file)]) == 2
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert all(finding["fix"] for finding in findings if finding["level"] == ERROR)
    return [finding["message"] for finding in findings if finding["level"] == ERROR]


RULE = "provider.security_group.IpPermissions"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("provider: 3", "provider must be a mapping; it is a whole number"),
        ("provider:", "provider must be a mapping; it is nothing"),
        ("provider: {security_group: null}", "provider.security_group must be a mapping; it is nothing"),
        ("provider: {security_group: {IpPermissions: null}}", f"{RULE} must be a list; it is nothing"),
        ("provider: {security_group: {IpPermissions: [3]}}", f"{RULE}[0] must be a mapping; it is a whole number"),
        ("provider: {security_group: {IpPermissions: [{IpRanges: null}]}}", f"{RULE}[0].IpRanges must be a list"),
        ("provider: {security_group: {IpPermissions: [{IpRanges: [x]}]}}", f"{RULE}[0].IpRanges[0] must be a mapping"),
        (
            "provider: {security_group: {IpPermissions: [{IpRanges: [{CidrIp: [1]}]}]}}",
            f"{RULE}[0].IpRanges[0].CidrIp must be text; it is a list",
        ),
        ("provider: {security_group: {IpPermissions: [{FromPort: '22'}]}}", f"{RULE}[0].FromPort must be a whole number"),
        ("provider: {3: x}", "provider has a key that must be text; got 3"),
        ("3: x", "the file has a key that must be text; got 3"),
        ("file_mounts: [a]", "file_mounts must be a mapping; it is a list"),
        ("setup_commands: pip install ray", "setup_commands must be a list; it is text"),
        ("head_start_ray_commands: [3]", "head_start_ray_commands[0] must be text"),
        ("a: 2026-13-45", "holds a value that is none: month must be in 1..12; put it in quotes"),
    ],
)
def test_a_value_of_another_kind_is_told_by_its_key_and_never_ends_in_a_traceback(tmp_path, capsys, text, told):
    file = tmp_path / "my.yaml"
    file.write_text(text)

    assert any(told in message for message in told_by_doctor(file, capsys))


def test_a_secret_in_a_value_of_another_kind_is_not_printed(tmp_path):
    leak = LEAKS["a GitHub token"]
    file = tmp_path / "my.yaml"
    file.write_text(f"setup_commands: export TOKEN={leak}")

    assert leak not in repr(list(file_findings(file)))


KEYS = ("provider", "security_group", "IpPermissions", "IpRanges", "Ipv6Ranges", "CidrIp", "FromPort", "file_mounts", "type")
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=4))
ANY_KEY = st.one_of(st.sampled_from([*KEYS, "setup_commands", "head_start_ray_commands"]), st.integers(), st.none())
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_KEY, inner, max_size=4), max_leaves=12
)


@given(config=st.dictionaries(ANY_KEY, VALUES, max_size=5))
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_whatever_a_cluster_file_holds_its_faults_are_findings(tmp_path_factory, config):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(yaml.safe_dump(config))

    assert errors(file_findings(file))


def test_a_cluster_file_that_is_a_pipe_is_told_and_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.yaml")

    assert any("is a pipe, a socket or a device" in told for told in told_by_doctor(tmp_path / "pipe.yaml", capsys))


TRAPS = {
    "a: 1\nb:\n  c: 2\n  c: 3\n": "the key 'c' stands in line 3 and again in line 4",
    "a: 1\nb: 2\na: 3\n": "the key 'a' stands in line 1 and again in line 3",
    "a: !!python/object/apply:os.system ['touch ran']\n": "line 1: the tag",
    "a: !mine 3\n": "line 1: the tag",
    "a: &x [*x]\n": "*x stands for nothing that ends before it",
    "a: *nothing\n": "*nothing stands for nothing",
    "a: [1, 2\n": "is not YAML",
    "- a\n- b\n": "holds no mapping",
    "": "holds no mapping",
    "a: " + 60 * "[" + 60 * "]": "nested more than 50 deep",
    "a: " + 2**20 * "x": "bytes; a cluster file has at most 1,048,576",
    # Nine levels of nine aliases: 43 million nodes in 300 bytes.
    "l0: &l0 [x, x]\n" + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 9)): "is it a bomb?",
}


@pytest.mark.parametrize(("text", "told"), TRAPS.items(), ids=[told[:24] for told in TRAPS.values()])
def test_f56_f57_a_trap_in_yaml_is_refused_before_it_grows_or_runs(tmp_path, monkeypatch, capsys, text, told):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "trap.yaml"
    file.write_text(text)
    tracemalloc.start()

    with pytest.raises(ValueError, match=r".") as refused:
        read_yaml(file)

    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert grown < 20 * MIB
    assert any(told in message for message in told_by_doctor(file, capsys))
    assert [path.name for path in tmp_path.iterdir()] == ["trap.yaml"]


def test_a_key_that_rays_schema_does_not_know_is_told_as_ray_tells_it():
    config = read_yaml(FILES[0])

    assert "'storage'" in complaint({**config, "storage": "/shared"})
    assert complaint({**config, "head_node_type": "none"})


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


def test_storage_that_one_node_does_not_see_is_an_error_that_names_it(tmp_path):
    sound = Sight(address="10.0.0.1", sees_driver=True, is_seen=True, versions={"ray": "2.60.0"})
    apart = Sight(address="10.0.0.2", versions={"ray": "2.59.0"})

    assert [finding.level for finding in rules([sound], tmp_path)] == [FINE]
    storage, versions = rules([sound, apart], tmp_path)
    assert storage.level == ERROR
    assert storage.message == f"{tmp_path} is not shared: 10.0.0.2 cannot see what the driver writes there"
    assert "s3://" in storage.fix
    assert versions.level == WARNING


def test_a_node_without_an_answer_is_an_error_that_names_it(tmp_path):
    *_, lost = rules([Sight(address="10.0.0.3", lost="NodeDiedError")], tmp_path)

    assert (lost.level, lost.message) == (ERROR, "no answer from 10.0.0.3 (NodeDiedError)")


def test_something_to_mend_is_exit_code_2(tmp_path, capsys):
    file = onprem(tmp_path, "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0")

    assert main(["doctor", "--json", "--out", str(tmp_path), "--cluster", str(file)]) == 2
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any("0.0.0.0" in finding["message"] and finding["level"] == ERROR for finding in findings)


def test_every_finding_is_printed_with_its_fix_and_counted(tmp_path, capsys):
    findings = list(machine_findings(replace(SOUND, open_files=256, shm=MIB)))

    print_findings(findings, as_json=False)

    printed = capsys.readouterr().out
    assert all(finding.fix in printed for finding in findings)
    assert "1 to mend, 1 to look at, 4 fine" in printed
