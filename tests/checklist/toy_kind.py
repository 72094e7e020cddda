"""A kind of record that is not there, notes: what CONTRIBUTING's list has one write for it, as edits of a copy."""

from dataclasses import dataclass
from pathlib import Path

KINDS = "tests/architecture/test_kinds.py"
FLOORS = "tests/architecture/test_floors.py"


@dataclass(frozen=True)
class Edit:
    """One registration: a new file, or replacements in one that is there."""

    file: str
    says: tuple[str, ...]
    """What tests say where it is left out."""
    check: str
    """Those tests."""
    replaced: tuple[tuple[str, str], ...] = ()
    """Old and new; nothing for a new file."""
    content: str = ""

    def apply(self, copy: Path) -> None:
        """Make it in a copy of the project."""
        path = copy / self.file
        if not self.replaced:
            assert not path.exists(), f"{self.file} is no new file"
            path.write_text(self.content)
        for old, new in self.replaced:
            text = path.read_text()
            assert text.count(old) == 1, f"{self.file} has {text.count(old)} times {old!r}, where the toy kind is put"
            path.write_text(text.replace(old, new))

    def without(self, text: str) -> str | None:
        """The text of the file without it; None: no file."""
        for old, new in self.replaced:
            text = text.replace(new, old)
        return text if self.replaced else None


_ROW = """\
        Kind(
            "note",
            "note",
            Work("NoteWorkflow", "note", "Make a note what is wished of it"),
            directory=Directory(Root.NOTES, "directory of this note", "note_location"),
            shared=True,
            trashed=True,
        ),
"""

_TABLE = '''\
class Note(Shared, Table, db=DB):
    """A note that people share, and a directory for what belongs to it."""

    text = Text(default="")
    trashed_at = Timestamptz(null=True, default=None)


'''

_RECORDS = '''\
"""Notes: text that people share."""

from uuid import UUID

from models.database.tables import Note
from models.domain.ids import new_id
from models.domain.values import Caller
from models.records.shared_records import SharedRecord, SharedRecords

KIND = "note"


class NoteRecord(SharedRecord, frozen=True, kw_only=True):
    """A note as stored."""

    text: str


RECORDS = SharedRecords(KIND, Note, NoteRecord, "d.text")
read = RECORDS.read
list_visible = RECORDS.list_visible


async def create(name: str, text: str, caller: Caller) -> tuple[UUID, UUID]:
    """Wish for a note, within the caller's transaction; its id and the operation. Raises `StateConflict`."""
    made = Note(id=new_id(), owner=caller.id, name=name, text=text)
    return made.id, await RECORDS.insert(made, "note.create", caller)
'''

_WORKFLOW = '''\
"""Makes a note what is wished of it: it is its directory."""

from temporalio import workflow

from models.domain.values import Subject
from workflows.shared_object import SharedObject


@workflow.defn
class NoteWorkflow(SharedObject):
    """Makes a note what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await self.keep(subject)
'''

_API = '''\
"""Notes: text that people share."""

from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from api.http.answer import Answer
from api.http.etag import VERSIONED
from api.http.fields import AnswerBody, Description, PathName, RequestBody
from api.http.pagination import Page
from api.http.policy import Policy, needs
from api.http.write import Write
from api.sharing_routes import sharing_routes
from api.trash_routes import trash_routes
from models.domain.values import Caller, Subject
from models.records import notes
from models.records.notes import KIND, NoteRecord


class NoteCreate(RequestBody, frozen=True, kw_only=True):
    """A new note."""

    name: PathName
    text: Description


class NoteView(AnswerBody, frozen=True, kw_only=True):
    """A note."""

    id: UUID = msgspec.field(name="_id")
    name: str
    text: str


class NotesController(Controller):
    """Notes: text that people share."""

    path = "/notes"
    tags = ("Notes",)

    @get(opt=needs(Policy.SIGNED_IN), operation_id="listNotes", summary="List notes")
    async def index(self, page: NamedDependency[Page]) -> Response[list[NoteView]]:
        """Notes that the caller may use, newest first."""
        found = await notes.list_visible(page.caller, order=page.order(), limit=page.limit + 1)
        return page.answer(found, key=lambda one: (str(one.id),), view=_view)

    @post(opt=needs(Policy.SIGNED_IN), status_code=202, operation_id="createNote", summary="Make a note")
    async def create(self, data: JSONBody[NoteCreate], write: NamedDependency[Write]) -> Response[NoteView]:
        """Make a note with an empty directory."""
        async with write:
            identity, operation = await notes.create(data.name, data.text, write.caller)
            await write.accepts_record(operation, Subject(KIND, identity), _look)
        return write.answer

    @get("/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="getNote", summary="Read a note")
    async def read(self, id: FromPath[UUID], caller: NamedDependency[Caller]) -> Response[NoteView]:
        """Read a note that the caller may use."""
        found = await notes.read(id, caller)
        return Answer(_view(found), version=found.version)


async def _look(identity: UUID, caller: Caller) -> NoteView:
    return _view(await notes.read(identity, caller))


def _view(note: NoteRecord) -> NoteView:
    return NoteView(id=note.id, name=note.name, text=note.text)


ROUTES = [
    *trash_routes("/notes/{id:str}", notes.RECORDS, _look, NoteView),
    *sharing_routes(KIND, "/notes/{id:str}"),
]
'''

