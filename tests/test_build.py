"""Whether an installation compiles: what TELEX_COMPILE asks for, and what stands in the way."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from telex import version

BACKEND = Path(__file__).parents[1] / "build_backend" / "backend.py"


@pytest.fixture(scope="module")
def backend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("backend", BACKEND)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_0_never_compiles(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_COMPILE", "0")
    assert not backend.shall_compile()


def test_1_fails_loudly_where_it_cannot(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_COMPILE", "1")
    monkeypatch.setattr(backend.shutil, "which", lambda program: None)
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(
        SystemExit, match=r"TELEX_COMPILE=1, but (there is no C compiler: 'no-such-compiler'|Python's headers)"
    ):
        backend.shall_compile()


def test_without_a_wish_it_installs_interpreted_where_it_cannot(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TELEX_COMPILE", raising=False)
    monkeypatch.setattr(backend.sysconfig, "get_path", lambda name: "/nowhere")
    assert not backend.shall_compile()
    assert "no Python.h in /nowhere" in backend.why_not_compile()


def test_any_other_wish_is_refused(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_COMPILE", "yes")
    with pytest.raises(SystemExit, match="TELEX_COMPILE=yes: expected 0"):
        backend.shall_compile()


def test_this_run_is_what_it_says_it_is() -> None:
    """``make test`` says which of the two runs this one is to be."""
    expected = os.environ.get("EXPECT_TELEX")
    if expected is not None:
        assert version.describe().endswith(f"({expected})")
