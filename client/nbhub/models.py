"""The records and answers of Notebooks Hub.

Fields that a newer Notebooks Hub adds are ignored, and words such as a status are plain text, so that this client
outlives a change of the other side. Times have their time zone. A record that was read by itself knows its `etag`: an
update that is given the record, and not its name, takes place only if it has not changed since.
"""

from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct, field

from nbhub.display import card_of


class Record(Protocol):
    """What has an id and a name."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


class Model(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all of them."""

    def _repr_html_(self) -> str:
        return card_of(self)


class Candidate(Model, frozen=True, kw_only=True):
    """What may be meant by a name."""

    id: str
    name: str


class Versioned(Model, frozen=True, kw_only=True):
    """A record of which changes are told apart."""

    id: str = field(name="_id")
    etag: str | None = None
    """What it was read as; None in a list."""


class Template(Versioned, frozen=True, kw_only=True):
    """What a server is made of."""

    name: str
    description: str
    type: str
    application_type: str = field(name="applicationType")
    hardware: str
    public: bool
    creator: str
    datasets: list[str]
    modules: list[str]
    secrets: list[str]
    tags: list[str]
    server_name: str = field(name="serverName")
    timestamp: datetime
    featured_image: str | None = field(default=None, name="featuredImage")
    file_path: str | None = field(default=None, name="filePath")


class LastError(Model, frozen=True, kw_only=True):
    """Why a server failed to start, or ended."""

    code: str
    message: str
    at: datetime
    hint: str | None = None
    log: str | None = None
    """The last lines of its log."""


class StoppedReason(Model, frozen=True, kw_only=True):
    """Why a server does not run any more: `by` a person or the system, and for what `reason`."""

    by: str
    reason: str
    at: datetime
    message: str
    who: str | None = None
    exit_code: int | None = None
    log_tail: str | None = None
    """The last lines of its log; `last_error` has more of them."""


class SharedWith(Model, frozen=True, kw_only=True):
    """With how many a server is shared, as last seen."""

    people: int
    groups: int


class Server(Versioned, frozen=True, kw_only=True):
    """A notebook server. `status` is one of `stopped`, `starting`, `running`, `stopping`."""

    name: str
    owner: str
    status: str
    url: str
    application_type: str = field(name="applicationType")
    template_id: str = field(name="templateId")
    template: Template = field(name="templateData")
    """As the server keeps it: not every change of a template reaches its servers."""
    operation: str | None = None
    """Id of the one in progress."""
    last_error: LastError | None = None
    access_ends_at: datetime | None = None
    """When it is stopped because of what its owner may not use any more."""
    created_at: datetime
    started_at: datetime | None = None
    """Since when it runs as it is wished to."""
    last_activity: datetime | None = None
    stopped_reason: StoppedReason | None = None
    shared_with: SharedWith | None = None
    """None where it is shared with nobody."""


class ServerLog(Model, frozen=True, kw_only=True):
    """The end of what a running server has written."""

    log: str


class ServerShare(Model, frozen=True, kw_only=True):
    """The link that shares a server, and with whom it is shared, as last seen."""

    url: str | None
    users: list[str]
    groups: list[str]
    as_of: datetime | None = None
    expires_at: datetime | None = None
    reason: str | None = None
    """Why there is no link."""


class SharedServer(Model, frozen=True, kw_only=True):
    """A server that has a link or is shared."""

    id: str = field(name="_id")
    name: str
    owner: str
    users: list[str]
    groups: list[str]
    url: str | None = None
    as_of: datetime | None = None
    expires_at: datetime | None = None


class Dataset(Versioned, frozen=True, kw_only=True):
    """A directory of data that can be shared."""

    name: str
    owner: str
    write_access: bool
    """Whether the caller may change it."""
    description: str | None = None


class Group(Versioned, frozen=True, kw_only=True):
    """People whom one shares with under one name."""

    name: str
    manager: bool
    """Whether the caller is one."""
    member: bool
    shown: bool | None = None
    """Whether its directory is in the caller's servers."""


