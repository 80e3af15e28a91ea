"""segbench doctor on a cluster's file: its faults, its secrets and its traps are findings, never a
traceback.
"""

import json
import os
import tracemalloc
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cli import main
from bench.doctor.cluster_file import cluster_findings
from bench.doctor.findings import ERROR, FINE, WARNING, errors
from bench.doctor.machine import MIB
from bench.doctor.run import file_findings
from bench.doctor.safe_yaml import read_yaml
from bench.tuning.ray_private import launcher_complaint

FILES = (ROOT / "cluster.yaml", ROOT / "clusters" / "onprem.yaml")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_our_own_cluster_files_have_nothing_to_mend_but_their_example_values(file):
    findings = list(cluster_findings(file))

    assert launcher_complaint(read_yaml(file)) == ""
    assert {finding.level for finding in findings} == {WARNING}
    assert all("is the value of the example" in finding.message for finding in findings)


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
    (found,) = cluster_findings(
        onprem(tmp_path, "cluster_name: segbench\n", f"cluster_name: segbench\n# {leak}\n")
    )

    assert found.level == ERROR
    assert kind in found.message
    assert found.message.startswith("line ")
    assert leak not in found.message + found.fix


@pytest.mark.parametrize(
    ("old", "new", "level", "told"),
    [
        ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", ERROR, "it listens on 0.0.0.0"),
        (
            "--dashboard-host=127.0.0.1",
            "--dashboard-host 10.0.0.10",
            ERROR,
            "it listens on 10.0.0.10",
        ),
        ("RAY_AUTH_MODE=token", "HERE=1", ERROR, "RAY_AUTH_MODE=token is missing"),
        ("  ~/.ray/auth_token: ~/.ray/auth_token\n", "", ERROR, "not copied to the nodes"),
        (
            "ray[default,tune]==2.60.0",
            "ray[default,tune]==2.53.0",
            ERROR,
            "2.53.0: anyone who reaches its dashboard can delete",
        ),
        ("ray[default,tune]==2.60.0", "ray[default,tune]", WARNING, "no version is pinned"),
        ("RAY_enable_autoscaler_v2=0 ", "", WARNING, "never starts one of your workers"),
    ],
)
def test_a_fault_of_a_cluster_file_is_found(tmp_path, old, new, level, told):
    (found,) = cluster_findings(onprem(tmp_path, old, new))

    assert found.level == level
    assert told in found.message
    assert found.fix


@pytest.mark.parametrize(
    "source", ["IpRanges: [{CidrIp: 0.0.0.0/0}]", "Ipv6Ranges: [{CidrIpv6: '::/0'}]"]
)
@pytest.mark.parametrize(("port", "is_open"), [(8265, True), (22, False)])
def test_a_port_open_to_the_world_is_found_in_awss_firewall(tmp_path, source, port, is_open):
    rule = f"{{FromPort: {port}, ToPort: {port}, {source}}}"
    file = onprem(
        tmp_path,
        "  type: local\n",
        f"  type: local\n  security_group: {{IpPermissions: [{rule}]}}\n",
    )

    assert [
        f"ports {port} to {port}" in found.message for found in errors(cluster_findings(file))
    ] == [True] * is_open


def told_by_doctor(file: Path, capsys) -> list[str]:
    """What `segbench doctor --cluster` says must be fixed; it always ends by itself, with exit
    code 2.
    """
    assert main(["doctor", "--json", "--cluster", str(file)]) == 2
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert all(finding["fix"] for finding in findings if finding["level"] == ERROR)
    return [finding["message"] for finding in findings if finding["level"] == ERROR]


