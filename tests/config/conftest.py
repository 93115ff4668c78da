"""A folder with the files that the configurations name."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telex.server.config import Config

Value = Callable[[Config, str], Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with empty files of all kinds, which is the current directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("acl", "ca.crt", "server.crt", "server.key", "list.crl", "dh.pem"):
        (tmp_path / name).write_text("")
    (tmp_path / "passwords").write_text("")
    (tmp_path / "psk").write_text("client:0123456789abcdef\n")
    for name in ("www", "lib", "conf.d", "listeners.d", "elsewhere.d", "bridges.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "conf.d" / "README").write_text("not read\n")
    (tmp_path / "conf.d" / "10-users.conf").write_text(f"password_file {tmp_path}/passwords\nacl_file {tmp_path}/acl\n")
    (tmp_path / "conf.d" / "Listeners.conf").write_text("listener 18831\nlistener 18832\nprotocol websockets\n")
    (tmp_path / "listeners.d" / "b.conf").write_text(
        f"listener 18834\nmax_connections 9\ninclude_dir {tmp_path}/elsewhere.d\n"
    )
    (tmp_path / "listeners.d" / "A.conf").write_text("listener 18833\n")
    (tmp_path / "bridges.d" / "three.conf").write_text("connection three\naddress 127.0.0.3\ntopic c\n")
    (tmp_path / "elsewhere.d" / "never.conf").write_text("nonsense\n")
    return tmp_path


def value_at(config: object, path: str) -> Any:
    """What a description says at a place: ``listeners[0].tls.key``."""
    value: Any = config
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        if index:
            value = value[int(index)]
        elif isinstance(value, dict):
            value = value[name]
        else:
            value = getattr(value, name)
    return value
