"""Checks of a cluster file for `ray up`: open ports, a missing token, secrets, unsafe or different
versions of Ray, values left as in the example.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from bench.doctor.findings import Finding, error, fine, warning
from bench.doctor.machine import SAFE_RAY
from bench.doctor.safe_yaml import read_yaml

# Patterns of secrets: keys of AWS, private keys, tokens of Hugging Face and GitHub, and a Ray token
# in plain text.
SECRETS = {
    "an AWS key": r"\bA(?:KIA|SIA)[0-9A-Z]{12,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{8,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,})",
    "Ray's token": r"RAY_AUTH_TOKEN\s*=\s*[\"']?[^\s\"'$]",
}
# The keys that the rules below read, and their types, as in Ray's own schema: a mapping by its
# keys, a list by its items.
SOURCES = [{"CidrIp": str, "CidrIpv6": str}]
RULES = [{"IpRanges": SOURCES, "Ipv6Ranges": SOURCES, "FromPort": int, "ToPort": int}]
SHAPE: dict[str, Any] = {
    "provider": {"security_group": {"IpPermissions": RULES}},
    "file_mounts": {},
}
KINDS = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    int: "a whole number",
    type(None): "nothing",
}
ANYWHERE = ("0.0.0.0/0", "::/0")
SSH = 22
EXAMPLES = {
    r"\bami-0{6,}": "the machine image",
    r"\bfs-0{6,}": "the storage",
    r"\b192\.168\.1\.1[0-2]\b": "the machines' addresses",
}


def cluster_findings(path: Path) -> Iterator[Finding]:
    """Every rule on a cluster file. Raises ValueError where it cannot be read as one."""
    config, text = read_yaml(path), path.read_text(encoding="utf-8")
    wrong = list(
        wrong_types(config, SHAPE | {key: [str] for key in config if str(key).endswith("commands")})
    )
    findings = [*secrets(text), *(wrong or rules_on(config)), *examples(text)]
    yield from findings or [
        fine(str(path), "no open ports, a token, no secrets, one version of Ray")
    ]


def wrong_types(value: Any, shape: Any, where: str = "") -> Iterator[Finding]:
    """Values that no rule can read: a key that is not text, a value of a wrong type. The value is
    not shown, since it may be a secret.
    """
    kind: Any = shape if isinstance(shape, type) else type(shape)
    if not isinstance(value, kind):
        came = KINDS.get(type(value), f"of type {type(value).__name__}")
        yield error(
            "cluster file",
            f"{where} must be {KINDS[kind]}; got {came}",
            "write it as in cluster.yaml",
        )
    elif isinstance(shape, list):
        for number, part in enumerate(value):
            yield from wrong_types(part, shape[0], f"{where}[{number}]")
    elif isinstance(shape, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                message = f"every key of {where or 'the file'} must be text; got {key!r}"
                yield error("cluster file", message, "put it in quotes, or remove it")
            elif key in shape:
                yield from wrong_types(part, shape[key], f"{where}.{key}".strip("."))


def rules_on(config: Mapping[str, Any]) -> Iterator[Finding]:
    """The rules that read the values of the file, which all have the right type."""
    for rule in (dashboard, security_group, token, rays, autoscaler):
        yield from rule(config)


def commands(config: Mapping[str, Any], kind: str = "commands") -> list[str]:
    """The shell commands of a cluster file: all, or those under keys with this ending."""
    return [command for key, found in config.items() if key.endswith(kind) for command in found]


def secrets(text: str) -> Iterator[Finding]:
    """Lines that hold a secret; the finding names the line and the kind, never the secret."""
    for number, line in enumerate(text.splitlines(), 1):
        for kind, pattern in SECRETS.items():
            if re.search(pattern, line):
                fix = (
                    "remove it and revoke it where it was issued; give nodes rights by role, "
                    "and the Ray token by file_mounts"
                )
                yield error("secret", f"line {number} holds {kind}", fix)


def dashboard(config: Mapping[str, Any]) -> Iterator[Finding]:
    """A dashboard that listens on more than the head itself: anyone who connects can run code."""
    for command in commands(config, "ray_commands"):
        found = re.search(r"--dashboard-host[= ]+(\S+)", command)
        if found and found[1].strip("\"'") not in ("127.0.0.1", "localhost", "::1"):
            fix = "use --dashboard-host=127.0.0.1 and connect with `ray dashboard FILE`"
            yield error("dashboard", f"it listens on {found[1]}, where anyone can submit jobs", fix)


def security_group(config: Mapping[str, Any]) -> Iterator[Finding]:
    """AWS firewall rules that open more than SSH to the internet."""
    for rule in config.get("provider", {}).get("security_group", {}).get("IpPermissions", []):
        sources = [part.get("CidrIp") for part in rule.get("IpRanges", [])]
        sources += [part.get("CidrIpv6") for part in rule.get("Ipv6Ranges", [])]
        first, last = rule.get("FromPort", 0), rule.get("ToPort", 65535)
        if set(sources) & set(ANYWHERE) and (first, last) != (SSH, SSH):
            fix = "remove the rule; SSH is open without it, and `ray dashboard` uses SSH"
            yield error("ports", f"ports {first} to {last} are open to the internet", fix)


def token(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Ray's authentication: token mode on every node, and a token from the user's file."""
    text = "\n".join(commands(config))
    if not re.search(r"RAY_AUTH_MODE=[\"']?token", text):
        fix = (
            "export RAY_AUTH_MODE=token on every node, in initialization_commands, as in "
            "cluster.yaml"
        )
        yield error(
            "token",
            "RAY_AUTH_MODE=token is missing: anyone who reaches Ray's ports can run code",
            fix,
        )
    elif not any(str(place).endswith(".ray/auth_token") for place in config.get("file_mounts", {})):
        yield error(
            "token",
            "the token is not copied to the nodes",
            "add to file_mounts: ~/.ray/auth_token: ~/.ray/auth_token",
        )