_TESTS = '''\
"""Notes over the API."""

from tests.unit.api.bench import Api


async def test_a_note_is_made_shared_trashed_and_restored(api: Api) -> None:
    made = await api.alice.post("/notes", json={"name": "cells", "text": "of mice"})
    assert made.status_code == 202
    path = f"/notes/{made.json()['_id']}"
    assert (await api.bob.get(path)).status_code == 404
    sharing = {"relation": "read", "userArray": [api.bob.email]}
    assert (await api.alice.post(f"{path}/share", json=sharing)).status_code == 202
    assert (await api.bob.get(path)).json() == made.json()
    assert (await api.bob.delete(path)).status_code == 403
    assert (await api.alice.delete(path)).status_code == 202
    assert (await api.bob.get(path)).status_code == 404
    assert (await api.alice.post(f"{path}/restore")).status_code == 202
    assert (await api.bob.get("/notes")).json() == [made.json()]
'''

_HISTORY = """\
{"events": [{"workflowExecutionStartedEventAttributes": {"workflowType": {"name": "NoteWorkflow"}}}]}
"""

EDITS = (
    Edit(
        "models/domain/kinds.py",
        ("models/domain/kinds.py has no kind of the table note",),
        f"{KINDS}::test_whatever_is_wished_for_is_a_kind",
        (
            ('    MODULES = "modules"\n', '    MODULES = "modules"\n    NOTES = "notes"\n'),
            ('        Kind(\n            "secret",\n', f'{_ROW}        Kind(\n            "secret",\n'),
        ),
    ),
    Edit(
        "models/domain/settings.py",
        ("models/domain/settings.py has no note_location",),
        f"{KINDS}::test_settings_and_images_have_the_directories_of_a_kind",
        (
            (
                "    files_uid: Annotated",
                '    note_location: Annotated[str, about("Directory of all notes.")] = "/opt/notes"\n'
                "    files_uid: Annotated",
            ),
        ),
    ),
    Edit(
        "docs/settings.md",
        ("NBHUB_NOTE_LOCATION",),
        "tests/architecture/test_documents.py::test_every_setting_is_documented",
        (
            (
                "| `NBHUB_FILES_UID` |",
                "| `NBHUB_NOTE_LOCATION` | `/opt/notes` | Directory of all notes. |\n| `NBHUB_FILES_UID` |",
            ),
        ),
    ),
    Edit(
        "docker-compose.yml",
        ("docker-compose.yml sets no NBHUB_NOTE_LOCATION",),
        f"{KINDS}::test_settings_and_images_have_the_directories_of_a_kind",
        (("  NBHUB_GROUP_LOCATION:", "  NBHUB_NOTE_LOCATION: /data/notes\n  NBHUB_GROUP_LOCATION:"),),
    ),
    *(
        Edit(
            image,
            (f"{image} makes no directory /data/notes",),
            f"{KINDS}::test_settings_and_images_have_the_directories_of_a_kind",
            ((" /data/groups", " /data/groups /data/notes"),),
        )
        for image in ("deploy/Dockerfile", "deploy/jupyterhub.Dockerfile")
    ),
    Edit(
        "models/database/tables.py",
        ("models/database/tables.py has no table note of the kind note",),
        f"{KINDS}::test_a_kind_has_a_table",
        (("class UserGroup(", f"{_TABLE}class UserGroup("),),
    ),
    Edit(
        "models/records/notes.py",
        ("cannot import name 'notes' from 'models.records'",),
        f"{KINDS}::test_a_kind_has_its_routes",
        content=_RECORDS,
    ),
    Edit(
        "models/records/volumes.py",
        ("LISTED of models/records/volumes.py has nothing for the root notes",),
        f"{KINDS}::test_what_has_directories_is_listed_below_their_root_and_seen_by_servers_that_hold_it",
        (
            ("import datasets, groups, modules\n", "import datasets, groups, modules, notes\n"),
            (
                "    Root.MODULES: modules.list_visible,\n",
                "    Root.MODULES: modules.list_visible,\n    Root.NOTES: notes.list_visible,\n",
            ),
        ),
    ),
    Edit(
        "workflows/note.py",
        ("No module named 'workflows.note'",),
        f"{KINDS}::test_a_workflow_works_on_each_kind",
        content=_WORKFLOW,
    ),
    Edit(
        "worker.py",
        ("WORKFLOWS of worker.py has no NoteWorkflow",),
        f"{KINDS}::test_a_workflow_works_on_each_kind",
        (
            (
                "from workflows.module import ModuleWorkflow\n",
                "from workflows.module import ModuleWorkflow\nfrom workflows.note import NoteWorkflow\n",
            ),
            ("    ModuleWorkflow,\n", "    ModuleWorkflow,\n    NoteWorkflow,\n"),
        ),
    ),
    Edit(
        "tests/histories/rules-2/note-create.json",
        ("tests/histories has none of NoteWorkflow",),
        "tests/architecture/test_wiring.py::test_a_workflow_has_a_history",
        content=_HISTORY,
    ),
    Edit(
        "api/notes.py",
        ("cannot import name 'notes' from 'api'",),
        f"{KINDS}::test_a_kind_has_its_routes",
        content=_API,
    ),
    Edit(
        "tests/unit/api/test_notes.py",
        ("no tests/unit/api/test_notes.py",),
        "tests/architecture/test_order_of_tests.py",
        content=_TESTS,
    ),
    Edit(
        "api/app.py",
        ("HANDLERS of api/app.py has no NotesController of api/notes.py",),
        f"{KINDS}::test_what_has_routes_is_mounted",
        (
            (
                "from api.modules import ModulesController\n",
                "from api.modules import ModulesController\nfrom api.notes import NotesController\n",
            ),
            (
                "from api import codec, datasets, file_changes, groups, modules, secrets\n",
                "from api import codec, datasets, file_changes, groups, modules, notes, secrets\n",
            ),
            ("    *modules.ROUTES,\n", "    *modules.ROUTES,\n    NotesController,\n    *notes.ROUTES,\n"),
        ),
    ),
    Edit(
        "pyproject.toml",
        ("docs/architecture.md and pyproject.toml differ",),
        FLOORS,
        ((" | modules | ", " | modules | notes | "), (" | module | ", " | module | note | ")),
    ),
    Edit(
        "docs/architecture.md",
        ("on no floor of the picture in docs/architecture.md: models/records/notes.py",),
        FLOORS,
        (
            ("groups health help_pages ", "groups health help_pages notes "),
            ("group module ", "group module note "),
            ("mounts persons ", "mounts notes persons "),
        ),
    ),
)

