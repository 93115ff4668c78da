"""Logging in by a class of the user's own."""

import asyncio
import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from telex.server.access.plugins import PluginWay, load
from telex.server.access.ways import Admitted, Applicant, Denied, Way
from telex.server.config import ConfigError, Plugin

SOURCE = '''
from telex.server.access.ways import Admitted, Applicant, Denied, Way

class Door(Way):
    """Lets in who knows the word."""

    def __init__(self, *, word: str = "sesame") -> None:
        if not word:
            raise ValueError("the word is empty")
        self.word = word
        self.is_open = False

    async def open(self) -> None:
        if self.word == "closed":
            raise RuntimeError("it does not open")
        self.is_open = True

    async def close(self) -> None:
        if self.word == "stuck":
            raise RuntimeError("it does not close")
        self.is_open = False

    async def check(self, applicant: Applicant) -> Admitted | Denied | None:
        if applicant.user_name == "bang":
            raise KeyError("no such user")
        if applicant.user_name == "odd":
            return True
        if applicant.password == self.word.encode():
            return Admitted(user=applicant.user_name or "", groups=("friends",))
        return None

    def still_admits(self, admitted: Admitted) -> bool:
        if admitted.user == "bang":
            raise KeyError("no such user")
        return admitted.user == "ann"

class Stranger:
    """No Way."""

    def __init__(self, **options: object) -> None: ...
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package ``doors`` with entry points."""
    (tmp_path / "house_doors.py").write_text(SOURCE)
    add_entry_points(
        tmp_path,
        "house_doors",
        "front = house_doors:Door\nstranger = house_doors:Stranger\n"
        "lost = house_doors:Lost\ngone = no_such_module:Door\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("house_doors", None)


def add_entry_points(place: Path, name: str, lines: str) -> None:
    info = place / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[telex.access]\n{lines}")
    importlib.invalidate_caches()


def asked(way: Way, user_name: str, password: bytes = b"sesame") -> Admitted | Denied | None:
    return asyncio.run(way.check(Applicant(user_name=user_name, password=password, client_id="c")))


@pytest.mark.parametrize("name", ["front", "house_doors:Door"])
def test_a_plugin_is_found_by_its_entry_point_or_written_out(package: Path, name: str) -> None:
    way = load(Plugin(name=name, options={"word": "mellon"}))
    asyncio.run(way.open())
    assert asked(way, "ann", b"mellon") == Admitted(user="ann", groups=("friends",))
    assert asked(way, "ann", b"sesame") is None
    asyncio.run(way.close())


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("back", {}, "no installed package has an entry point of that name in the group telex.access "
                     "(there: front, gone, lost, stranger)"),
        ("stranger", {}, "is no subclass of telex.server.access.ways.Way"),
        ("house_doors:SOURCE", {}, "AttributeError"),
        ("house_doors:", {}, "expected module:Class"),
        ("lost", {}, "AttributeError: module 'house_doors' has no attribute 'Lost'"),
        ("gone", {}, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("no_such_module:Door", {}, "ModuleNotFoundError"),
        (":Door", {}, "expected module:Class"),
        ("", {}, "no installed package"),
        ("front", {"words": "mellon"}, "unexpected keyword argument 'words'"),
        ("front", {"word": ""}, "ValueError: the word is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_named(package: Path, name: str, options: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Plugin(name=name, options=options))
    assert str(caught.value).startswith(f"plugin {name!r}: ")
    assert why in str(caught.value)


def test_without_any_plugin_the_error_says_so() -> None:
    with pytest.raises(ConfigError, match=r"there: none"):
        load(Plugin(name="front"))


def test_a_name_that_two_packages_have_must_be_written_out(package: Path) -> None:
    add_entry_points(package, "other", "front = others:Door\n")
    with pytest.raises(ConfigError, match="write one of house_doors:Door, others:Door instead"):
        load(Plugin(name="front"))


def test_a_plugin_that_does_not_open_is_named(package: Path) -> None:
    way = load(Plugin(name="front", options={"word": "closed"}))
    with pytest.raises(ConfigError, match="plugin 'front': RuntimeError: it does not open"):
        asyncio.run(way.open())


def test_a_plugin_that_fails_refuses_one_client_and_nobody_else(
    package: Path, caplog: pytest.LogCaptureFixture
) -> None:
    way = load(Plugin(name="front"))
    assert asked(way, "bang") == Denied(reason="plugin 'front' failed", is_guess=False)
    [record] = caplog.records
    assert record.getMessage() == "plugin failed name='front' in=check client='c'"
    assert record.exc_info is not None  # with its traceback
    assert asked(way, "ann") == Admitted(user="ann", groups=("friends",))


def test_an_answer_that_is_none_admits_nobody(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    way = load(Plugin(name="front"))
    assert asked(way, "odd") == Denied(reason="plugin 'front' answered bool", is_guess=False)
    assert caplog.records[0].levelno == logging.ERROR


def test_a_plugin_says_who_may_stay_after_a_reload(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    way = load(Plugin(name="front"))
    assert way.still_admits(Admitted(user="ann"))
    assert not way.still_admits(Admitted(user="eve"))
    assert not way.still_admits(Admitted(user="bang"))
    assert "in=still_admits" in caplog.text


def test_a_plugin_that_does_not_close_stops_nobody(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(load(Plugin(name="front", options={"word": "stuck"})).close())
    assert "plugin failed name='front' in=close" in caplog.text


def test_who_gives_up_while_a_plugin_thinks_is_let_go(package: Path) -> None:
    class Slow(Way):
        async def check(self, applicant: Applicant) -> Admitted | Denied | None:
            await asyncio.Event().wait()
            return None

    async def story() -> None:
        way = PluginWay("slow", Slow())
        task = asyncio.create_task(way.check(Applicant(user_name="ann", password=None, client_id="c")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