def rays(config: Mapping[str, Any]) -> Iterator[Finding]:
    """The versions of Ray that the nodes install: there must be one, without vulnerabilities."""
    pinned = set(re.findall(r"\bray(?:\[[\w,]+\])?==([\w.]+)", "\n".join(commands(config))))
    if len(pinned) > 1:
        yield error(
            "ray",
            f"the nodes install {' and '.join(sorted(pinned))}",
            "install one version on every node",
        )
    if not pinned and any("pip install" in command for command in commands(config)):
        fix = "pin Ray, as in 'ray[default,tune]==2.60.0'"
        yield warning(
            "ray", "no version is pinned, but the nodes must run the version of this machine", fix
        )
    for version in sorted(pinned):
        try:
            unsafe = Version(version) < Version(SAFE_RAY)
        except InvalidVersion:
            unsafe = True
        if unsafe:
            yield error(
                "ray",
                f"{version}: anyone who reaches its dashboard can delete (CVE-2026-27482)",
                f"install {SAFE_RAY} or newer",
            )


def autoscaler(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Machines of your own need version 1 of the autoscaler: version 2 starts too few workers."""
    own = config.get("provider", {}).get("type") == "local"
    if own and not any(
        "RAY_enable_autoscaler_v2=0" in command
        for command in commands(config, "head_start_ray_commands")
    ):
        fix = "use RAY_enable_autoscaler_v2=0 ray start --head ..., as in clusters/onprem.yaml"
        yield warning("autoscaler", "version 2 never starts one of your workers", fix)


def examples(text: str) -> Iterator[Finding]:
    """Values that are still those of the example files."""
    for pattern, what in EXAMPLES.items():
        if found := re.search(
            pattern,
            "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")),
        ):
            yield warning(
                "values",
                f"{what}: {found[0]} is the value of the example",
                "change the values at the top of the file",
            )
