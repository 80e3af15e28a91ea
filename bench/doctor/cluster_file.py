"""A cluster file for `ray up`: open doors, a missing token, secrets, an unsafe or second Ray,
values left as in the example.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from bench.doctor.findings import Finding, error, fine, warning
from bench.doctor.machine import SAFE_RAY
from bench.doctor.safe_yaml import read_yaml

# What gives a secret away: keys of AWS, private keys, tokens of Hugging Face and GitHub, a token of
# Ray written out.
SECRETS = {
    "an AWS key": r"\bA(?:KIA|SIA)[0-9A-Z]{12,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{8,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,})",
    "Ray's token": r"RAY_AUTH_TOKEN\s*=\s*[\"']?[^\s\"'$]",
}
# What the rules below read: a mapping by its keys, a list by what each of its parts is. So has
# Ray's own schema it.
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
        misshapen(config, SHAPE | {key: [str] for key in config if str(key).endswith("commands")})
    )
    findings = [*secrets(text), *(wrong or rules_on(config)), *examples(text)]
    yield from findings or [fine(str(path), "no open door, a token, no secret, one Ray")]


def misshapen(value: Any, shape: Any, where: str = "") -> Iterator[Finding]:
    """What no rule can read: a key that is no text, a value of another kind. The value is not told:
    it may be a secret.
    """
    kind: Any = shape if isinstance(shape, type) else type(shape)
    if not isinstance(value, kind):
        came = KINDS.get(type(value), f"of the type {type(value).__name__}")
        yield error(
            "cluster file",
            f"{where} must be {KINDS[kind]}; it is {came}",
            "write it as cluster.yaml does",
        )
    elif isinstance(shape, list):
        for number, part in enumerate(value):
            yield from misshapen(part, shape[0], f"{where}[{number}]")
    elif isinstance(shape, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                told = f"{where or 'the file'} has a key that must be text; got {key!r}"
                yield error("cluster file", told, "put it in quotes, or take it out")
            elif key in shape:
                yield from misshapen(part, shape[key], f"{where}.{key}".strip("."))


def rules_on(config: Mapping[str, Any]) -> Iterator[Finding]:
    """The rules that read the file's values, all of which are of their kinds."""
    for rule in (dashboard, security_group, token, rays, autoscaler):
        yield from rule(config)


def commands(config: Mapping[str, Any], kind: str = "commands") -> list[str]:
    """The shell commands of a cluster file, all or those under keys that end as asked."""
    return [command for key, listed in config.items() if key.endswith(kind) for command in listed]


def secrets(text: str) -> Iterator[Finding]:
    """A line that holds a secret; the finding names the line and the kind, never the secret."""
    for number, line in enumerate(text.splitlines(), 1):
        for kind, pattern in SECRETS.items():
            if re.search(pattern, line):
                fix = (
                    "take it out and revoke it where it was issued; nodes get rights by role, "
                    "and Ray's token by file_mounts"
                )
                yield error("secret", f"line {number} holds {kind}", fix)


def dashboard(config: Mapping[str, Any]) -> Iterator[Finding]:
    """A dashboard that listens on more than the head itself: whoever reaches it runs
    what he likes."""
    for command in commands(config, "ray_commands"):
        found = re.search(r"--dashboard-host[= ]+(\S+)", command)
        if found and found[1].strip("\"'") not in ("127.0.0.1", "localhost", "::1"):
            fix = "--dashboard-host=127.0.0.1, and reach it by `ray dashboard FILE`"
            yield error(
                "dashboard", f"it listens on {found[1]}, where anybody may submit jobs", fix
            )


def security_group(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Rules of AWS's firewall that admit the world to more than SSH."""
    for rule in config.get("provider", {}).get("security_group", {}).get("IpPermissions", []):
        sources = [part.get("CidrIp") for part in rule.get("IpRanges", [])]
        sources += [part.get("CidrIpv6") for part in rule.get("Ipv6Ranges", [])]
        first, last = rule.get("FromPort", 0), rule.get("ToPort", 65535)
        if set(sources) & set(ANYWHERE) and (first, last) != (SSH, SSH):
            fix = "drop the rule: SSH is open anyway, and `ray dashboard` goes through it"
            yield error("ports", f"ports {first} to {last} are open to the world", fix)


def token(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Ray's own door: token mode on every node, and a token that comes from the user's file."""
    told = "\n".join(commands(config))
    if not re.search(r"RAY_AUTH_MODE=[\"']?token", told):
        fix = (
            "export RAY_AUTH_MODE=token on every node, in initialization_commands; cluster.yaml "
            "shows how"
        )
        yield error(
            "token",
            "RAY_AUTH_MODE=token is missing: anyone who reaches Ray's ports can run code",
            fix,
        )
    elif not any(str(place).endswith(".ray/auth_token") for place in config.get("file_mounts", {})):
        yield error(
            "token",
            "the nodes are not given the token",
            "file_mounts: ~/.ray/auth_token: ~/.ray/auth_token",
        )


def rays(config: Mapping[str, Any]) -> Iterator[Finding]:
    """The versions of Ray that the nodes install: one, and one without known holes."""
    pinned = set(re.findall(r"\bray(?:\[[\w,]+\])?==([\w.]+)", "\n".join(commands(config))))
    if len(pinned) > 1:
        yield error(
            "ray", f"the nodes install {' and '.join(sorted(pinned))}", "one version on every node"
        )
    if not pinned and any("pip install" in command for command in commands(config)):
        fix = "pin Ray, as in 'ray[default,tune]==2.60.0'"
        yield warning(
            "ray", "no version is pinned, and the nodes must have the same as this machine", fix
        )
    for version in sorted(pinned):
        try:
            unsafe = Version(version) < Version(SAFE_RAY)
        except InvalidVersion:
            unsafe = True
        if unsafe:
            yield error(
                "ray",
                f"{version}: its dashboard deletes for anybody (CVE-2026-27482)",
                f"take {SAFE_RAY} or newer",
            )


def autoscaler(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Machines of one's own need the autoscaler's first version: the second starts one worker too
    few.
    """
    own = config.get("provider", {}).get("type") == "local"
    if own and not any(
        "RAY_enable_autoscaler_v2=0" in command
        for command in commands(config, "head_start_ray_commands")
    ):
        fix = "RAY_enable_autoscaler_v2=0 ray start --head ..., as in clusters/onprem.yaml"
        yield warning("autoscaler", "its second version leaves one of your workers out", fix)


def examples(text: str) -> Iterator[Finding]:
    """Values that stand as in the files of this project, which are nobody's."""
    for pattern, what in EXAMPLES.items():
        if found := re.search(
            pattern,
            "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")),
        ):
            yield warning(
                "values",
                f"{what}: {found[0]} is the example's",
                "change the values at the top of the file",
            )
