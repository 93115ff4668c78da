"""Runs a program in whose process ``paho.mqtt`` is Telex, whether or not paho-mqtt is installed.

Knows how Python starts a program: what ``__main__``, ``sys.argv`` and ``sys.path[0]`` are then, and what is shown of an
error. Processes that the program starts are Pythons of their own: Telex takes over nothing there, except in those that
it forks (``multiprocessing`` with the start method ``fork``), which are copies of it.
"""

import builtins
import importlib
import io
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Iterable, Sequence
from email.message import EmailMessage
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader, SourcelessFileLoader
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Final

import telex.paho

USAGE: Final = """\
usage: python -m telex.paho program.py [argument ...]
       python -m telex.paho -m module [argument ...]
       python -m telex.paho -c text [argument ...]

Runs a program that uses paho-mqtt on Telex instead, whether or not paho-mqtt is installed.
Python's own options stand in front: python -W error -m telex.paho program.py
"""

_MODULES: Final = (
    "enums",
    "exception",
    "packettypes",
    "reasoncodes",
    "properties",
    "subscribeoptions",
    "matcher",
    "client",
    "publish",
    "subscribe",
)
_NAME: Final = "paho-mqtt"


class _Offered(Distribution):
    """What ``importlib.metadata`` tells of paho-mqtt: the version that is offered, and no file."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        message = EmailMessage()
        message["Metadata-Version"] = "2.1"
        message["Name"] = _NAME
        message["Version"] = telex.paho.__version__
        message["Summary"] = "Telex in the place of paho-mqtt"
        return message.as_string()

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        return Path(__file__).parent / path


class _Finder(DistributionFinder):
    """Finds that distribution, before one that is installed is found; and no module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        name = None if context is None else context.name
        if name is None or name.lower().replace("_", "-").replace(".", "-") == _NAME:
            yield _Offered()


def take_over() -> None:
    """Have ``import paho.mqtt`` and all below it give Telex's modules, in this process, from now on."""
    for name in list(sys.modules):
        if name.split(".")[0] == "paho":
            del sys.modules[name]
    paho = ModuleType("paho", "The place of paho.mqtt, which is Telex here.")
    paho.__path__ = []
    # The modules are put where an import looks first, and not found by a finder: that would give them other names.
    sys.modules["paho"] = paho
    sys.modules["paho.mqtt"] = paho.mqtt = telex.paho  # type: ignore[attr-defined]
    for name in _MODULES:
        sys.modules[f"paho.mqtt.{name}"] = importlib.import_module(f"telex.paho.{name}")
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def main() -> None:
    """Run the program that the command line names, as Python would."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        (sys.stdout if arguments else sys.stderr).write(USAGE)
        sys.exit(0 if arguments else 2)
    first = arguments[0]
    option = first[:2]
    if option in ("-m", "-c"):
        # As Python takes it: the module or the text may be glued to its letter.
        rest = [first[2:], *arguments[1:]] if len(first) > 2 else arguments[1:]
        if not rest:
            sys.stderr.write(f"{USAGE}\nArgument expected for the {option} option\n")
            sys.exit(2)
        take_over()
        (_run_module if option == "-m" else _run_text)(rest[0], rest[1:])
    elif first == "-":
        take_over()
        _run_standard_input(arguments[1:])
    elif first.startswith("-"):
        sys.stderr.write(f"{USAGE}\nUnknown option: {first}\n")
        sys.exit(2)
    else:
        take_over()
        _run_file(first, arguments[1:])


def _run_file(path: str, arguments: list[str]) -> None:
    sys.argv[:] = [path, *arguments]
    found_in, path = os.path.dirname(os.path.realpath(path)), os.path.abspath(path)
    if pkgutil.get_importer(path) is not None:
        # A folder, or a zip file, with a __main__ in it. Python puts it on the path also with -P.
        if sys.flags.safe_path:
            sys.path.insert(0, path)
        else:
            sys.path[0] = path
        _fresh_main()
        _run(lambda: _run_as_main("__main__", alter_argv=False))
        return
    _set_first_path(found_in)
    try:
        with io.open_code(path) as file:
            compiled = pkgutil.read_code(file)
            if compiled is None:
                file.seek(0)
                source = file.read()
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n")
        sys.exit(2)
    loader = SourceFileLoader if compiled is None else SourcelessFileLoader
    main = _fresh_main(__file__=path, __cached__=None, __loader__=loader("__main__", path))
    _run(lambda: exec(compiled or _compile(source, path), vars(main)))


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-m", *arguments]  # "-m" while the module is looked for, as with Python; then its file
    _fresh_main()
    _run(lambda: _run_as_main(name, alter_argv=True))


def _run_text(text: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-c", *arguments]
    _set_first_path("")
    main = _fresh_main(__loader__=BuiltinImporter)
    _run(lambda: exec(_compile(text, "<string>"), vars(main)))


def _run_standard_input(arguments: list[str]) -> None:
    sys.argv[:] = ["-", *arguments]
    _set_first_path("")
    main = _fresh_main(__file__="<stdin>", __cached__=None, __loader__=BuiltinImporter)
    _run(lambda: exec(_compile(sys.stdin.buffer.read(), "<stdin>"), vars(main)))


_run_as_main: Final[Callable[..., object]] = vars(runpy)["_run_module_as_main"]
"""What the ``-m`` of Python itself calls. ``runpy.run_module`` would take the program's ``__main__`` away at its end,
while threads and functions of ``atexit`` still use it."""


def _compile(source: str | bytes, file: str) -> CodeType:
    code: CodeType = compile(source, file, "exec", dont_inherit=True)
    return code


def _set_first_path(folder: str) -> None:
    # With -P or -I there is no such place, and `python -m telex.paho` has the current folder there otherwise.
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _fresh_main(**attributes: object) -> ModuleType:
    """A new module ``__main__``, since the one that is there holds names of this package."""
    main = ModuleType("__main__")
    vars(main).update(__builtins__=builtins, **attributes)
    if "__annotations__" in vars(sys.modules["__main__"]):  # up to Python 3.13
        vars(main)["__annotations__"] = {}
    sys.modules["__main__"] = main
    return main


def _run(program: Callable[[], object]) -> None:
    try:
        program()
    except SystemExit:
        raise
    except BaseException:
        _hide_ourselves()
        raise


def _hide_ourselves() -> None:
    """Have the error that is on its way shown without the functions that have called the program.

    It goes on to the interpreter, which knows what signal or what code to end with, and asks the hook last.
    """
    hook = sys.excepthook  # the program's, if it has set one

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        sys.excepthook = hook
        traceback = _behind_ourselves(traceback)
        hook(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = show


def _behind_ourselves(traceback: TracebackType | None) -> TracebackType | None:
    def is_ours(entry: TracebackType) -> bool:
        return entry.tb_frame.f_code.co_filename == __file__

    while traceback is not None and not is_ours(traceback):
        traceback = traceback.tb_next
    while traceback is not None and is_ours(traceback):
        traceback = traceback.tb_next
    return traceback