_LAST = "    return manager\n"
_VIEW = '''\
    manager.execute(
        """
    CREATE OR REPLACE VIEW shareable AS
    SELECT id, 'dataset' AS kind, owner, name, wish = 'present' AS live, observed = 'present' AS ready FROM dataset
    UNION ALL
    SELECT id, 'module', owner, name, wish = 'present', observed = 'present' FROM module
    UNION ALL
    SELECT id, 'secret', owner, name, wish = 'present', observed = 'present' FROM secret
    UNION ALL
    SELECT id, 'note', owner, name, wish = 'present', observed = 'present' FROM note
    """,
        backwards="DROP VIEW shareable",
    )
'''


def _index(name: str, on: str, *, unique: bool = False) -> str:
    return f'    manager.create_index("{name}", "note {on}"{", unique=True" if unique else ""})\n'


# What `make migration` does not write by itself; to each what a test says without it.
_BY_HAND = {
    "finds what is unsettled": _index("note_unsettled", "(observed_at) WHERE generation <> observed_generation"),
    "finds the newest of an owner": _index("note_owner_newest", "(owner, id DESC) WHERE wish = 'present'"),
    "finds the newest of all": _index("note_newest", "(id DESC) WHERE wish = 'present'"),
    "finds what counts to a quota": _index("note_quota", "(owner)"),
    "finds another of its name": _index("note_name", "(owner, name) WHERE wish = 'present'", unique=True),
    "finds what is in the trash": _index("note_trash", "(trashed_at) WHERE wish = 'trashed'"),
    "finds an owner's trash": _index("note_owner_trash", "(owner, trashed_at DESC, id DESC) WHERE wish = 'trashed'"),
    "the view shareable, which a migration makes, has no branch of the kind note": _VIEW,
}
MIGRATION = "models/migrations/notebooks_hub_note.py"
STATEMENTS = Edit(MIGRATION, tuple(_BY_HAND), KINDS, ((_LAST, "".join(_BY_HAND.values()) + _LAST),))