class ModuleCall(Model, frozen=True, kw_only=True):
    """One call of a modulefile: a function of `Hub.lua_functions()`, and its arguments."""

    id: str
    arguments: list[str]


class Module(Versioned, frozen=True, kw_only=True):
    """Software that servers load by `module load name/version`."""

    name: str
    version: str
    owner: str
    featured: bool
    write_access: bool
    lua_module_file: list[ModuleCall] = field(name="luaModuleFile")
    description: str | None = None


class Secret(Versioned, frozen=True, kw_only=True):
    """A secret without its value, which nobody reads but the servers that it is for."""

    name: str = field(name="secretName")
    type: str
    owner: str
    write_access: bool
    engine: str
    secret_path: str
    mount_path: str
    version: int | None = None
    description: str | None = None


class Access(Model, frozen=True, kw_only=True):
    """Who has which access."""

    entity: str
    type: str
    access: str
    id: str | None = field(default=None, name="_id")
    expires_at: datetime | None = None
    granted_by: str | None = None


class Way(Model, frozen=True, kw_only=True):
    """One reason for which somebody has access."""

    type: str
    access: str
    entity: str | None = None
    expires_at: datetime | None = None


class Explanation(Model, frozen=True, kw_only=True):
    """Which access somebody has, and why."""

    email: str
    via: list[Way]
    access: str | None = None


class Entry(Model, frozen=True, kw_only=True):
    """A file or directory at `path/name`. `title` is the name of the record whose directory it is."""

    name: str
    path: str
    root: str
    type: str
    title: str | None = None
    size: int | None = None
    modified_at: datetime | None = None


class Placed(Model, frozen=True, kw_only=True):
    """A file or directory where it is by now."""

    name: str
    path: str
    root: str
    type: str
    size: int | None = None


class Upload(Model, frozen=True, kw_only=True):
    """A file that comes in parts, of which `offset` bytes are there."""

    id: str = field(name="_id")
    root: str
    path: str
    offset: int
    complete: bool
    expires_at: datetime
    size: int | None = None


class File(Model, frozen=True, kw_only=True):
    """What was made or written."""

    name: str
    path: str
    root: str
    type: str
    content: str | None = None
    size: int | None = None


class Step(Model, frozen=True, kw_only=True):
    """One step of an operation."""

    name: str
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    detail: str | None = None
    attempt: int | None = None
    next_try_at: datetime | None = None
    troubled_since: datetime | None = None


class LeftOut(Model, frozen=True, kw_only=True):
    """What of a template a server does not get, and why."""

    kind: str
    id: str = field(name="_id")
    reason: str


class OperationError(Model, frozen=True, kw_only=True):
    """Why an operation failed, and what to do next."""

    code: str
    message: str
    hint: str | None = None


class Phase(Model, frozen=True, kw_only=True):
    """The step at which a start is, and how long it takes as a rule."""

    name: str
    started_at: datetime
    usual_seconds: float | None = None


class StepTold(Model, frozen=True, kw_only=True):
    """A step of an operation that has begun or ended."""

    name: str
    status: str


class Change(Model, frozen=True, kw_only=True):
    """Something that changed: what it is, and of a server or an operation what a list shows of it.

    `change` is one of `created`, `changed`, `deleted`, `shared`, `taken_back`; the `etag` begins with `version`.
    """

    kind: str
    id: str = field(name="_id")
    change: str
    at: datetime
    version: int | None = None
    status: str | None = None
    action: str | None = None
    """Of an operation, such as `server.start`."""
    subject: str | None = None
    subject_kind: str | None = None
    code: str | None = None
    """Why an operation failed, or a server stopped or did not start, unless somebody asked for that."""
    step: StepTold | None = None

    @property
    def name(self) -> str:
        """What it is, in place of a name."""
        return self.kind


class Reset(Model, frozen=True, kw_only=True):
    """What was before this is not told: read everything anew."""

    reason: str
    """`began`, or `gap`: too much was missed."""


