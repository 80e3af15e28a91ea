"""Everything that this project uses of Ray beyond its public interface, each with the reason. A new
version of Ray may move any of it: adapt it in this file.
"""

import contextlib
import io
import os
from collections.abc import Mapping
from typing import Any

import requests
from ray._private import ray_constants, worker
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.autoscaler._private.kuberay.node_provider import KubernetesHttpApiClient
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.experimental.internal_kv import _internal_kv_exists, _internal_kv_put

FORBIDDEN = 403


def bind_to_loopback() -> None:
    """Let a Ray that is started here listen on 127.0.0.1 alone, as on macOS and Windows: on Linux
    no public argument does that for all of its processes.
    """
    ray_constants.ENABLE_RAY_CLUSTER = False


def keep_quiet() -> None:
    """Let Ray say nothing of workers on standard output, where the report's path stands alone:
    log_to_driver=False alone leaves some of them.
    """
    worker._worker_logs_enabled = False


def put_flag(key: bytes) -> None:
    """Set a key in the cluster's own store: a public actor would take a core and could be lost."""
    _internal_kv_put(key, b"1")


def has_flag(key: bytes) -> bool:
    """Whether a key is in the cluster's own store."""
    return _internal_kv_exists(key)


def kuberay_file() -> Mapping[str, Any]:
    """The RayCluster on Kubernetes whose head this is, in the form of a cluster file; {} elsewhere,
    and where this pod may not read it: KubeRay lets the heads with an autoscaler do.

    Raises ValueError where Kubernetes does not answer.
    """
    name, namespace = os.environ.get("RAY_CLUSTER_NAME"), os.environ.get("RAY_CLUSTER_NAMESPACE")
    if not name or not namespace:
        return {}
    try:
        return as_cluster_file(KubernetesHttpApiClient(namespace).get(f"rayclusters/{name}"))
    except FileNotFoundError:  # no account is mounted
        return {}
    except requests.RequestException as wrong:
        if wrong.response is not None and wrong.response.status_code == FORBIDDEN:
            return {}
        raise ValueError(
            f"Kubernetes does not say which workers {name} may start: {wrong}; try again"
        ) from None


def as_cluster_file(ray_cluster: Mapping[str, Any]) -> Mapping[str, Any]:
    """A RayCluster in the form of a cluster file, as Ray's autoscaler reads it. Raises ValueError
    for one that it cannot read.
    """
    return _derive_autoscaling_config_from_ray_cr(dict(ray_cluster))


def launcher_complaint(config: Mapping[str, Any]) -> str:
    """Why `ray up` would refuse a cluster file, in one line; "" where it would take it. Nothing is
    started: `ray up` itself has no dry run.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            validate_config(prepare_config(dict(config)))
    except (Exception, SystemExit) as wrong:
        # The launcher raises what it likes, with the whole schema in its text, or prints and
        # leaves.
        told = (
            str(getattr(wrong, "message", ""))
            or printed.getvalue()
            or str(wrong)
            or type(wrong).__name__
        )
        return " ".join(told.split())[:300]
    return ""
