"""Where Ray's sockets lie: their paths hold 107 bytes, and those of a job's folder are long."""

import os

import pytest

from bench.tuning.ray_folder import LONGEST, SHORT_FOLDERS, SOCKET_BYTES, ray_folder


def test_a_short_folder_is_rays_own_choice(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * (LONGEST - 1))

    assert ray_folder() is None
    socket = "/ray/session_2026-11-28_03-22-52_123456_4194304/sockets/plasma_store"
    assert LONGEST + len(socket) <= SOCKET_BYTES


def test_a_long_temporary_folder_is_replaced(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * LONGEST)))

    folder = ray_folder()

    assert folder.startswith(SHORT_FOLDERS)
    assert folder.endswith(f"segbench-{os.getuid()}/ray")


def test_a_long_folder_that_was_chosen_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/" + "ü" * LONGEST)

    with pytest.raises(ValueError, match=f"at most {LONGEST} bytes; RAY_TMPDIR is /ü"):
        ray_folder()
