"""Programs under ``python -m telex.paho``: they see what they see under ``python``, and Telex in the place of paho."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import telex
from tests.processes import SECONDS

SOURCE = Path(telex.__file__).parents[1]

SHOW = """\
import sys
import __main__

print(sys.argv, sys.path[0], len(sys.path), sys.flags.safe_path)
print(__name__, __package__, __spec__ and (__spec__.name, __spec__.origin), __doc__)
print(globals().get("__file__"), globals().get("__cached__"))
print(getattr(__loader__, "__name__", type(__loader__).__name__), getattr(__loader__, "path", None))
print(sorted(globals()), __main__.__dict__ is globals(), __builtins__)
if "paho" in sys.argv:
    from paho.mqtt import client
    print(client.MQTT_ERR_QUEUE_SIZE)
"""


def environment() -> dict[str, str]:
    """This process's, with paths that also mean something elsewhere."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in paths if path)}


def python(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def under_telex(
    folder: Path, *arguments: str, options: tuple[str, ...] = (), stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return python(folder, *options, "-m", "telex.paho", *arguments, stdin=stdin)


def assert_the_same(
    folder: Path, *arguments: str, options: tuple[str, ...] = (), stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program by Python, and under Telex: what it prints and how it ends is the same."""
    ours = under_telex(folder, *arguments, options=options, stdin=stdin)
    theirs = python(folder, *options, *arguments, stdin=stdin)
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, theirs.stderr, theirs.returncode)
    return ours


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# What a program sees of itself


def test_a_program_sees_itself_as_under_python(tmp_path: Path) -> None:
    write(tmp_path, "inner/show.py", f'"""What it says."""\n{SHOW}')
    done = assert_the_same(tmp_path, "inner/show.py", "-m", "--flag", "paho")
    assert done.stdout.splitlines()[0].startswith(f"['inner/show.py', '-m', '--flag', 'paho'] {tmp_path}/inner ")
    assert done.stdout.endswith("\n15\n")


def test_a_link_to_a_program_is_followed_for_what_it_imports(tmp_path: Path) -> None:
    write(tmp_path, "inner/beside.py", "print('imported')")
    write(tmp_path, "inner/show.py", SHOW + "import beside\n")
    (tmp_path / "link.py").symlink_to("inner/show.py")
    assert "imported" in assert_the_same(tmp_path, "link.py").stdout


def test_a_module_sees_itself_as_under_python(tmp_path: Path) -> None:
    write(tmp_path, "package/__init__.py", "import sys; print('package', sys.argv)")
    write(tmp_path, "package/beside.py", "print('beside')")
    write(tmp_path, "package/show.py", SHOW + "from . import beside\n")
    write(tmp_path, "package/__main__.py", SHOW)
    assert "beside" in assert_the_same(tmp_path, "-m", "package.show", "-m", "x").stdout
    assert "package.__main__" in assert_the_same(tmp_path, "-mpackage", "-c").stdout


def test_a_text_sees_itself_as_under_python(tmp_path: Path) -> None:
    write(tmp_path, "beside.py", "print('imported')")
    assert "imported" in assert_the_same(tmp_path, "-c", SHOW + "import beside\n", "one", "-c", "two").stdout
    assert_the_same(tmp_path, f"-c{SHOW}", "one")


def test_standard_input_is_a_program_too(tmp_path: Path) -> None:
    assert "['-', 'one']" in assert_the_same(tmp_path, "-", "one", stdin=SHOW).stdout


def test_a_folder_and_a_zip_file_with_a_main_are_programs_too(tmp_path: Path) -> None:
    write(tmp_path, "folder/__main__.py", SHOW + "import beside\n")
    write(tmp_path, "folder/beside.py", "print('imported')")
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        for name in ("__main__.py", "beside.py"):
            archive.write(tmp_path / "folder" / name, name)
    for program in ("folder", "program.zip"):
        assert "imported" in assert_the_same(tmp_path, program, "one").stdout


def test_a_compiled_program_is_a_program_too(tmp_path: Path) -> None:
    write(tmp_path, "show.py", SHOW)
    assert python(tmp_path, "-c", "import py_compile; py_compile.compile('show.py', 'show.pyc')").returncode == 0
    assert "SourcelessFileLoader" in assert_the_same(tmp_path, "show.pyc").stdout


@pytest.mark.parametrize("program", [("show.py",), ("-m", "show"), ("-c", SHOW), ("folder",)], ids=lambda it: it[0])
def test_no_folder_is_imported_from_where_python_was_told_so(tmp_path: Path, program: tuple[str, ...]) -> None:
    write(tmp_path, "show.py", SHOW)
    write(tmp_path, "folder/__main__.py", SHOW)
    assert_the_same(tmp_path, *program, options=("-P",))


def test_an_encoding_that_a_program_declares_is_heeded(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(b"# coding: latin-1\nprint(ascii('\xe9'), __debug__)\n")
    assert assert_the_same(tmp_path, "latin.py", options=("-O",)).stdout == "'\\xe9' False\n"


# How it ends

FAILURES = {
    "an error": "def f(x):\n    return 1 / x\n\nf(0)\n",
    "an error with its cause": "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('why') from e\n",
    "an error in an error": "try:\n    {}['a']\nexcept KeyError:\n    undefined\n",
    "a group": "raise ExceptionGroup('all', [ValueError(1), TypeError(2)])\n",
    "a syntax error": "x = = 1\n",
    "bytes that are no text": "x = '\\udcff'\nraise ValueError(x)\n",
    "Ctrl-C": "raise KeyboardInterrupt\n",
    "a code": "import sys\nsys.exit(3)\n",
    "a text": "import sys\nsys.exit('this is why')\n",
    "no reason": "raise SystemExit\n",
    "at once": "import os\nos._exit(7)\n",
    "its own hook": "import sys\nsys.excepthook = lambda *a: print(a[0], a[1], a[2].tb_lineno, a[2].tb_next)\n1 / 0\n",
    "in a thread": "from threading import Thread\ndef f():\n    1 / 0\nt = Thread(None, f, 't')\nt.start()\nt.join()\n",
    "at exit": "import atexit\nclass A(list):\n    def __call__(self):\n        1 / 0\natexit.register(A('a'))\n",
}


@pytest.mark.parametrize("text", FAILURES.values(), ids=FAILURES)
def test_a_program_ends_as_under_python(tmp_path: Path, text: str) -> None:
    write(tmp_path, "program.py", text)
    assert_the_same(tmp_path, "program.py")


def test_a_hook_of_the_program_that_fails_is_told(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "import sys\nsys.excepthook = lambda *a: undefined\n1 / 0\n")
    done = under_telex(tmp_path, "program.py")
    assert done.returncode == 1
    assert done.stderr.startswith("Error in sys.excepthook:\n")
    assert "NameError: name 'undefined' is not defined" in done.stderr
    original = "Original exception was:\nTraceback (most recent call last):\n"
    assert f'{original}  File "{tmp_path}/program.py", line 3, in <module>\n' in done.stderr


@pytest.mark.parametrize("name", ["an error", "a syntax error", "Ctrl-C", "a text"])
@pytest.mark.parametrize("way", ["-m", "-c", "-"])
def test_modules_and_texts_end_as_under_python(tmp_path: Path, name: str, way: str) -> None:
    write(tmp_path, "program.py", FAILURES[name])
    arguments = {"-m": ("-m", "program"), "-c": ("-c", FAILURES[name]), "-": ("-",)}[way]
    done = assert_the_same(tmp_path, *arguments, stdin=FAILURES[name] if way == "-" else "")
    assert done.returncode != 0


@pytest.mark.parametrize("program", [("none.py",), ("in/no/folder.py",), ("-m", "none"), ("-m", "none.at.all")])
def test_a_program_that_is_not_there_is_told_as_by_python(tmp_path: Path, program: tuple[str, ...]) -> None:
    assert assert_the_same(tmp_path, *program).returncode in (1, 2)


def test_a_folder_without_a_main_is_told_as_by_python(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "__main__" in assert_the_same(tmp_path, "folder").stderr


def test_main_is_there_until_the_end(tmp_path: Path) -> None:
    """Threads and functions of ``atexit`` that run when the program's last line has been run need it."""
    text = """\
import atexit, pickle, sys, threading

class Kept:
    pass

def late():
    ended.wait()
    print(pickle.loads(pickle.dumps(Kept())).__class__ is Kept, sys.modules["__main__"].Kept is Kept)

ended = threading.Event()
threading.Thread(target=late).start()
atexit.register(late)
threading.Timer(0.05, ended.set).start()
"""
    write(tmp_path, "program.py", text)
    assert assert_the_same(tmp_path, "program.py").stdout == "True True\nTrue True\n"


# What it gets in the place of paho

IMPORTS = """\
import importlib, importlib.metadata, importlib.util, sys
import paho.mqtt.client as mqtt
import paho.mqtt.client
import paho.mqtt
import paho
from paho import mqtt as package
from paho.mqtt import client, publish, subscribe
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.exception import MQTTException
import paho.mqtt.matcher, paho.mqtt.packettypes, paho.mqtt.properties, paho.mqtt.reasoncodes, paho.mqtt.subscribeoptions

assert mqtt is paho.mqtt.client is client is package.client is importlib.import_module("paho.mqtt.client")
assert importlib.import_module(".client", "paho.mqtt") is client
assert importlib.util.find_spec("paho.mqtt.publish") is not None
assert paho.mqtt.MQTTException is MQTTException
assert CallbackAPIVersion is mqtt.CallbackAPIVersion
modules = "client enums exception matcher packettypes properties publish reasoncodes subscribe subscribeoptions"
assert {name for name in sys.modules if name.startswith("paho.mqtt.")} == {f"paho.mqtt.{m}" for m in modules.split()}
for name in [name for name in sys.modules if name.startswith("paho.mqtt")]:
    assert sys.modules[name].__name__.startswith("telex.paho"), name
assert importlib.reload(paho.mqtt.packettypes) is paho.mqtt.packettypes
print(Client.__module__, paho.mqtt.__version__, importlib.metadata.version("paho-mqtt"))
for name in ("Paho-MQTT", "paho_mqtt"):
    assert importlib.metadata.version(name) == "2.2.0"
found = importlib.metadata.distribution("paho-mqtt")
assert (found.metadata["Name"], found.metadata["Summary"]) == ("paho-mqtt", "Telex in the place of paho-mqtt")
assert (found.files, found.requires, list(found.entry_points)) == (None, None, [])
assert found.locate_file("client.py").samefile(sys.modules["paho.mqtt.client"].__file__)
every = [each for each in importlib.metadata.distributions() if each.metadata["Name"] == "paho-mqtt"]
assert every[0].metadata["Summary"] == found.metadata["Summary"]
assert importlib.metadata.version("telex")
try:
    importlib.metadata.version("paho-mqtt-other")
except importlib.metadata.PackageNotFoundError:
    pass
else:
    raise AssertionError
try:
    import paho.other
except ModuleNotFoundError as error:
    print(error)
"""


def test_every_way_of_importing_paho_gives_telex(tmp_path: Path) -> None:
    write(tmp_path, "program.py", IMPORTS)
    for program in (("program.py",), ("-m", "program"), ("-c", IMPORTS)):
        done = under_telex(tmp_path, *program)
        assert done.stderr == ""
        assert done.stdout == "telex.paho.client 2.2.0 2.2.0\nNo module named 'paho.other'\n"


def test_paho_need_not_be_installed(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    installed = Path(sysconfig.get_path("purelib"))
    for entry in installed.iterdir():
        if not entry.name.startswith("paho"):
            (others / entry.name).symlink_to(entry)
    paths = [str(others)] if installed == SOURCE else [str(SOURCE), str(others)]
    write(tmp_path, "program.py", IMPORTS)
    for program, ending in ((("program.py",), "No module named 'paho'"), (("-m", "telex.paho", "program.py"), "")):
        done = subprocess.run(
            [sys.executable, "-S", *program],  # without those that this Python has
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.stderr.strip().endswith(ending)
        assert done.returncode == (1 if ending else 0)
    assert done.stderr == ""
    assert done.stdout.startswith("telex.paho.client 2.2.0 2.2.0\n")


def test_a_paho_that_lies_beside_the_program_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path, "paho/__init__.py", "raise AssertionError")
    write(tmp_path, "program.py", "import paho.mqtt.client\nprint(paho.mqtt.client.__name__)")
    assert under_telex(tmp_path, "program.py").stdout == "telex.paho.client\n"


def test_a_paho_that_was_imported_before_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path, "early/sitecustomize.py", "import paho.mqtt.client")
    program = "import paho.mqtt.client\nprint(paho.mqtt.client.__name__)"
    done = subprocess.run(
        [sys.executable, "-m", "telex.paho", "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "early"), str(SOURCE)])},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("telex.paho.client\n", "")


def test_a_warning_names_the_line_of_the_program(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "import paho.mqtt.client as mqtt\n\nmqtt.Client()\nprint('went on')\n")
    done = under_telex(tmp_path, "program.py")
    assert (done.stdout, done.returncode) == ("went on\n", 0)
    assert f"{tmp_path}/program.py:3: DeprecationWarning: " in done.stderr
    strict = under_telex(tmp_path, "program.py", options=("-W", "error"))
    assert (strict.stdout, strict.returncode) == ("", 1)
    assert f'File "{tmp_path}/program.py", line 3, in <module>' in strict.stderr


def test_child_processes_have_their_own_paho(tmp_path: Path) -> None:
    """Only a fork is a copy of this process, and so has Telex."""
    text = """\
import multiprocessing, subprocess, sys
import paho.mqtt.client

def tell():
    print(paho.mqtt.client.__name__, flush=True)

if __name__ == "__main__":
    tell()
    for way in ("spawn", "fork"):
        child = multiprocessing.get_context(way).Process(target=tell)
        child.start()
        child.join()
    subprocess.run([sys.executable, "-c", "import paho.mqtt.client as c; print(c.__name__)"], check=True)
"""
    write(tmp_path, "program.py", text)
    done = under_telex(tmp_path, "program.py")
    telex_s, pahos = "telex.paho.client", "paho.mqtt.client"
    assert done.stderr == ""
    assert done.stdout.split() == [telex_s, pahos, telex_s, pahos]


# The command line


def test_without_a_program_it_says_how_it_is_used(tmp_path: Path) -> None:
    for arguments, words in (
        ((), ""),
        (("-m",), "Argument expected for the -m option"),
        (("-c",), "Argument expected for the -c option"),
        (("-u", "program.py"), "Unknown option: -u"),
        (("--version",), "Unknown option: --version"),
    ):
        done = under_telex(tmp_path, *arguments)
        assert (done.stdout, done.returncode) == ("", 2)
        assert done.stderr.startswith("usage: python -m telex.paho program.py")
        assert words in done.stderr
    for word in ("-h", "--help"):
        done = under_telex(tmp_path, word)
        assert (done.stderr, done.returncode) == ("", 0)
        assert "python -m telex.paho -m module" in done.stdout
