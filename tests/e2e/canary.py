"""Values that nobody else could have made up, and a search for them in every form and every place.

All values of one `Canaries` begin and end with one random mark. So whatever holds one, or a part of one that was cut
off, holds a form of the mark, and one search finds them all; what stands beside the mark tells which value it was.
"""

import base64
import contextlib
import html
import json
import os
import re
import secrets
import sqlite3
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, quote_plus

import asyncpg
import httpx
from cryptography.fernet import Fernet, InvalidToken
from google.protobuf.message import Message
from msgspec import Struct
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecution

# What JSON, addresses, pages and programs write in another way, and UTF-8 in several bytes. It ends with a letter:
# digits that begin right after one are not taken for a token and hidden.
AWKWARD = " \"'\\\r\n\t%<&>é😀ü"

CHUNK = 4 * 1024 * 1024
# How far from its mark the rest of a value may be, in any form.
_AROUND = 1024
_FERNET = re.compile(rb"gAAAAA[A-Za-z0-9_-]{80,}={0,2}")
_SQLITE = b"SQLite format 3\0"
# Of a virtual one the tables behind it are there too.
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
_PROC = Path("/proc")
_LOOK_AGAIN = 0.05
# A process may change its environment; nothing shows that it did.
_LOOK_AT_ALL_EVERY = 20

Opener = Callable[[bytes], Iterator[bytes]]


def encodings(text: str) -> dict[str, bytes]:
    """The forms in which programs write a text, by their names."""
    data = text.encode()
    in_json, in_ascii = (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
    percent = quote(text, safe="")
    forms = {
        "as it is": data,
        "JSON": in_json.encode(),
        "JSON in ASCII": in_ascii.encode(),
        "JSON in ASCII, upper case": _upper(r"(?<=\\u)[0-9a-f]{4}", in_ascii),
        "JSON within JSON": json.dumps(in_json, ensure_ascii=False)[1:-1].encode(),
        "JSON in ASCII within JSON": json.dumps(in_ascii)[1:-1].encode(),
        "percent": percent.encode(),
        "percent, lower case": re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), percent).encode(),
        "form": quote_plus(text).encode(),
        "HTML": html.escape(text).encode(),
        "Python": repr(text)[1:-1].encode(),
        "Python's bytes": repr(data)[2:-1].encode(),
        "hexadecimal": data.hex().encode(),
        "hexadecimal, upper case": data.hex().upper().encode(),
        "UTF-16 LE": text.encode("utf-16-le"),
        "UTF-16 BE": text.encode("utf-16-be"),
    }
    for offset in range(3):
        for name, encode in (("base64", base64.b64encode), ("URL-safe base64", base64.urlsafe_b64encode)):
            forms[f"{name}, {offset} after a group"] = _within(encode(bytes(offset) + data), offset, len(data))
    return forms


def _upper(pattern: str, text: str) -> bytes:
    return re.sub(pattern, lambda found: found[0].upper(), text).encode()


