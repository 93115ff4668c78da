"""Pages of docs/ that tell a reader what to type: each of their sections is typed here, in a directory of its own.

A block is run by its language:

- ``toml``, ``conf``, ``python``: a file, if its first line names it (``# telex.toml``).
- ``sh``: commands that end well. A server stays until the next one, or the end of the section.
- ``console``: commands behind ``$``, and what they print. ``...`` stands for anything, a line of it for any lines.
- ``text``, and ``json`` with a time: lines that are in the log of the server then, but for numbers.

What differs from the page: ports are free ones, every listener without a host is on 127.0.0.1, and so is
raspberrypi.local.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import telex
from tests.processes import SECONDS, find, free_port, wait_for_port

HOSTS = {"raspberrypi.local": "localhost", "192.168.1.20": "127.0.0.1"}
PORT = 1883
PAGE = 8080
_PORTS = re.compile(r"(?<![\d.,-])(1883|8000|8883|8884|8885|8080|9001|9443|9883)(?![\d.-])")
_SERVER = re.compile(r"(PYTHONPATH=\S+ )?telex serve\b")
_CLIENT = re.compile(r"(telex|mosquitto)[ _](pub|sub)\b")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that it shows, if it does."""
        found = re.match(r"# ([\w./-]+)", self.text)
        return "" if found is None or self.language in ("sh", "console") else Path(found[1]).name


def sections(text: str) -> dict[str, list[Block]]:
    """The sections of a page that have blocks, by their headings."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        blocks = [Block(*each) for each in re.findall(r"^```(\w+)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)]
        if blocks:
            found[part.splitlines()[0]] = blocks
    return found


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table behind a line that begins so, without its head."""
    _, _, rest = text.partition(f"\n{heading}")
    assert rest, f"there is nothing like {heading!r}"
    rows: list[list[str]] = []
    for line in rest.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif rows:
            break
    return rows[2:]


