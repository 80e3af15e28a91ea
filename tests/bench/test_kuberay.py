"""clusters/kuberay.yaml: Ray's autoscaler reads it and Kubernetes takes its pods, the driver counts
with the workers that it may start, nothing in it is privileged, and its image is the one that
clusters/Dockerfile makes.
"""

import re
from collections.abc import Iterator

import kubernetes_validate
import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement

from bench.tuning.driver import Cluster, full_size, most_gpus
from bench.tuning.ray_private import as_cluster_file, kuberay_file

JOB = yaml.safe_load((ROOT / "clusters" / "kuberay.yaml").read_text())
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
PODS = [group["template"]["spec"] for group in GROUPS]
DOCKERFILE = (ROOT / "clusters" / "Dockerfile").read_text()
LOCKED = dict(
    line.split("==")
    for line in (ROOT / "clusters" / "requirements.txt").read_text().splitlines()
    if not line.startswith("#")
)


@pytest.fixture
def config() -> dict:
    """The cluster as Ray's autoscaler reads it; the operator adds the metadata."""
    metadata = {"name": "segbench", "namespace": "default"}
    return dict(as_cluster_file({"metadata": metadata, "spec": CLUSTER}))


def test_the_driver_counts_with_the_workers_that_the_autoscaler_may_start(config):
    assert full_size(config) == Cluster(cpus=32, gpus=4.0)
    assert most_gpus([], config) == 1
    assert config["available_node_types"]["gpus"]["min_workers"] == 0


def test_the_head_trains_nothing(config):
    head = config["available_node_types"][config["head_node_type"]]["resources"]

    assert head["CPU"] == 0
    assert "GPU" not in head


def test_ray_would_refuse_a_worker_without_cores():
    worker = {**GROUPS[1], "template": {"spec": {"containers": [{"name": "worker"}]}}}
    cluster = {**CLUSTER, "workerGroupSpecs": [worker]}

    with pytest.raises(ValueError, match="failed to detect `CPU` resources for group gpus"):
        as_cluster_file({"metadata": {"name": "x", "namespace": "x"}, "spec": cluster})


def test_outside_of_kubernetes_there_is_no_cluster_file(monkeypatch):
    monkeypatch.delenv("RAY_CLUSTER_NAME", raising=False)
    assert kuberay_file() == {}


@pytest.mark.parametrize("version", ["1.28", "1.34"])
def test_kubernetes_takes_the_pods_of_every_group(version):
    for group in GROUPS:
        pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
        pod["metadata"] = {"name": group.get("groupName", "head")}

        kubernetes_validate.validate(pod, version, strict=True)
        pod["spec"] = {**pod["spec"], "runAsNonRoot": True}
        with pytest.raises(kubernetes_validate.ValidationError, match="'runAsNonRoot' was unexp"):
            kubernetes_validate.validate(pod, version, strict=True)


def containers() -> Iterator[dict]:
    for pod in PODS:
        yield from pod["containers"]
    yield CLUSTER["autoscalerOptions"]


def test_nothing_is_privileged_or_runs_as_root():
    for pod in PODS:
        own = pod["securityContext"]
        assert own["runAsNonRoot"]
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}
        assert f"--uid {own['runAsUser']} " in DOCKERFILE
        assert f"USER {own['runAsUser']}\n" in DOCKERFILE
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_token_comes_from_a_secret_and_stands_nowhere():
    assert CLUSTER["authOptions"] == {"mode": "token", "secretName": "segbench-token"}
    assert "RAY_AUTH" not in yaml.safe_dump(JOB)


def test_the_storage_is_one_claim_that_every_pod_mounts_where_the_run_looks():
    assert all(
        pod["volumes"] == [{"name": "shared", "persistentVolumeClaim": {"claimName": "segbench"}}]
        for pod in PODS
    )
    (mount,) = {part["mountPath"] for pod in PODS for part in pod["containers"][0]["volumeMounts"]}
    places = re.findall(r"--(?:data|cache|out) (\S+)", JOB["spec"]["entrypoint"])
    assert len(places) == 3
    assert all(place.startswith(f"{mount}/") for place in places)


def test_the_image_has_the_ray_of_the_file_and_what_the_project_needs():
    project = re.search(
        r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S
    )[1]

    assert LOCKED["ray"] == str(CLUSTER["rayVersion"])
    for text in re.findall(r'"(.+)"', project):
        needed = Requirement(text)
        assert LOCKED[needed.name] in needed.specifier, text
