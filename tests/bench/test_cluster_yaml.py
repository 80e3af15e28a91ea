"""cluster.yaml is what Ray's launcher takes and what it says of itself: spot cards from none, one
storage, a token, SSH.
"""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.version import Version
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = ROOT / "cluster.yaml"
TEXT = FILE.read_text()
# Access keys, private keys, tokens of GitHub and Hugging Face, and any long run of hexadecimal that
# is not zeros.
SECRET = re.compile(
    r"AKIA|ASIA|BEGIN [A-Z ]*PRIVATE "
    r"KEY|gh[pousr]_\w|hf_\w|RAY_AUTH_TOKEN=|(?<![\w-])(?!0+\b)[0-9a-fA-F]{16,}\b"
)


@pytest.fixture
def cluster() -> dict:
    """The file as the launcher sees it, with Ray's defaults filled in."""
    return prepare_config(yaml.safe_load(TEXT))


def head_and_worker(cluster: dict) -> tuple[dict, dict]:
    """The head's node type and the only other one."""
    types = dict(cluster["available_node_types"])
    head = types.pop(cluster["head_node_type"])
    (worker,) = types.values()
    return head, worker


def test_ray_accepts_the_file(cluster):
    validate_config(cluster)


def test_ray_would_refuse_a_key_that_it_does_not_know(cluster):
    with pytest.raises(Exception, match="'storage' was unexpected"):
        validate_config(cluster | {"storage": "/shared"})


def test_workers_are_spot_cards_that_start_from_none(cluster):
    _, worker = head_and_worker(cluster)

    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert worker["node_config"]["InstanceType"].startswith("g5.")
    assert worker["min_workers"] == 0
    assert worker["max_workers"] == cluster["max_workers"] >= 1
    assert cluster["idle_timeout_minutes"] > 0
    assert any("--autoscaling-config=" in command for command in cluster["head_start_ray_commands"])


def test_the_head_is_on_demand_and_trains_nothing(cluster):
    head, _ = head_and_worker(cluster)

    assert "InstanceMarketOptions" not in head["node_config"]
    assert not head["node_config"]["InstanceType"].startswith(("g", "p"))
    assert head["resources"] == {"CPU": 0}


def test_nothing_is_opened_beside_ssh(cluster):
    nodes = [kind["node_config"] for kind in cluster["available_node_types"].values()]

    assert "security_group" not in cluster["provider"]
    assert not any("SecurityGroupIds" in node or "NetworkInterfaces" in node for node in nodes)
    assert "--dashboard-host=127.0.0.1" in " ".join(cluster["head_start_ray_commands"])
    assert "0.0.0.0" not in TEXT


def test_every_shell_has_the_token_mode_and_no_usage_statistics(cluster, tmp_path):
    export = next(
        command for command in cluster["initialization_commands"] if "RAY_AUTH_MODE" in command
    )
    (tmp_path / ".bashrc").touch()
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    for _ in range(2):
        subprocess.run(["bash", "-c", export], env=home, check=True)
    shell = subprocess.run(
        ["bash", "-c", "source ~/.bashrc; env"],
        env=home,
        check=True,
        capture_output=True,
        text=True,
    )

    assert (tmp_path / ".bashrc").read_text().count("\n") == 1
    assert {"RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0"} <= set(shell.stdout.splitlines())
    assert f"PATH={tmp_path}/venv/bin:/usr/bin:/bin" in shell.stdout.splitlines()
    assert "--disable-usage-stats" in " ".join(cluster["head_start_ray_commands"])


def test_the_token_comes_from_the_users_own_file_and_is_readable_by_its_owner_alone(cluster):
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in cluster["initialization_commands"][0]


def test_no_secret_stands_in_the_file():
    assert SECRET.search(TEXT) is None


@pytest.mark.parametrize(
    "leak",
    [
        "AKIA" + 16 * "X",
        "-----BEGIN RSA PRIVATE KEY-----",
        "RAY_AUTH_TOKEN=abc",
        4 * "0123456789abcdef",
    ],
)
def test_a_secret_would_be_seen(leak):
    assert SECRET.search(f"{TEXT}\n  - export TOKEN {leak}\n")


def test_the_storage_is_named_once_and_mounted_on_every_node(cluster):
    address = re.search(r"fs-\w+\.efs\.[\w.-]+", cluster["metadata"]["storage"])[0]

    assert TEXT.count(address) == TEXT.count("&storage") == TEXT.count("*storage") == 1
    commands = cluster["initialization_commands"]
    mount = next(number for number, command in enumerate(commands) if "mount -t nfs4" in command)
    assert commands.index(cluster["metadata"]["storage"]) < mount
    assert '"$(cat ~/storage):/" /shared' in commands[mount]


def test_what_a_user_changes_stands_at_the_top():
    top, rest = TEXT.split("# ---- The machines")

    assert set(re.findall(r"&(\w+) ", top)) == {"cards", "region", "zones", "image", "storage"}
    assert set(re.findall(r": \*(\w+)|- \*(\w+)", rest)) >= {
        ("region", ""),
        ("zones", ""),
        ("image", ""),
        ("", "storage"),
    }
    assert not re.search(r"us-west|ami-|\bfs-", rest)


def test_the_nodes_get_this_folder_as_git_sees_it(cluster):
    assert cluster["file_mounts"]["~/segbench"] == "."
    assert cluster["rsync_filter"] == [".gitignore"]
    assert cluster["rsync_exclude"] == []
    assert {"runs/", ".venv/"} <= set((ROOT / ".gitignore").read_text().split())


def test_one_ray_is_installed_and_it_knows_tokens(cluster):
    (pinned,) = set(re.findall(r"ray\[[\w,]+\]==([\d.]+)", TEXT))

    # Tokens came with 2.52; 2.54 closed the dashboard's unauthenticated DELETE (CVE-2026-27482).
    assert Version(pinned) >= Version("2.54")
    assert any(f"=={pinned}'" in command for command in cluster["worker_setup_commands"])
    assert (
        cluster["head_setup_commands"][: len(cluster["worker_setup_commands"])]
        == cluster["worker_setup_commands"]
    )


@pytest.mark.slow
def test_the_launcher_fills_in_a_simulated_account(cluster, tmp_path, monkeypatch):
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto")
    from ray.autoscaler._private.commands import _bootstrap_config

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "simulated")
    monkeypatch.setenv("HOME", str(tmp_path))
    region = cluster["provider"]["region"]

    with moto.mock_aws():
        make_role(boto3.client("iam", region))
        started = _bootstrap_config(cluster, no_config_cache=True)
        groups = {
            group
            for kind in head_and_worker(started)
            for group in kind["node_config"]["SecurityGroupIds"]
        }
        rules = [
            rule
            for group in groups
            for rule in boto3.resource("ec2", region).SecurityGroup(group).ip_permissions
        ]

    _, worker = head_and_worker(started)
    assert worker["resources"]["GPU"] == 1
    assert worker["resources"]["accelerator_type:A10G"] == 1
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert [
        (rule["FromPort"], rule["ToPort"])
        for rule in rules
        if rule["IpRanges"] or rule["Ipv6Ranges"]
    ] == [(22, 22)]
    assert {pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]} == groups
    assert Path(started["auth"]["ssh_private_key"]).is_relative_to(tmp_path)


def make_role(iam) -> None:
    """The role that the launcher makes on first use; with it there, nothing has to be
    waited for."""
    name = "ray-autoscaler-v1"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
