"""What clients send and see of templates, and the checks that need the configuration or other records."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType, structs

from api.http.fields import (
    AnswerBody,
    DatasetIds,
    Description,
    Email,
    Line,
    ModuleIds,
    Name,
    PathInServer,
    RequestBody,
    SecretIds,
    Tags,
    Word,
)
from models.access import sharing
from models.domain.errors import Malformed, ProblemDetail, RequestInvalid, quoted
from models.domain.kinds import TEMPLATED
from models.domain.profiles import ProfileMismatch, Profiles
from models.domain.settings import Settings
from models.domain.values import Caller
from models.records import persons, secrets
from models.records.servers import TemplateData
from models.records.templates import TemplateRecord, slug

FEATURED = "featured"


class TemplateCreate(RequestBody, frozen=True, kw_only=True):
    """The settings from which servers are made."""

    name: Name
    description: Description
    type: Word
    application_type: Word = msgspec.field(name="applicationType")
    hardware: Word
    public: bool
    featured_image: Line | None = msgspec.field(name="featuredImage", default=None)
    file_path: PathInServer | None = msgspec.field(name="filePath", default=None)
    datasets: DatasetIds | None = None
    modules: ModuleIds | None = None
    secrets: SecretIds | None = None
    tags: Tags | None = None


class TemplateUpdate(RequestBody, frozen=True, kw_only=True):
    """What changes; a field that is absent stays as it is."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    application_type: Word | UnsetType = msgspec.field(name="applicationType", default=UNSET)
    hardware: Word | UnsetType = UNSET
    public: bool | UnsetType = UNSET
    creator: Email | UnsetType = UNSET
    featured_image: Line | None | UnsetType = msgspec.field(name="featuredImage", default=UNSET)
    file_path: PathInServer | None | UnsetType = msgspec.field(name="filePath", default=UNSET)
    datasets: DatasetIds | UnsetType = UNSET
    modules: ModuleIds | UnsetType = UNSET
    secrets: SecretIds | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


class TemplateView(AnswerBody, frozen=True, kw_only=True):
    """A template."""

    id: str = msgspec.field(name="_id")
    name: str
    description: str
    type: str
    application_type: str = msgspec.field(name="applicationType")
    hardware: str
    public: bool
    creator: str
    server_name: str = msgspec.field(name="serverName")
    timestamp: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    datasets: list[str]
    modules: list[str]
    secrets: list[str]
    tags: list[str]
    featured_image: str | None = msgspec.field(name="featuredImage", default=None)
    file_path: str | None = msgspec.field(name="filePath", default=None)


class TagView(AnswerBody, frozen=True, kw_only=True):
    """A tag and the number of templates that have it."""

    id: str = msgspec.field(name="_id")
    name: str
    count: int


def view_of(data: TemplateData) -> TemplateView:
    """A template, or a server's snapshot of one, as clients see it."""
    return msgspec.convert(msgspec.to_builtins(data), TemplateView)


async def new_template(body: TemplateCreate, caller: Caller, profiles: Profiles, settings: Settings) -> dict[str, Any]:
    """Column values of a new template; raises `RequestInvalid` with everything that is wrong."""
    problems = await _reference_problems(body, caller)
    lists = {name: getattr(body, name) or [] for name in ("datasets", "modules", "secrets", "tags")}
    values = _columns({**structs.asdict(body), **lists}, profiles, problems)
    if body.type == FEATURED and settings.admins_feature_templates and not caller.admin:
        problems.append(ProblemDetail(path="/type", code="admin", message="only admins make featured templates here"))
    _check_file(profiles, body.application_type, body.file_path, problems)
    if problems:
        raise RequestInvalid(problems)
    return values


async def changed_template(body: TemplateUpdate, template: TemplateRecord, profiles: Profiles) -> dict[str, Any]:
    """Column values that change, but for the creator; raises `RequestInvalid` with everything that is wrong."""
    problems = await _reference_problems(body, await persons.as_caller(template.creator_id))
    given = {name: value for name, value in structs.asdict(body).items() if value is not UNSET and name != "creator"}
    values = _columns(given, profiles, problems)
    if "application_type" in values or "file_path" in values:
        application = values.get("application_type", template.application_type)
        _check_file(profiles, application, values.get("file_path", template.file_path), problems)
    if problems:
        raise RequestInvalid(problems)
    return values


def _columns(given: dict[str, Any], profiles: Profiles, problems: list[ProblemDetail]) -> dict[str, Any]:
    """The columns of what is given of a template; what no profile fulfils is added to the problems."""
    columns = dict(given)
    if "name" in given:
        columns["server_name"] = slug(given["name"])
    if "hardware" in given:
        columns["hardware"] = _hardware(profiles, given["hardware"], problems)
    if "tags" in given:
        columns["tags"] = list(dict.fromkeys(given["tags"]))
    return columns | {name: given[name] or None for name in ("featured_image", "file_path") if name in given}


def _hardware(profiles: Profiles, name: str, problems: list[ProblemDetail]) -> str:
    try:
        return profiles.hardware_name(name)
    except ProfileMismatch as mismatch:
        problems.append(_problem(mismatch))
        return name


def _check_file(profiles: Profiles, application: str, path: str | None, problems: list[ProblemDetail]) -> None:
    try:
        profiles.check_file_path(application, path or "")
    except ProfileMismatch as mismatch:
        problems.append(_problem(mismatch))


def _problem(mismatch: ProfileMismatch) -> ProblemDetail:
    return ProblemDetail(path=f"/{mismatch.field}", code="profile", message=mismatch.message)


async def _reference_problems(body: TemplateCreate | TemplateUpdate, creator: Caller) -> list[ProblemDetail]:
    """One problem for each dataset, module or secret that the creator may not use, or that is in another's way."""
    named = {kind.word: list(getattr(body, kind.plural) or ()) for kind in TEMPLATED}
    wanted = [one for identities in named.values() for one in identities if not isinstance(one, Malformed)]
    usable = await sharing.usable(wanted, creator)
    problems = [
        one.problem
        if isinstance(one, Malformed)
        else ProblemDetail(
            path=f"/{kind}s/{index}", code="unknown", message=f"{quoted(one)} is no {kind} that the creator may use"
        )
        for kind, identities in named.items()
        for index, one in enumerate(identities)
        if isinstance(one, Malformed) or (kind, one) not in usable
    ]
    return problems or await _collisions(named["secret"])


async def _collisions(identities: list[str]) -> list[ProblemDetail]:
    """One problem for each secret that would have the variable or the place of an earlier one."""
    placed = {str(one.id): one for one in await secrets.placed([UUID(one) for one in dict.fromkeys(identities)])}
    problems = []
    for index, identity in enumerate(identities):
        earlier = [placed[one] for one in identities[:index] if one in placed and one != identity]
        if identity in placed and any(placed[identity].collides(one) for one in earlier):
            problems.append(
                ProblemDetail(
                    path=f"/secrets/{index}", code="conflict", message="has the variable or the place of another one"
                )
            )
    return problems
