"""``telex demo``: a broker with its page, a simulated house of sensors, and a subscriber that prints what they say."""

import argparse
import asyncio
import random
import socket
from collections.abc import Sequence
from typing import Final

from msgspec import structs

from telex.cli import colours
from telex.cli.loop import run_loop, stop_event
from telex.cli.main import Parser, fail, number
from telex.cli.serve import explain_listen_error, http_flags, web_from
from telex.client.aio import Client
from telex.server.broker import Broker
from telex.server.config import Access, Config, ConfigError, Listener, Web, is_loopback

# Rooms, and the temperature in each when the demo starts.
ROOMS: Final = {
    "room1/storeroom": 16.0,
    "room1/office": 21.5,
    "room2/kitchen": 22.5,
    "room2/bathroom": 23.5,
    "outside": 8.0,
}
_MOTION_CHANCE: Final = 0.15  # that somebody walks through a room in a given second
_LINES: Final = 15  # of the house, after which the page's address is out of sight on a small screen


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="telex demo", description="A broker with a simulated house of sensors, until Ctrl-C.")
    parser.add_argument(
        "-p", "--port", type=number(0, 65_535), default=1883, help="TCP port of the broker; 0 takes a free one (1883)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--allow-anonymous", action="store_true", help="needed to listen on any other address")
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds")
    http_flags(parser)
    options = parser.parse_args(arguments)
    try:
        config = _described(options)
        run_loop(_demo(config, options))
    except ConfigError as error:
        return fail(str(error))
    except BrokenPipeError:  # `telex demo | head`
        raise
    except (OSError, UnicodeError) as error:
        return fail(explain_listen_error(error, options.host, config.web.host))
    except ExceptionGroup as group:  # of the sensors and the printer: the first that failed took the others along
        first = group.exceptions[0]
        if isinstance(first, BrokenPipeError):
            raise first from None
        return fail(f"a simulated device failed: {first}")
    return 0


def _described(options: argparse.Namespace) -> Config:
    """The broker that the command line asks for.

    Raises:
        ConfigError: it may not be there.
    """
    web = web_from(Web(), options)
    for host in (options.host, web.host):
        if not options.allow_anonymous and not is_loopback(host):
            raise ConfigError(
                f"{host} can be reached from other machines; add --allow-anonymous if that is what you want"
            )
    listener = Listener(host=options.host, port=options.port, access=Access(allow_anonymous=True))
    return Config(listeners=[listener], web=web, data="", sys_interval=1)


async def _demo(config: Config, options: argparse.Namespace) -> None:
    stop = stop_event()
    async with Broker(config=config, opens_web=True) as broker:
        if broker.web_missing:  # whoever has its port, the page is what a demonstration is for
            await broker.reload(structs.replace(config, web=Web(enabled=True, port=0)))
        print(_introduction(broker), flush=True)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)
        address = f"mqtt://{f'[{host}]' if ':' in host else host}:{broker.port}"
        async with asyncio.TaskGroup() as house:
            tasks = [house.create_task(_print_all(address, _page(broker)), name="subscriber")]
            tasks += [
                house.create_task(_sensor(address, room, start), name=f"sensor in {room}")
                for room, start in ROOMS.items()
            ]
            try:
                async with asyncio.timeout(options.seconds):
                    await stop.wait()
            except TimeoutError:
                pass
            for task in tasks:
                task.cancel()
    print("telex: the demo is over")


def _introduction(broker: Broker) -> str:
    port = "" if broker.port == 1883 else f" -p {broker.port}"
    lines = [f"A broker with a house of {len(ROOMS)} rooms. Ctrl-C ends it."]
    if broker.web_address:
        lines += ["", _page(broker), ""]
    lines += [f"  listening on      {address}" for address in broker.addresses]
    lines.append(f"  another terminal  telex sub{port} -t 'home/temp/#' -v")
    lines.append(f"                    telex pub{port} -t home/temp/attic -m 19.5")
    if is_loopback(broker.host):
        lines.append(f"  another device    start it with: telex demo{port} --host 0.0.0.0 --allow-anonymous")
    else:
        lines.append(f"  another device    mqtt://{own_address()}:{broker.port}, without a password")
    return "\n".join(lines)


def _page(broker: Broker) -> str:
    """Where to look; empty: there is no page."""
    if not broker.web_address:
        return ""
    bold, plain = ("\x1b[1m", colours.RESET) if colours.wants_colours() else ("", "")
    return f"  {bold}open in a browser {broker.web_address}#/topics{plain}"


def own_address() -> str:
    """This machine's address in its network, as far as it can tell by itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which way such a packet would leave
        except OSError:
            return socket.gethostname()
        address: str = probe.getsockname()[0]
        return address


async def _sensor(address: str, room: str, temperature: float) -> None:
    """A device in one room: a temperature each second, motion now and then."""
    async with Client(address, client_id=f"sensor-{room.replace('/', '-')}") as client:
        while True:
            temperature += random.uniform(-0.2, 0.2)
            await client.publish(f"home/temp/{room}", f"{temperature:.1f}", retain=True)
            if random.random() < _MOTION_CHANCE:
                await client.publish(f"home/motion/{room}", "on", qos=1)
            await asyncio.sleep(1)


async def _print_all(address: str, page: str) -> None:
    """Print what the house says, and where the page is, time and again."""
    count = 0
    async with Client(address, client_id="demo-printer") as client, client.subscribe("home/#", qos=1) as messages:
        async for message in messages:
            print(f"  {message.topic:32} {message.payload.decode(errors='replace')}", flush=True)
            count += 1
            if page and count % _LINES == 0:
                print(page, flush=True)
