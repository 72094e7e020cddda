"""What clients send and see of templates, and the checks that need the configuration or other records."""

from typing import Annotated, Any, ClassVar
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

    example: ClassVar[dict[str, Any]] = {
        "name": "Climate lab",
        "description": "JupyterLab with the climate data.",
        "type": "user",
        "applicationType": "jupyterlab",
        "hardware": "cpuSmall",
        "public": True,
        "datasets": ["0199c2f8-11d0-7a55-9c1e-2b3a4c5d6e7f"],
        "tags": ["climate"],
    }

    name: Name
    description: Description
    type: Annotated[
        Word,
        Meta(description="What pages sort it by; `featured`, `quick-launch` and `user` have a meaning to the web UI."),
    ]
    application_type: Annotated[Word, Meta(description="An application type that `GET /applications` lists.")] = (
        msgspec.field(name="applicationType")
    )
    hardware: Annotated[Word, Meta(description="A hardware option that `GET /hardware` lists.")]
    public: Annotated[bool, Meta(description="Whether everybody may use it.")]
    featured_image: Annotated[Line, Meta(description="The picture to show for it.")] | None = msgspec.field(
        name="featuredImage", default=None
    )
    file_path: (
        Annotated[PathInServer, Meta(description="What the application opens, where it has to open something.")] | None
    ) = msgspec.field(name="filePath", default=None)
    datasets: (
        Annotated[DatasetIds, Meta(description="Datasets that servers have, which the creator may use.")] | None
    ) = None
    modules: Annotated[ModuleIds, Meta(description="Modules that servers load, in this order.")] | None = None
    secrets: Annotated[SecretIds, Meta(description="Secrets that servers get.")] | None = None
    tags: Annotated[Tags, Meta(description="Words to find it by.")] | None = None


class TemplateUpdate(RequestBody, frozen=True, kw_only=True):
    """What changes; a field that is absent stays as it is."""

    example: ClassVar[dict[str, Any]] = {"name": "Climate lab 2026", "tags": ["climate", "teaching"]}

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    application_type: (
        Annotated[Word, Meta(description="An application type that `GET /applications` lists.")] | UnsetType
    ) = msgspec.field(name="applicationType", default=UNSET)
    hardware: Annotated[Word, Meta(description="A hardware option that `GET /hardware` lists.")] | UnsetType = UNSET
    public: Annotated[bool, Meta(description="Whether everybody may use it.")] | UnsetType = UNSET
    creator: (
        Annotated[Email, Meta(description="E-mail of whoever is to have it; only admins give it away.")] | UnsetType
    ) = UNSET
    featured_image: Annotated[Line, Meta(description="The picture to show for it; null: none.")] | None | UnsetType = (
        msgspec.field(name="featuredImage", default=UNSET)
    )
    file_path: (
        Annotated[PathInServer, Meta(description="What the application opens; null: nothing.")] | None | UnsetType
    ) = msgspec.field(name="filePath", default=UNSET)
    datasets: (
        Annotated[DatasetIds, Meta(description="Datasets that servers have, which the creator may use.")] | UnsetType
    ) = UNSET
    modules: Annotated[ModuleIds, Meta(description="Modules that servers load, in this order.")] | UnsetType = UNSET
    secrets: Annotated[SecretIds, Meta(description="Secrets that servers get.")] | UnsetType = UNSET
    tags: Annotated[Tags, Meta(description="Words to find it by.")] | UnsetType = UNSET


class TemplateView(AnswerBody, frozen=True, kw_only=True):
    """A template."""

    id: Annotated[str, Meta(description="Id of the template.")] = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="What people call it.")]
    description: Annotated[str, Meta(description="What it is, in words.")]
    type: Annotated[str, Meta(description="What pages sort it by.")]
    application_type: Annotated[str, Meta(description="The application that servers run.")] = msgspec.field(
        name="applicationType"
    )
    hardware: Annotated[str, Meta(description="What servers run on.")]
    public: Annotated[bool, Meta(description="Whether everybody may use it.")]
    creator: Annotated[str, Meta(description="E-mail of whoever has it.")]
    server_name: Annotated[str, Meta(description="How the names of its servers begin.")] = msgspec.field(
        name="serverName"
    )
    timestamp: Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="When it was made.")]
    datasets: Annotated[list[str], Meta(description="Ids of datasets that servers have.")]
    modules: Annotated[list[str], Meta(description="Ids of modules that servers load, in this order.")]
    secrets: Annotated[list[str], Meta(description="Ids of secrets that servers get.")]
    tags: Annotated[list[str], Meta(description="Words to find it by.")]
    featured_image: Annotated[str, Meta(description="The picture to show for it.")] | None = msgspec.field(
        name="featuredImage", default=None
    )
    file_path: Annotated[str, Meta(description="What the application opens.")] | None = msgspec.field(
        name="filePath", default=None
    )


class TagView(AnswerBody, frozen=True, kw_only=True):
    """A tag and the number of templates that have it."""

    id: Annotated[str, Meta(description="The tag.")] = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="The tag.")]
    count: Annotated[int, Meta(description="How many templates have it, of those that the caller sees.")]


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