def masked(text: str) -> str:
    """A line without what differs each time: times, numbers, ports, names that were made up."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "ID", text.rstrip())
    return re.sub(r"\d[\d.:TZ-]*", "N", text)


def is_as_told(told: str, printed: str) -> bool:
    """Whether something was printed as a page tells it."""
    pattern = ""
    for line in told.splitlines():
        if line == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("...")) + "\n"
    return re.fullmatch(pattern, printed) is not None


class Desk:
    """Where a section is typed.

    Args:
        folder: where its files are.
        answers: what commands read that ask for a password.
    """

    def __init__(self, folder: Path, answers: str = "secret\nsecret\n") -> None:
        self.folder = folder
        self.answers = answers
        self.ports: dict[str, int] = {}
        self._servers: list[subprocess.Popen[str]] = []
        self._logs: list[Path] = []
        self._environment = self._make_environment()

    def _make_environment(self) -> dict[str, str]:
        given = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
        source = ":".join([str(Path(telex.__file__).parents[1]), *map(os.path.abspath, given)])
        tools = self.folder / ".bin"
        tools.mkdir()
        for name, words in (("telex", "-P -m telex"), ("python", "-P")):
            tool = tools / name
            tool.write_text(
                f'#!/bin/sh\nPYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{source}" exec {sys.executable} {words} "$@"\n'
            )
            tool.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TELEX_", "PYTHONPATH"))}
        place = str(self.folder / ".state")
        path = f"{tools}:{kept['PATH']}:/usr/sbin"
        return {**kept, "PATH": path, "STATE_DIRECTORY": place, "RUNTIME_DIRECTORY": place, "PYTHONUNBUFFERED": "1"}

    def port(self, told: int | str) -> int:
        """The port that stands for one of the page."""
        if str(told) not in self.ports:
            self.ports[str(told)] = free_port()
        return self.ports[str(told)]

    def adapted(self, text: str) -> str:
        """The text of a page with the ports and hosts of here."""
        for name, host in HOSTS.items():
            text = text.replace(name, host)
        return _PORTS.sub(lambda found: str(self.port(found[1])), text)

    def write(self, block: Block) -> Path:
        """Write the file that a block shows."""
        text = self.adapted(block.text)
        if block.language == "toml":
            text = _on_this_machine(text, self.port(PAGE))
        path = self.folder / block.file
        path.write_text(text)
        return path

    def type(self, blocks: list[Block]) -> None:
        """Do all that these blocks show."""
        for block in blocks:
            if block.language == "sh":
                for line in block.text.splitlines():
                    done = self.run(line)
                    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            elif block.language == "console":
                self._converse(block.text)
            elif block.language == "text" or block.text.startswith('{"time": '):
                for line in block.text.splitlines():
                    self._find_in_log(line)
            elif block.file:
                self.write(block)

    def _converse(self, text: str) -> None:
        for command, told in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            done = self.run(command, ends=told.startswith("telex:"))
            printed = done.stderr + done.stdout if told.startswith("telex:") else done.stdout
            assert is_as_told(self.adapted(told), printed), f"$ {command}\n{printed}"

    def run(self, line: str, *, ends: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command; a server is started, and what came of that is its banner.

        Args:
            line: as the page has it.
            ends: it ends by itself, even if it is a server.
        """
        is_server = bool(_SERVER.match(line)) and not ends and "--test-config" not in line
        line = self._command(line, is_server=is_server)
        if is_server:
            return self._start(line)
        if line.startswith("python service.py"):
            self._spawn(line)
            wait_for_port(self.port(8000))
            return subprocess.CompletedProcess(line, 0, "", "")
        if line.startswith(("mosquitto_", "curl ", "openssl ")):
            find(line.partition(" ")[0])
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self._environment,
            input=self.answers,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _command(self, line: str, *, is_server: bool) -> str:
        line = self.adapted(line)
        client = _CLIENT.match(line)
        if client is not None and " -p " not in line and "--unix" not in line:
            line = f"{client[0]} -h 127.0.0.1 -p {self.port(PORT)}{line[client.end() :]}"
        if is_server:
            line = line.replace("--host 0.0.0.0", "--host 127.0.0.1")
            if " -c " not in line and " -p " not in line:
                line += f" -p {self.port(PORT)}"
            if "-http" not in line and not self._has_page:
                line += f" --http {self.port(PAGE)}"
        return line

    @property
    def _has_page(self) -> bool:
        """Whether a file says where the page is."""
        return any("[web]" in path.read_text() for path in self.folder.glob("*.toml"))

    def _spawn(self, line: str) -> subprocess.Popen[str]:
        log = self.folder / f".log{len(self._logs)}"
        self._logs.append(log)
        with log.open("w") as stderr:
            server = subprocess.Popen(
                ["sh", "-c", f"exec env {line}"],  # the line may begin with an assignment
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self._servers.append(server)
        return server

    def _start(self, line: str) -> subprocess.CompletedProcess[str]:
        self.stop()
        server = self._spawn(line)
        assert server.stdout is not None  # it is a pipe
        banner = ""
        while told := server.stdout.readline():
            banner += told
            if told.startswith("  stop  "):
                return subprocess.CompletedProcess(line, 0, banner, "")
        raise AssertionError(f"the server ended: {banner}{self._logs[-1].read_text()}")

    def _find_in_log(self, line: str) -> None:
        wanted = masked(self.adapted(line).replace("*:", "127.0.0.1:"))
        until = time.monotonic() + SECONDS
        while True:
            lines = [masked(each) for log in self._logs for each in log.read_text().splitlines()]
            if wanted in lines:
                return
            if time.monotonic() > until:
                raise AssertionError(f"{wanted}\nis not among\n" + "\n".join(lines))
            time.sleep(0.02)  # it is written when the client has gone; nothing tells when

    def stop(self) -> None:
        """End the brokers that run; a service stays."""
        keep = [server for server in self._servers if "service.py" in str(server.args)]
        for server in self._servers:
            if server not in keep:
                _end(server)
        self._servers = keep

    def close(self) -> None:
        """End everything."""
        for server in self._servers:
            _end(server)
        self._servers = []


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.communicate()
        raise


def _on_this_machine(text: str, page: int) -> str:
    """A telex.toml whose listeners are all on 127.0.0.1, and its HTTP port too: at another port, if it says none."""
    tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    for index, each in enumerate(tables):
        if each.startswith("[[listeners]]") and "\nhost = " not in each and "\npath = " not in each:
            tables[index] = each.replace("\nport = ", '\nhost = "127.0.0.1"\nport = ', 1)
        elif each.startswith("[web]"):
            tables[index] = each.replace('"0.0.0.0"', '"127.0.0.1"')
            if "\nport = " not in each:
                tables[index] = tables[index].replace("[web]\n", f"[web]\nport = {page}\n", 1)
    return "".join(tables)


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """A desk until the block ends."""
    made = Desk(folder)
    try:
        yield made
    finally:
        made.close()
