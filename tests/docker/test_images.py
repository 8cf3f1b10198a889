"""The Compose file and the Dockerfiles: accepted by the real tools, and true to what they promise."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKER = ROOT / "docker"
OURS = {"web", "scoring", "scheduler", "migrate", "baselines-cpu", "baselines-gpu"}


def tool(name: str) -> str:
    """A command that the development extra installs beside Python; its absence is a failure, not a skip."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, f"{name} is not installed: make setup"
    return found


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("docker-compose"), "-f", str(DOCKER / "compose.yaml"), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    profiles = [part for name in ("cpu", "gpu", "proxy") for part in ("--profile", name)]
    shown = compose(*profiles, "config", "--format", "json", POSEBOARD_URL="https://pose.example.org")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


@pytest.mark.parametrize("profile", ["cpu", "gpu", "proxy"])
def test_compose_accepts_the_file(profile):
    checked = compose("--profile", profile, "config", "-q", POSEBOARD_URL="https://pose.example.org")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_address_has_no_default():
    refused = compose("config", "-q")
    assert refused.returncode != 0
    assert "the address people open" in refused.stderr


@pytest.mark.parametrize("dockerfile", sorted(path.name for path in DOCKER.glob("*.Dockerfile")))
def test_hadolint_finds_nothing(dockerfile):
    checked = subprocess.run([tool("hadolint"), str(DOCKER / dockerfile)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def sources(service: dict[str, Any]) -> set[str]:
    return {volume["source"] for volume in service.get("volumes", [])}


def test_only_workers_see_annotations(services):
    with_annotations = {name for name, service in services["services"].items() if "annotations" in sources(service)}
    assert with_annotations == {"scoring", "baselines-cpu", "baselines-gpu"}
    for name in ("baselines-cpu", "baselines-gpu"):
        (mount,) = [v for v in services["services"][name]["volumes"] if v["source"] == "annotations"]
        assert mount["read_only"] is True


def test_the_web_process_sees_which_weights_are_there_and_changes_none(services):
    mounts = {v["source"]: v for v in services["services"]["web"]["volumes"]}
    assert set(mounts) == {"uploads", "drop", "checkpoints"}
    assert mounts["checkpoints"]["read_only"] is True


def test_what_sees_annotations_has_no_way_out(services):
    assert services["networks"]["inside"]["internal"] is True
    outside = {name for name, service in services["services"].items() if "outside" in service["networks"]}
    assert outside == {"web", "proxy"}


def test_every_service_is_sandboxed(services):
    for name, service in services["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert int(service["mem_limit"]) > 0, name
        assert "privileged" not in service, name
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else []), name
        assert name == "migrate" or service["healthcheck"]["test"], name


def test_only_the_proxy_listens_to_the_world(services):
    published = {
        name: [(port.get("host_ip", ""), port["published"]) for port in service["ports"]]
        for name, service in services["services"].items()
        if service.get("ports")
    }
    assert published == {"web": [("127.0.0.1", "8000")], "proxy": [("", "80"), ("", "443")]}


def test_no_secret_is_in_the_environment(services):
    for name, service in services["services"].items():
        for variable, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN", variable)
            assert not secret or (variable.endswith("_FILE") and value.startswith("/run/secrets/")), (name, variable)
            assert "://poseboard:" not in (value or ""), (name, variable)


def test_one_gpu_only_where_asked_for(services):
    assert services["services"]["baselines-gpu"]["profiles"] == ["gpu"]
    assert services["services"]["baselines-cpu"]["profiles"] == ["cpu"]
    devices = services["services"]["baselines-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert [device["capabilities"] for device in devices] == [["gpu"]]


def test_each_queue_has_its_worker():
    text = (DOCKER / "worker.Dockerfile").read_text()
    assert re.findall(r'"-Q", "(\w+)"', text) == ["baseline", "score"]


def extras(dockerfile: str, stage: str) -> set[str]:
    """What pip installs up to the end of a stage that is built on those before it."""
    text = (DOCKER / dockerfile).read_text()
    stages = re.split(r"(?m)^FROM ", text)
    chosen = next(part for part in stages if part.splitlines()[0].endswith(f"AS {stage}"))
    return set(re.findall(r'"\.\[([\w,]+)\]"', chosen))


def test_web_and_scoring_install_no_torch():
    assert extras("web.Dockerfile", "libraries") == {"server"}
    assert extras("worker.Dockerfile", "libraries") == {"server"}
    assert extras("worker.Dockerfile", "libraries-with-torch") == {"server,baselines"}
    assert "torch" not in (DOCKER / "web.Dockerfile").read_text().split("\n", 1)[1]


@pytest.mark.parametrize("dockerfile", ["web.Dockerfile", "worker.Dockerfile"])
def test_no_image_runs_as_root(dockerfile):
    for stage in re.split(r"(?m)^FROM ", (DOCKER / dockerfile).read_text()):
        assert "\nCMD " not in stage or "\nUSER 10001\n" in stage


def test_only_listed_files_go_to_the_builder():
    first, *rules = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    names = {line.lstrip("!").split("/")[0] for line in rules if line.startswith("!")}
    assert names.isdisjoint({"data", "secrets", "tests", ".git", ".venv"})
    copied = {
        word.rstrip("/").split("/")[-1] if word.startswith("docker/") else word
        for path in DOCKER.glob("*.Dockerfile")
        for line in path.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert copied <= {line.lstrip("!").removeprefix("docker/") for line in rules}


def test_a_secret_comes_from_its_file(tmp_path):
    (tmp_path / "key").write_text("from the file\n")
    shown = subprocess.run(
        ["sh", str(DOCKER / "entrypoint.sh"), "sh", "-c", 'echo "$POSEBOARD_SECRET_KEY|$DATABASE_URL|$*"', "sh", "a b"],
        env={
            "PATH": os.environ["PATH"],
            "POSEBOARD_SECRET_KEY_FILE": str(tmp_path / "key"),
            "DATABASE_URL": "postgres://x",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "from the file|postgres://x|a b\n"
    missing = subprocess.run(
        ["sh", str(DOCKER / "entrypoint.sh"), "true"],
        env={"PATH": os.environ["PATH"], "PGPASSWORD_FILE": str(tmp_path / "none")},
        capture_output=True,
        check=False,
    )
    assert missing.returncode != 0


def test_web_believes_the_proxy_s_network_and_nothing_else(services):
    """Whoever is on it comes through the proxy, or from a proxy on the host by its gateway."""
    networks, services = services["networks"], services["services"]
    subnet = networks["outside"]["ipam"]["config"][0]["subnet"]
    assert services["web"]["environment"]["POSEBOARD_TRUSTED_PROXIES"] == subnet
    assert {name for name, service in services.items() if "outside" in service["networks"]} == {"web", "proxy"}
    assert {port["host_ip"] for port in services["web"]["ports"]} == {"127.0.0.1"}
    assert "ipam" not in networks["inside"] or "config" not in networks["inside"]["ipam"]


def test_every_limit_can_be_set_in_the_environment_file(services):
    settings = (ROOT / "leaderboard" / "settings.py").read_text()
    names = set(re.findall(r'"(POSEBOARD_LIMIT_\w+|POSEBOARD_RATE_LIMITS|POSEBOARD_TRUSTED_PROXIES)"', settings))
    assert len(names) > 10 and names - set(services["services"]["web"]["environment"]) == {"POSEBOARD_LIMIT_WAIT_MS"}
    listed = (ROOT / "docs" / "deploy.md").read_text()
    assert not [name for name in names if f"`{name}`" not in listed]