RULE = "provider.security_group.IpPermissions"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("provider: 3", "provider must be a mapping; got a whole number"),
        ("provider:", "provider must be a mapping; got nothing"),
        (
            "provider: {security_group: null}",
            "provider.security_group must be a mapping; got nothing",
        ),
        (
            "provider: {security_group: {IpPermissions: null}}",
            f"{RULE} must be a list; got nothing",
        ),
        (
            "provider: {security_group: {IpPermissions: [3]}}",
            f"{RULE}[0] must be a mapping; got a whole number",
        ),
        (
            "provider: {security_group: {IpPermissions: [{IpRanges: null}]}}",
            f"{RULE}[0].IpRanges must be a list",
        ),
        (
            "provider: {security_group: {IpPermissions: [{IpRanges: [x]}]}}",
            f"{RULE}[0].IpRanges[0] must be a mapping",
        ),
        (
            "provider: {security_group: {IpPermissions: [{IpRanges: [{CidrIp: [1]}]}]}}",
            f"{RULE}[0].IpRanges[0].CidrIp must be text; got a list",
        ),
        (
            "provider: {security_group: {IpPermissions: [{FromPort: '22'}]}}",
            f"{RULE}[0].FromPort must be a whole number",
        ),
        ("provider: {3: x}", "every key of provider must be text; got 3"),
        ("3: x", "every key of the file must be text; got 3"),
        ("file_mounts: [a]", "file_mounts must be a mapping; got a list"),
        ("setup_commands: pip install ray", "setup_commands must be a list; got text"),
        ("head_start_ray_commands: [3]", "head_start_ray_commands[0] must be text"),
        ("a: 2026-13-45", "holds an invalid value: month must be in 1..12; put it in quotes"),
    ],
)
def test_a_value_of_another_kind_is_told_by_its_key_and_never_ends_in_a_traceback(
    tmp_path, capsys, text, told
):
    file = tmp_path / "my.yaml"
    file.write_text(text)

    assert any(told in message for message in told_by_doctor(file, capsys))


def test_a_secret_in_a_value_of_another_kind_is_not_printed(tmp_path):
    leak = LEAKS["a GitHub token"]
    file = tmp_path / "my.yaml"
    file.write_text(f"setup_commands: export TOKEN={leak}")

    assert leak not in repr(list(file_findings(file)))


KEYS = (
    "provider",
    "security_group",
    "IpPermissions",
    "IpRanges",
    "Ipv6Ranges",
    "CidrIp",
    "FromPort",
    "file_mounts",
    "type",
)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=4)
)
ANY_KEY = st.one_of(
    st.sampled_from([*KEYS, "setup_commands", "head_start_ray_commands"]), st.integers(), st.none()
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_KEY, inner, max_size=4),
    max_leaves=12,
)


@given(config=st.dictionaries(ANY_KEY, VALUES, max_size=5))
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
def test_whatever_a_cluster_file_holds_its_faults_are_findings(tmp_path_factory, config):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(yaml.safe_dump(config))

    assert errors(file_findings(file))


def test_a_cluster_file_that_is_a_pipe_is_told_and_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.yaml")

    assert any(
        "is a pipe, a socket or a device" in told
        for told in told_by_doctor(tmp_path / "pipe.yaml", capsys)
    )


TRAPS = {
    "a: 1\nb:\n  c: 2\n  c: 3\n": "the key 'c' is in line 3 and again in line 4",
    "a: 1\nb: 2\na: 3\n": "the key 'a' is in line 1 and again in line 3",
    "a: !!python/object/apply:os.system ['touch ran']\n": "line 1: tags are not allowed",
    "a: !mine 3\n": "line 1: tags are not allowed",
    "a: &x [*x]\n": "*x refers to no value that ends before it",
    "a: *nothing\n": "*nothing refers to no value",
    "a: [1, 2\n": "is not YAML",
    "- a\n- b\n": "must hold a mapping",
    "": "must hold a mapping",
    "a: " + 60 * "[" + 60 * "]": "nested more than 50 levels",
    "a: " + 2**20 * "x": "must have at most 1,048,576 bytes; got",
    # Nine levels of nine aliases: 43 million nodes in 300 bytes.
    "l0: &l0 [x, x]\n"
    + "".join(
        f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 9)
    ): "write fewer aliases",
}


@pytest.mark.parametrize(
    ("text", "told"), TRAPS.items(), ids=[told[:24] for told in TRAPS.values()]
)
def test_f56_f57_a_trap_in_yaml_is_refused_before_it_grows_or_runs(
    tmp_path, monkeypatch, capsys, text, told
):
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

    assert "'storage'" in launcher_complaint({**config, "storage": "/shared"})
    assert launcher_complaint({**config, "head_node_type": "none"})


def test_something_to_mend_is_exit_code_2(tmp_path, capsys):
    file = onprem(tmp_path, "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0")

    assert main(["doctor", "--json", "--out", str(tmp_path), "--cluster", str(file)]) == 2
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any(
        "0.0.0.0" in finding["message"] and finding["level"] == ERROR for finding in findings
    )