def _within(encoded: bytes, offset: int, length: int) -> bytes:
    """What of the base64 of something longer depends on nothing but the `length` bytes at an offset."""
    return encoded[(offset * 8 + 5) // 6 : (offset + length) * 8 // 6]


class Find(Struct, frozen=True, order=True):
    """Something that lay about: where, written how, and of which flows."""

    place: str
    form: str
    flows: str


class Canaries:
    """The values of one story, by the flows that they went into."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(16)
        self.values: dict[str, str] = {}
        self._tracks: dict[str, list[bytes]] = {}
        forms: dict[bytes, str] = {}
        for text in (self.mark, AWKWARD + self.mark):
            for form, needle in encodings(text).items():
                forms.setdefault(needle, form)
        # What holds another one is found with it.
        self._needles = {
            needle: form
            for needle, form in forms.items()
            if not any(other in needle for other in forms if other != needle)
        }

    def value(self, flow: str, filler: int = 0) -> str:
        """A new value for a flow, with so many bytes more in the middle of it."""
        assert flow not in self.values, f"two values for {flow}"
        own = secrets.token_hex(8)
        begin, end = f"{self.mark}_{flow}_{own}", f"{own}{self.mark}"
        self.values[flow] = f"{begin}{AWKWARD}{'x' * filler}{end}"
        self._tracks[flow] = [track for text in (begin, end) for track in encodings(text).values()]
        return self.values[flow]

    def find_in_bytes(self, data: bytes, place: str) -> set[Find]:
        """Everything in `data`."""
        found = set()
        for needle, form in list(self._needles.items()):
            at = data.find(needle)
            while at >= 0:
                around = data[max(0, at - _AROUND) : at + _AROUND]
                found.add(Find(place, form, self._flows_in(around)))
                at = data.find(needle, at + 1)
        return found

    def _flows_in(self, data: bytes) -> str:
        names = [flow for flow, tracks in list(self._tracks.items()) if any(track in data for track in tracks)]
        return ", ".join(names) or "a part of one"

    def find_in_chunks(self, chunks: Iterable[bytes], place: str) -> set[Find]:
        """Everything in data that comes in pieces."""
        found, rest = set(), b""
        for chunk in chunks:
            data = rest + chunk
            found |= self.find_in_bytes(data, place)
            rest = data[-2 * _AROUND :]
        return found

    def find_in_file(self, path: Path, opener: Opener | None = None, *, chunk: int = CHUNK) -> set[Find]:
        """Everything in a file: as it is, in the gzip or zlib stream that it may be, in the rows of its tables."""
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
            file.seek(0)
            found = self.find_in_chunks(iter(lambda: file.read(chunk), b""), str(path))
            if head[:2] == b"\x1f\x8b" or (len(head) > 1 and head[0] & 15 == 8 and not int.from_bytes(head[:2]) % 31):
                file.seek(0)
                stream = _decompressed(iter(lambda: file.read(chunk), b""))
                found |= self.find_in_chunks(stream, f"{path}, decompressed")
        if head == _SQLITE:
            found |= self.find_in_sqlite(path, opener)
        return found

    def find_in_tree(
        self, root: Path, *, skip: Collection[Path] = (), since: float = 0, opener: Opener | None = None
    ) -> set[Find]:
        """Everything in the files and in the names under a directory.

        `since` leaves out what was not changed since then, or belongs to somebody else. What another file system shows
        below it is not in it: an engine of containers puts things there that cannot be read.
        """
        found, device = set(), root.stat().st_dev
        for directory, names, files in os.walk(root):
            here = Path(directory)
            names[:] = [name for name in names if here / name not in skip]
            for name in (*names, *files):
                path = here / name
                found |= self.find_in_bytes(os.fsencode(name), f"the name of {path}")
                # What is gone meanwhile is not left.
                with contextlib.suppress(FileNotFoundError):
                    if path.is_symlink():
                        found |= self.find_in_bytes(os.fsencode(path.readlink()), f"the target of {path}")
                    elif path not in skip and path.is_file():
                        status = path.stat()
                        if status.st_dev == device and (not since or _ours(status, since)):
                            found |= self.find_in_file(path, opener)
        return found

    def find_in_sqlite(self, path: Path, opener: Opener | None = None) -> set[Find]:
        """Everything in the rows of a database: a long one is in pieces on disk. `opener` opens what is encrypted.

        One that its program keeps to itself for as long as it runs, as browsers do, is read as it lies.
        """
        try:
            return self._find_in_rows(path, "mode=ro", opener)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
        return self._find_in_rows(path, "immutable=1", opener)

    def _find_in_rows(self, path: Path, way: str, opener: Opener | None) -> set[Find]:
        found = set()
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?{way}", uri=True)) as connection:
            connection.text_factory = bytes
            tables = [name.decode() for (name,) in connection.execute(_TABLES)]
            for table in tables:
                quoted = table.replace('"', '""')
                for row in connection.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608 -- quoted
                    data = b"\0".join(cell for cell in row if isinstance(cell, bytes))
                    found |= self.find_in_bytes(data, f"{path}, table {table}")
                    for opened in opener(data) if opener else ():
                        found |= self.find_in_bytes(opened, f"{path}, table {table}, decrypted")
        return found

    async def find_in_postgres(self, address: Callable[[str], str]) -> set[Find]:
        """Everything in the rows of all tables, and in what was asked last; `address` is that of a database by name."""
        found = set()
        async with _connected(address("postgres")) as connection:
            databases = await connection.fetch("SELECT datname FROM pg_database WHERE datallowconn")
            asked = await connection.fetch("SELECT a::text FROM pg_stat_activity a")
        for (line,) in asked:
            found |= self.find_in_bytes(line.encode(), "what PostgreSQL was asked last")
        for (database,) in databases:
            async with _connected(address(database)) as connection:
                tables = await connection.fetch(
                    """SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"""
                )
                for (table,) in tables:
                    for (line,) in await connection.fetch(f"SELECT t::text FROM {table} t"):  # noqa: S608 -- quoted
                        found |= self.find_in_bytes(line.encode(), f"{database}, table {table}")
        return found

    async def find_in_histories(self, client: Client) -> "Histories":
        """Everything in what Temporal tells of any workflow: as it is stored, and as the client's codec decodes it."""
        result = Histories()
        async for execution in client.list_workflows():
            result.workflows += 1
            for message in await _told_of(client, execution):
                result.found |= self.find_in_bytes(message.SerializeToString(), f"Temporal, {execution.id}")
                for payload in _payloads_in(message):
                    decoded = await _decoded(client, payload)
                    if decoded != payload:
                        result.decrypted += 1
                    result.found |= self.find_in_bytes(
                        decoded.SerializeToString(), f"Temporal, {execution.id}, decoded"
                    )
        return result


class Histories(Struct):
    """What was found in histories, and how much there was to look at."""

    workflows: int = 0
    decrypted: int = 0
    found: set[Find] = set()


def _ours(status: os.stat_result, since: float) -> bool:
    return status.st_mtime >= since and status.st_uid == os.geteuid()


def _decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What a gzip or zlib stream holds, as far as it is one."""
    stream = zlib.decompressobj(wbits=47)
    for chunk in chunks:
        data = chunk
        while data:
            try:
                yield stream.decompress(data)
            except zlib.error:
                return
            data = stream.unused_data
            if data:
                # Of gzip, several may follow each other.
                stream = zlib.decompressobj(wbits=47)


def fernet_opener(keys: Iterable[str], counted: list[bytes] | None = None) -> Opener:
    """Opens what in some data was encrypted with one of these keys; what it opened is added to `counted`."""
    boxes = [Fernet(key) for key in keys]

    def opened(data: bytes) -> Iterator[bytes]:
        for token in _FERNET.findall(data):
            for box in boxes:
                with contextlib.suppress(InvalidToken):
                    content = box.decrypt(token)
                    if counted is not None:
                        counted.append(content)
                    yield content

    return opened


@contextlib.asynccontextmanager
async def _connected(address: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(address)
    try:
        yield connection
    finally:
        await connection.close()


async def flush_postgres(address: str) -> None:
    """Have PostgreSQL write everything to its files."""
    async with _connected(address) as connection:
        await connection.execute("CHECKPOINT")
        await connection.execute("SELECT pg_switch_wal()")


async def _told_of(client: Client, execution: WorkflowExecution) -> Sequence[Message]:
    handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
    history = await handle.fetch_history()
    return [*history.events, (await handle.describe()).raw_description]


def _payloads_in(message: Message) -> Iterator[Payload]:
    for _, value in message.ListFields():
        if isinstance(value, Message):
            children: Iterable[Any] = (value,)
        elif isinstance(value, Mapping):
            children = value.values()
        elif isinstance(value, Sequence):
            children = value
        else:
            continue
        for child in children:
            if isinstance(child, Payload):
                yield child
            elif isinstance(child, Message):
                yield from _payloads_in(child)


async def _decoded(client: Client, payload: Payload) -> Payload:
    codec = client.data_converter.payload_codec
    assert codec is not None, "the client was given no keys"
    (decoded,) = await codec.decode([payload])
    return decoded


class Answers:
    """Everything that clients of HTTP were answered, with its headers."""

    def __init__(self) -> None:
        self.recorded: list[tuple[int, str, bytes]] = []

    async def record(self, response: httpx.Response) -> None:
        """Keep an answer: a hook of httpx."""
        await response.aread()
        headers = b"".join(b"%b: %b\n" % pair for pair in response.headers.raw)
        place = f"the answer to {response.request.method} {response.request.url}"
        self.recorded.append((response.status_code, place, headers + b"\n" + response.content))

    @contextlib.contextmanager
    def of(self, *clients: httpx.AsyncClient) -> Iterator[None]:
        """Keep what these clients are answered meanwhile."""
        for client in clients:
            client.event_hooks = {"response": [*client.event_hooks["response"], self.record]}
        try:
            yield
        finally:
            for client in clients:
                hooks = [hook for hook in client.event_hooks["response"] if hook != self.record]
                client.event_hooks = {"response": hooks}

    def find(self, canaries: Canaries) -> set[Find]:
        """Everything in them."""
        found = set()
        for status, place, content in self.recorded:
            found |= canaries.find_in_bytes(content, f"{place} ({status})")
        return found


class Watch:
    """Looks at the command lines and environments of all processes, again and again, for as long as it is entered.

    A process in a PID namespace of its own is inside a server: its environment is that server's owner's.
    """

    def __init__(self, canaries: Canaries) -> None:
        self._canaries = canaries
        self._here = os.stat("/proc/self/ns/pid").st_ino
        self._known: dict[int, bytes] = {}
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._failure: Exception | None = None
        self.found: set[Find] = set()
        self.inside: set[Find] = set()
        self.programs: set[bytes] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def saw(self, program: bytes) -> bool:
        """Whether some process outside of servers had this in its command line."""
        return any(program in command for command in tuple(self.programs))

    def look(self) -> None:
        """Look once, at what is new."""
        pids = {int(name) for name in os.listdir(_PROC) if name.isdigit()}
        self._known = {pid: command for pid, command in self._known.items() if pid in pids}
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                self._look_at(pid)

    def _look_at(self, pid: int) -> None:
        process = _PROC / str(pid)
        command = (process / "cmdline").read_bytes()
        if self._known.get(pid) == command:
            return
        # Before the environment: a program that is executed meanwhile has another one, and is looked at again.
        self._known[pid] = command
        shown = command.partition(b"\0")[0].decode(errors="replace")
        self.found |= self._canaries.find_in_bytes(command, f"the command line of {pid}, {shown}")
        outside = (process / "ns" / "pid").stat().st_ino == self._here
        environment = (process / "environ").read_bytes()
        found = self._canaries.find_in_bytes(environment, f"the environment of {pid}, {shown}")
        if outside:
            self.programs.add(command)
            self.found |= found
        else:
            self.inside |= found

    def _run(self) -> None:
        looks = 0
        try:
            while not self._left.wait(_LOOK_AGAIN):
                looks += 1
                if looks % _LOOK_AT_ALL_EVERY == 0:
                    self._known.clear()
                self.look()
        except Exception as failure:
            self._failure = failure
