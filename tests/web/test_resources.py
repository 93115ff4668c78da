"""What the process takes of the machine."""

import mmap
import sys
from pathlib import Path

import pytest

import telex
from telex.server.config import Web
from telex.server.web import resources
from tests.web.port import port, with_users


@pytest.mark.skipif(sys.platform != "linux", reason="others tell it in other ways")
def test_linux_tells_how_much_memory_there_is_and_was() -> None:
    before = resources.memory()
    assert before is not None
    taken = mmap.mmap(-1, 50_000_000)  # from the kernel: what was freed before might be used again for anything else
    for place in range(0, len(taken), mmap.PAGESIZE):
        taken[place] = 1
    with_it = resources.memory()
    assert with_it is not None
    assert with_it - before > 40_000_000
    taken.close()
    after, most = resources.memory(), resources.most_memory()
    assert after is not None
    assert most is not None
    assert with_it - after > 40_000_000
    assert most > with_it - 5_000_000  # the kernel adds up what there is now in parts


def test_where_the_system_tells_nothing_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resources, "Path", lambda _: tmp_path / "none")
    assert resources.memory() is None
    monkeypatch.setitem(sys.modules, "resource", None)
    assert resources.most_memory() is None


async def test_sys_tells_it_and_who_was_refused(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=Web(administrators=["ann"]), sys_interval=1) as page:
        async with telex.Client(page.mqtt, user="ann", password="ann's") as client:
            async with client.subscribe("$SYS/broker/connections/refused/count") as refused:
                assert (await anext(refused)).payload == b"0"
                with pytest.raises(telex.Refused):
                    async with telex.Client(page.mqtt, user="eve", password="x", reconnect=None):
                        pass
                assert (await page.get("/api/v1/me", user="eve")).status == 401
                async for message in refused:
                    if message.payload == b"2":
                        break
            async with client.subscribe("$SYS/broker/heap/+") as heap:
                sizes = {
                    message.topic.rpartition("/")[2]: int(message.payload)
                    for message in [await anext(heap), await anext(heap)]
                }
        if sys.platform == "linux":
            assert sizes["maximum"] > 1_000_000
            assert sizes["current"] > 1_000_000
        said = await page.api("/broker", user="ann")
        assert said["statistics"]["refused"] == 2
        text = (await page.get("/metrics", user="ann")).text
        assert 'telex_refused_total{why="login"} 2.0' in text