class OperationState(Versioned, frozen=True, kw_only=True):
    """Something that was asked for, how far it is, and how it ended.

    `status` is one of `queued`, `running`, `succeeded`, `failed`, `cancelled`.
    """

    kind: str
    subject: str
    subject_kind: str
    actor: str
    status: str
    created_at: datetime
    steps: list[Step]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    superseded_by: str | None = None
    error: OperationError | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    waits_for: str | None = None
    """What is missing for it to go on, in words."""
    workflow_url: str | None = None
    phase: Phase | None = None
    """Where a start is that has not ended."""
    usual_seconds: float | None = None
    """What such a start takes as a rule, from the request to its end."""

    @property
    def name(self) -> str:
        """What it does, in place of a name."""
        return self.kind

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ("succeeded", "failed", "cancelled")


class Inside(Model, frozen=True, kw_only=True):
    """Something that a server would have."""

    kind: str
    id: str = field(name="_id")
    name: str
    write: bool
    """Whether the server could change it."""
    owner: str | None = None
    version: str | None = None


class Preview(Model, frozen=True, kw_only=True):
    """What a write would come to; nothing of it has happened."""

    kind: str
    status: str
    results: "list[Result]"
    servers: int
    """How many would be stopped."""
    own_servers: list[str]
    """The ids of those that one may see."""
    inside: list[Inside]
    """What a server would have, once it is started."""
    left_out: list[LeftOut]
    stops_at: datetime | None = None


class Result(Model, frozen=True, kw_only=True):
    """What an operation came to for one person, group or organisation."""

    entity: str
    type: str
    outcome: str
    detail: str | None = None


class Tag(Model, frozen=True, kw_only=True):
    """A tag, and how many templates have it."""

    id: str = field(name="_id")
    name: str
    count: int


class Use(Model, frozen=True, kw_only=True):
    """How much of something one uses; without `limit` it is not limited."""

    used: int
    limit: int | None = None


class Membership(Model, frozen=True, kw_only=True):
    """A group that one is in."""

    id: str = field(name="_id")
    name: str
    role: str


class Can(Model, frozen=True, kw_only=True):
    """What one may do."""

    administer: bool
    create_dataset: bool
    create_group: bool
    create_module: bool
    create_secret: bool
    create_server: bool
    create_template: bool
    feature_module: bool
    feature_template: bool
    publish_template: bool
    start_server: bool


class Me(Model, frozen=True, kw_only=True):
    """Who one is, and what one may do."""

    id: str = field(name="_id")
    email: str
    name: str | None = None
    admin: bool
    organisations: list[str]
    groups: list[Membership]
    more_groups: bool = False
    directory: str
    """Whom `Hub.people` finds: `none`, `organisation` or `all`."""
    can: Can
    usage: dict[str, Use]


class Person(Model, frozen=True, kw_only=True):
    """A person whom one may find."""

    email: str
    name: str | None = None


class Trashed(Model, frozen=True, kw_only=True):
    """Something in one's trash."""

    kind: str
    id: str = field(name="_id")
    name: str
    trashed_at: datetime
    purged_at: datetime
    """Until when it can be restored."""


class Organisation(Model, frozen=True, kw_only=True):
    """An organisation that one may find."""

    name: str
    member: bool


class FileRule(Model, frozen=True, kw_only=True):
    """Which file or folder an application opens."""

    description: str
    pattern: str


class Application(Model, frozen=True, kw_only=True):
    """An application type that a template may have. `unavailable`: why no server is started with it."""

    id: str = field(name="_id")
    title: str
    icon: str
    default: bool
    file: FileRule | None = None
    unavailable: str | None = None

    @property
    def opens(self) -> str | None:
        """Which file or folder it opens, in words, if it opens one."""
        return None if self.file is None else self.file.description


class Hardware(Model, frozen=True, kw_only=True):
    """What a server may have: CPUs, bytes of memory, GPUs. `unavailable`: why no server is started with it."""

    id: str = field(name="_id")
    title: str
    cpu: float
    memory: int
    gpu: int
    default: bool
    unavailable: str | None = None


