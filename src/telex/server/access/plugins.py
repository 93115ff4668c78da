"""Logging in by a class of the user's own.

Knows how to find it and how to live with its faults. It is a subclass of ``Way``; its constructor
gets the ``options`` of telex.toml as keyword arguments, its ``check`` is asked about each client.

    class Door(Way):
        def __init__(self, *, secret: str) -> None: ...
        async def check(self, applicant: Applicant) -> Admitted | Denied | None: ...

It runs in the broker's own loop: while it computes or blocks, nobody is served. What takes longer than a
millisecond belongs into ``asyncio.to_thread``.
"""

import logging
from importlib.metadata import EntryPoint, entry_points

from telex.server.access.ways import Admitted, Applicant, Denied, Way
from telex.server.config import ConfigError, Plugin

GROUP = "telex.access"

logger = logging.getLogger("telex")


def load(plugin: Plugin) -> Way:
    """Make the way of logging in that a plugin is.

    Its name is that of an entry point in the group ``telex.access``, or ``module:Class`` of
    a module that Python finds.

    Raises:
        ConfigError: there is no such plugin, it is no ``Way``, or it does not take its options.
    """
    try:
        found = _find(plugin.name)
        if not (isinstance(found, type) and issubclass(found, Way)):
            raise ConfigError(f"{found!r} is no subclass of telex.server.access.ways.Way")
        made = found(**plugin.options)
    except ConfigError as error:
        raise ConfigError(f"plugin {plugin.name!r}: {error}") from error
    except Exception as error:
        raise ConfigError(f"plugin {plugin.name!r}: {type(error).__name__}: {error}") from error
    return PluginWay(plugin.name, made)


def _find(name: str) -> object:
    if ":" in name:
        if not all(part.isidentifier() for part in name.replace(":", ".", 1).split(".")):
            raise ConfigError("expected module:Class")
        return EntryPoint(name, name, GROUP).load()
    installed = entry_points(group=GROUP)
    named = {point.value: point for point in installed if point.name == name}
    if len(named) == 1:
        return next(iter(named.values())).load()
    if named:
        raise ConfigError(f"several packages have one of that name; write one of {', '.join(sorted(named))} instead")
    others = ", ".join(sorted({point.name for point in installed})) or "none"
    raise ConfigError(f"no installed package has an entry point of that name in the group {GROUP} (there: {others})")


class PluginWay(Way):
    """Stands around a way that is not ours: what goes wrong there is one client's refusal.

    Args:
        name: of the plugin, for the log.
        plugin: the user's object.
    """

    def __init__(self, name: str, plugin: Way) -> None:
        self.name = name
        self.plugin = plugin

    async def open(self) -> None:
        """Get it ready.

        Raises:
            ConfigError: it could not.
        """
        try:
            await self.plugin.open()
        except Exception as error:
            raise ConfigError(f"plugin {self.name!r}: {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close it; a fault is logged, since nothing can be done about it any more."""
        try:
            await self.plugin.close()
        except Exception:
            logger.exception("plugin failed name=%r in=close", self.name)

    async def check(self, applicant: Applicant) -> Admitted | Denied | None:
        """Ask it. Whoever it fails about stays out: an error is no reason to let anybody in, nor a wrong guess."""
        try:
            answer = await self.plugin.check(applicant)
        except Exception:
            logger.exception("plugin failed name=%r in=check client=%r", self.name, applicant.client_id)
            return Denied(reason=f"plugin {self.name!r} failed", is_guess=False)
        if answer is None or isinstance(answer, Admitted | Denied):
            return answer
        # Not the answer itself: nobody knows what is in it.
        logger.error("plugin failed name=%r in=check answer=%s", self.name, type(answer).__name__)
        return Denied(reason=f"plugin {self.name!r} answered {type(answer).__name__}", is_guess=False)

    def still_admits(self, admitted: Admitted) -> bool:
        """Ask it; if it fails, the client has to come again."""
        try:
            return bool(self.plugin.still_admits(admitted))
        except Exception:
            logger.exception("plugin failed name=%r in=still_admits user=%r", self.name, admitted.user)
            return False
