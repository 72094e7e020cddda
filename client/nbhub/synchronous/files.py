# Made of nbhub/asynchronous/files.py by `make client`: change it there.
"""Files of one's home, and of datasets, groups and modules.

A place is a root (`notebooks`, `datasets`, `groups`, `modules`) and a path beneath it. In all but `notebooks`, which is
one's home, the path begins with a record's id. `place("datasets:ice/2026")` finds it by the record's name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from nbhub.answers import read
from nbhub.errors import Ambiguous, Conflict, NotFound
from nbhub.models import Candidate, Entry, File, Placed, Upload
from nbhub.synchronous.lists import Pages
from nbhub.synchronous.transport import Content, Transport, segment

HOME = "notebooks"
ROOTS = {"home": HOME, HOME: HOME, "datasets": "datasets", "groups": "groups", "modules": "modules"}
_PART = 262_144


class Place(NamedTuple):
    """A file or directory: a path beneath a root."""

    root: str
    path: str


class Files:
    """Files and directories."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def place(self, text: str) -> Place:
        """The place that a text names: `home:dir/file`, or `datasets:NAME/dir/file`; a name may be an id."""
        word, colon, path = text.partition(":")
        root = ROOTS.get(word) if colon else None
        if root is None:
            raise NotFound(f"{text} names no place: {', '.join(ROOTS)} and a colon come first", status=404)
        path = path.strip("/")
        if root == HOME or not path:
            return Place(root, path)
        name, slash, below = path.partition("/")
        found = [one for one in self.list(root) if name in (one.name, one.title)]
        if not found:
            raise NotFound(f"there is no {name} in {root}", status=404)
        if len(found) > 1:
            raise Ambiguous(name, [Candidate(id=one.name, name=one.title or one.name) for one in found])
        return Place(root, f"{found[0].name}{slash}{below}")

    def list(self, root: str, path: str = "", *, email: str | None = None) -> Pages[Entry]:
        """What is in a directory, by name; of another's home for admins."""
        query = {"root": root, "path": path or None, "email": email}
        return Pages(self._transport, "/volume/files", Entry, query)

    def read(self, root: str, path: str, *, email: str | None = None) -> bytes:
        """The content of a file."""
        query = {"root": root, "path": path, "email": email}
        return (self._transport.send("GET", "/volume/file", query=query)).content

    @contextmanager
    def open(self, root: str, path: str, *, email: str | None = None) -> Iterator[Iterator[bytes]]:
        """The content of a file, in parts as it comes."""
        with self._transport.stream("/volume/file", query={"root": root, "path": path, "email": email}) as response:
            yield response.iter_bytes(_PART)

    def download(self, root: str, path: str, target: Path, *, email: str | None = None) -> int:
        """Write a file to this machine, whole or not at all; its size in bytes."""
        size = 0
        partial = target.with_name(f".{target.name}.part")
        try:
            with self.open(root, path, email=email) as parts, partial.open("wb") as file:
                for part in parts:
                    size += file.write(part)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return size

    def write(self, root: str, path: str, content: bytes, *, replace: bool = True, if_match: str | None = None) -> File:
        """Make a file, or replace one as a whole; with `replace=False` nothing is replaced."""

        def parts() -> Iterator[bytes]:
            yield content

        return self._write(root, path, parts, len(content), replace, if_match)

    def upload(self, source: Path, root: str, path: str, *, replace: bool = True, if_match: str | None = None) -> File:
        """Make a file, or replace one as a whole, of one on this machine."""

        def parts() -> Iterator[bytes]:
            with source.open("rb") as file:
                while part := file.read(_PART):
                    yield part

        return self._write(root, path, parts, source.stat().st_size, replace, if_match)

    def _write(self, root: str, path: str, parts: Content, size: int, replace: bool, if_match: str | None) -> File:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        if not replace:
            headers["If-None-Match"] = "*"
        response = self._transport.send(
            "PUT",
            "/volume/file",
            query={"root": root, "path": path},
            content=parts,
            headers=headers,
            if_match=if_match,
        )
        return read(response, File)

    def upload_in_parts(
        self,
        source: Path,
        root: str,
        path: str,
        *,
        resume: str | None = None,
        part_size: int = 16 * 2**20,
        replace: bool = True,
    ) -> Upload:
        """Make a file, or replace one, of one on this machine, which a lost connection does not begin anew.

        `resume` is the id of an upload that was cut off.
        """
        size = source.stat().st_size
        upload = self.begin_upload(root, path, size) if resume is None else self.upload_state(resume)
        with source.open("rb") as file:
            while not upload.complete:
                file.seek(upload.offset)
                part = file.read(part_size)
                last = upload.offset + len(part) >= size
                try:
                    upload = self.send_part(upload, part, last=last, replace=replace)
                except Conflict as refusal:
                    if refusal.code != "OFFSET_MISMATCH":
                        raise
                    # An answer was lost: the part is there.
                    upload = self.upload_state(upload.id)
        return upload

    def begin_upload(self, root: str, path: str, size: int | None = None) -> Upload:
        """Begin a file that comes in parts."""
        body = {"root": root, "path": path} | ({} if size is None else {"size": size})
        return self._transport.call("POST", "/volume/uploads", Upload, body=body)

    def upload_state(self, id: str) -> Upload:
        """How far an upload is."""
        return self._transport.call("GET", f"/volume/uploads/{segment(id)}", Upload)

    def send_part(
        self, upload: Upload, part: bytes, *, last: bool = False, replace: bool = True, if_match: str | None = None
    ) -> Upload:
        """Send what comes after that which is there. With the `last` part the file is there."""

        def parts() -> Iterator[bytes]:
            yield part

        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(part)),
            "Upload-Offset": str(upload.offset),
            "Upload-Complete": "?1" if last else "?0",
        }
        if last and not replace:
            headers["If-None-Match"] = "*"
        path = f"/volume/uploads/{segment(upload.id)}"
        response = self._transport.send("PATCH", path, content=parts, headers=headers, if_match=if_match)
        return read(response, Upload)

    def end_upload(self, id: str) -> None:
        """Give an upload up. What came of it is removed."""
        self._transport.send("DELETE", f"/volume/uploads/{segment(id)}")

    def move(self, root: str, path: str, to: str) -> Placed:
        """Rename or move a file or directory within the directory of its record. Nothing is replaced."""
        body = {"root": root, "path": path, "to": to}
        return self._transport.call("POST", "/volume/file/move", Placed, body=body)

    def copy(self, root: str, path: str, to: str, *, to_root: str | None = None) -> Placed:
        """Copy a file. Nothing is replaced."""
        body = {"root": root, "path": path, "to": to} | ({} if to_root is None else {"to_root": to_root})
        return self._transport.call("POST", "/volume/file/copy", Placed, body=body)

    def delete(self, root: str, path: str) -> None:
        """Delete a file, or a directory with all that is in it, for good."""
        self._transport.send("DELETE", "/volume/file", query={"root": root, "path": path})

    def make_directory(self, root: str, path: str) -> File:
        """Make a directory, of which all but the last must be there."""
        return self._create(root, path, "directory")

    def create(self, root: str, path: str, content: str = "") -> File:
        """Make a small file of text. Nothing is replaced."""
        return self._create(root, path, "file", content)

    def _create(self, root: str, path: str, type: str, content: str | None = None) -> File:
        directory, _, name = path.strip("/").rpartition("/")
        body = {"root": root, "path": directory, "name": name, "type": type}
        if content is not None:
            body["content"] = content
        return self._transport.call("POST", "/volume/file", File, body=body)