class Version(Model, frozen=True, kw_only=True):
    """Which Notebooks Hub answers."""

    version: str
    api: str
    commit: str | None = None


class Check(Model, frozen=True, kw_only=True):
    """Whether something that Notebooks Hub needs is there."""

    status: str
    latency_ms: float
    error: str | None = None


class Health(Model, frozen=True, kw_only=True):
    """Whether everything is there."""

    status: str
    checks: dict[str, Check]
    folders: dict[str, Check] = {}

    @property
    def ok(self) -> bool:
        """Whether nothing is missing."""
        return self.status == "ok"


class Tokens(Model, frozen=True, kw_only=True):
    """What a sign-in gives. Its text form shows none of them."""

    access_token: str
    expires_at: int
    """Seconds since 1970."""
    expires_in: int
    id_token: str
    scope: str
    token_type: str
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"Tokens(expires_at={self.expires_at})"


class DeviceCode(Model, frozen=True, kw_only=True):
    """A sign-in that begins where there is no browser: what a person types in one elsewhere.

    Its text form does not show what it is known by.
    """

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: int
    """Seconds."""
    interval: int
    verification_uri_complete: str | None = None
    """The address with the code in it, where the provider has that."""

    def __repr__(self) -> str:
        return f"DeviceCode({self.user_code} at {self.verification_uri})"


class ErrorDetail(Model, frozen=True, kw_only=True):
    """One thing that is wrong with a request: where, and what."""

    path: str
    code: str
    message: str
    info: dict[str, Any] = {}


class ErrorBody(Model, frozen=True, kw_only=True):
    """A refusal."""

    status: int = field(name="statusCode")
    name: str
    message: str
    code: str
    hint: str | None = None
    details: list[ErrorDetail] = []


class ErrorEnvelope(Model, frozen=True, kw_only=True):
    """How a refusal is sent."""

    error: ErrorBody


class AuditEntry(Model, frozen=True, kw_only=True):
    """Something that was done."""

    id: str = field(name="_id")
    at: datetime
    actor: str
    """E-mail of who did it, as it was then; or `system`, or `unknown`: an account that was not let in."""
    actor_id: str | None = None
    action: str
    """What was done, such as `server.start`; `request.denied`: nothing, it was refused."""
    subject_kind: str
    subject: str
    operation: str | None = None
    request_id: str | None = None
    client_request_id: str | None = None
    detail: dict[str, Any] | None = None
    sealed: bool
    """Whether it has a seal, which it gets within minutes."""

    @property
    def name(self) -> str:
        """What was done, in place of a name."""
        return self.action

    @property
    def asked(self) -> str:
        """Of what was refused, what was asked for, by the name that the API's document has for it."""
        return str((self.detail or {}).get("asked", ""))


class SealedRow(Model, frozen=True, kw_only=True):
    """A row of the audit as it was when it was sealed."""

    id: str = field(name="_id")
    digest: str


class Seal(Model, frozen=True, kw_only=True):
    """What some rows of the audit were, and the seal before."""

    number: int
    at: datetime
    previous: str
    rows: list[SealedRow]
    hash: str

    @property
    def head(self) -> str:
        """What to keep elsewhere: with it the chain up to here can be verified."""
        return f"{self.number}:{self.hash}"


class AuditProblem(Model, frozen=True, kw_only=True):
    """Something of the audit that is not as it was sealed.

    `kind` is one of `changed`, `removed`, `added` (of a row), `broken` (of a seal), `missing` (seals), `head`.
    """

    kind: str
    message: str
    row: str | None = None
    seal: int | None = None


class Verification(Model, frozen=True, kw_only=True):
    """What the audit was found to be."""

    head: str | None = None
    """Of the newest seal that was looked at; None: there is no seal."""
    seals: int
    rows: int
    """With a seal, and as it was sealed."""
    waiting: int
    """Rows that have no seal yet."""
    problems: list[AuditProblem]
    """The first thousand."""
    found: int
    """How many problems there are."""
