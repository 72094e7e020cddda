"""The same reads as a team would write them with FastAPI and SQLAlchemy: sign-in by session, models, response models.

`python -m uvicorn tests.bench.peer:app`, with NBHUB_BENCH_DATABASE in the environment.
"""

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, TypeVar
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Select,
    Text,
    and_,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    column_property,
    declared_attr,
    joinedload,
    mapped_column,
    query_expression,
    relationship,
    selectinload,
    with_expression,
)

_ADDRESS = os.environ.get("NBHUB_BENCH_DATABASE", "postgresql://")
_engine = create_async_engine(_ADDRESS.replace("postgresql://", "postgresql+asyncpg://"), pool_size=4)
_sessions = async_sessionmaker(_engine, expire_on_commit=False)

# What is stored


class Base(DeclarativeBase):
    """Base of the models."""


class Person(Base):
    """A person."""

    __tablename__ = "person"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    hub_user: Mapped[str]


class Session(Base):
    """A signed-in token."""

    __tablename__ = "session"
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    person: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    admin: Mapped[bool]
    orgs: Mapped[list[str]] = mapped_column(ARRAY(Text))
    id_token_hash: Mapped[bytes | None]
    expires_at: Mapped[datetime]


class Server(Base):
    """A server."""

    __tablename__ = "server"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column("owner", ForeignKey("person.id"))
    name: Mapped[str]
    template: Mapped[UUID]
    observed: Mapped[str]
    owner: Mapped[Person] = relationship()
    application_type: Mapped[str] = column_property(literal_column("server.template_data ->> 'applicationType'", Text))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"/user/{self.owner.hub_user}/{self.name}/"

    @property
    def owner_email(self) -> str:
        """Whose it is."""
        return self.owner.email


class Grant(Base):
    """A right to an object, of a person, a group or an organisation."""

    __tablename__ = "access_grant"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    object: Mapped[UUID]
    object_kind: Mapped[str]
    person: Mapped[UUID | None]
    user_group: Mapped[UUID | None]
    org: Mapped[str | None]
    level: Mapped[int]
    expires_at: Mapped[datetime | None]


class Group(Base):
    """People under one name."""

    __tablename__ = "user_group"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    wish: Mapped[str]


class Member(Base):
    """A member of a group."""

    __tablename__ = "group_member"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_group: Mapped[UUID] = mapped_column(ForeignKey("user_group.id"))
    person: Mapped[UUID]
    manager: Mapped[bool]
    shown: Mapped[bool | None]


class Shared:
    """What people share has an owner, and says whether who asks may write it."""

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column("owner", ForeignKey("person.id"))
    name: Mapped[str]
    description: Mapped[str]
    wish: Mapped[str]

    @declared_attr
    def owner(cls) -> Mapped[Person]:  # noqa: N805 - a class method to SQLAlchemy
        """Whose it is."""
        return relationship(Person)

    @declared_attr
    def write_access(cls) -> Mapped[bool]:  # noqa: N805
        """Whether who asks may write it."""
        return query_expression()

    @property
    def owner_email(self) -> str:
        """Whose it is."""
        return self.owner.email


class Dataset(Shared, Base):
    """A dataset."""

    __tablename__ = "dataset"


class Module(Shared, Base):
    """A module."""

    __tablename__ = "module"
    module_version: Mapped[str]
    featured: Mapped[bool]
    calls: Mapped[list[Any]] = mapped_column(JSONB)


class Secret(Shared, Base):
    """A secret."""

    __tablename__ = "secret"
    type: Mapped[str]
    mount_path: Mapped[str | None]
    value_version: Mapped[int]

    @property
    def secret_path(self) -> str:
        """Where its value is."""
        return f"secrets/{self.id}"

    @property
    def target(self) -> str:
        """Where servers have it."""
        return self.mount_path or f"/opt/secret/{self.id}"


class Template(Base):
    """A template."""

    __tablename__ = "template"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    creator_id: Mapped[UUID] = mapped_column("creator", ForeignKey("person.id"))
    name: Mapped[str]
    description: Mapped[str]
    type: Mapped[str]
    application_type: Mapped[str]
    hardware: Mapped[str]
    public: Mapped[bool]
    featured_image: Mapped[str | None]
    file_path: Mapped[str | None]
    datasets: Mapped[list[str]] = mapped_column(ARRAY(Text))
    modules: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secrets: Mapped[list[str]] = mapped_column(ARRAY(Text))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    server_name: Mapped[str]
    created_at: Mapped[datetime]
    creator: Mapped[Person] = relationship()

    @property
    def creator_email(self) -> str:
        """Whose it is."""
        return self.creator.email


class Step(Base):
    """A step of an operation."""

    __tablename__ = "operation_step"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    operation: Mapped[UUID] = mapped_column(ForeignKey("operation.id"))
    position: Mapped[int]
    name: Mapped[str]
    status: Mapped[str]
    detail: Mapped[str | None]
    attempt: Mapped[int]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Operation(Base):
    """Something that was asked for."""

    __tablename__ = "operation"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[UUID]
    subject_kind: Mapped[str]
    subject_owner: Mapped[UUID | None]
    actor_id: Mapped[UUID | None] = mapped_column("actor", ForeignKey("person.id"))
    status: Mapped[str]
    superseded_by: Mapped[UUID | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    left_out: Mapped[list[Any] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    actor: Mapped[Person | None] = relationship()
    steps: Mapped[list[Step]] = relationship(order_by=Step.position)

    @property
    def actor_email(self) -> str:
        """Who asked for it."""
        return self.actor.email if self.actor else "system"


# What is answered


class Out(BaseModel):
    """A record as clients see it."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)

    id: UUID = Field(serialization_alias="_id")


class ServerOut(Out):
    """A server as clients see it."""

    name: str
    owner: str = Field(validation_alias="owner_email")
    status: str = Field(validation_alias="observed")
    template: UUID = Field(serialization_alias="templateId")
    application_type: str = Field(serialization_alias="applicationType")
    url: str


class SharedOut(Out):
    """What is shared, as clients see it."""

    owner: str = Field(validation_alias="owner_email")
    write_access: bool
    description: str | None = None


class DatasetOut(SharedOut):
    """A dataset as clients see it."""

    name: str


class CallOut(BaseModel):
    """A call of a modulefile."""

    id: str
    arguments: list[str]


class ModuleOut(SharedOut):
    """A module as clients see it."""

    name: str
    version: str = Field(validation_alias="module_version")
    featured: bool
    calls: list[CallOut] = Field(serialization_alias="luaModuleFile")


class SecretOut(SharedOut):
    """A secret as clients see it."""

    name: str = Field(serialization_alias="secretName")
    type: str
    engine: str = "secrets"
    secret_path: str
    mount_path: str = Field(validation_alias="target")
    version: int | None = Field(validation_alias="value_version")


class TemplateOut(Out):
    """A template as clients see it."""

    name: str
    description: str
    type: str
    application_type: str = Field(serialization_alias="applicationType")
    hardware: str
    public: bool
    creator: str = Field(validation_alias="creator_email")
    server_name: str = Field(serialization_alias="serverName")
    created_at: datetime = Field(serialization_alias="timestamp")
    datasets: list[str]
    modules: list[str]
    secrets: list[str]
    tags: list[str]
    featured_image: str | None = Field(serialization_alias="featuredImage")
    file_path: str | None = Field(serialization_alias="filePath")


class GroupOut(Out):
    """A group as clients see it."""

    name: str
    member: bool
    manager: bool
    shown: bool | None = None


class StepOut(BaseModel):
    """A step as clients see it."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    detail: str | None = None
    attempt: int


class OperationOut(Out):
    """An operation as clients see it."""

    kind: str
    subject: UUID
    subject_kind: str
    actor: str = Field(validation_alias="actor_email")
    status: str
    created_at: datetime
    steps: list[StepOut]
    superseded_by: UUID | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: dict[str, Any] | None = None
    left_out: list[dict[str, str]] | None = None


# Who asks


class Who(NamedTuple):
    """Who asks."""

    person: UUID
    admin: bool
    orgs: list[str]


async def database() -> AsyncIterator[AsyncSession]:
    """A session with the database."""
    async with _sessions() as session:
        yield session


Database = Annotated[AsyncSession, Depends(database)]


async def signed_in(token: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())], session: Database) -> Who:
    """Who asks, and whether it is an admin."""
    found = await session.get(Session, hashlib.sha256(token.credentials.encode()).digest())
    if found is None or found.id_token_hash is None or found.expires_at < datetime.now(UTC):
        raise HTTPException(401)
    return Who(found.person, found.admin, found.orgs)


Caller = Annotated[Who, Depends(signed_in)]
Limit = Annotated[int, Query(ge=1, le=1000)]
app = FastAPI()
T = TypeVar("T")


def found_or_404(found: T | None) -> T:
    """What was looked for."""
    if found is None:
        raise HTTPException(404)
    return found


# Servers


@app.get("/servers/{id}", response_model=ServerOut)
async def read_server(id: UUID, caller: Caller, session: Database) -> Server:
    """One server."""
    found = await session.get(Server, id, options=[joinedload(Server.owner)])
    if found is None or not (caller.admin or found.owner_id == caller.person):
        raise HTTPException(404)
    return found


@app.get("/servers", response_model=list[ServerOut])
async def list_servers(caller: Caller, session: Database, limit: Limit = 1000) -> list[Server]:
    """The caller's newest servers."""
    newest = select(Server).where(Server.owner_id == caller.person).order_by(Server.id.desc()).limit(limit)
    return list(await session.scalars(newest.options(joinedload(Server.owner))))


# What people share

S = TypeVar("S", Dataset, Module, Secret)


def granted(kind: type[S], caller: Who, level: int) -> ColumnElement[bool]:
    """Whether an object was granted to who asks."""
    groups = select(Member.user_group).where(Member.person == caller.person)
    objects = select(Grant.object).where(
        Grant.object_kind == kind.__tablename__,
        Grant.level >= level,
        or_(Grant.expires_at.is_(None), Grant.expires_at > func.now()),
        or_(Grant.person == caller.person, Grant.user_group.in_(groups), Grant.org.in_(caller.orgs)),
    )
    return kind.id.in_(objects)


def shown(kind: type[S], caller: Who) -> Select[S]:
    """Objects that are there, each with its owner and whether who asks may write it."""
    owned = kind.owner_id == caller.person
    writable = literal(True) if caller.admin else or_(owned, granted(kind, caller, 2))
    return (
        select(kind)
        .where(kind.wish == "present")
        .options(joinedload(kind.owner), with_expression(kind.write_access, writable))
    )


def usable(kind: type[S], caller: Who) -> ColumnElement[bool]:
    """Whether who asks may use it."""
    return or_(kind.owner_id == caller.person, granted(kind, caller, 1))


async def read_shared(kind: type[S], id: UUID, caller: Who, session: AsyncSession) -> S:
    """One object."""
    wanted = shown(kind, caller).where(kind.id == id)
    if not caller.admin:
        wanted = wanted.where(usable(kind, caller))
    return found_or_404(await session.scalar(wanted))


async def list_shared(kind: type[S], caller: Who, session: AsyncSession, limit: int) -> list[S]:
    """The newest objects that the caller may use."""
    wanted = shown(kind, caller).where(usable(kind, caller)).order_by(kind.id.desc()).limit(limit)
    return list(await session.scalars(wanted))


@app.get("/datasets/{id}", response_model=DatasetOut)
async def read_dataset(id: UUID, caller: Caller, session: Database) -> Dataset:
    """One dataset."""
    return await read_shared(Dataset, id, caller, session)


@app.get("/datasets", response_model=list[DatasetOut])
async def list_datasets(caller: Caller, session: Database, limit: Limit = 1000) -> list[Dataset]:
    """The newest datasets that the caller may use."""
    return await list_shared(Dataset, caller, session, limit)


@app.get("/modules/{id}", response_model=ModuleOut)
async def read_module(id: UUID, caller: Caller, session: Database) -> Module:
    """One module."""
    return await read_shared(Module, id, caller, session)


@app.get("/modules", response_model=list[ModuleOut])
async def list_modules(caller: Caller, session: Database, limit: Limit = 1000) -> list[Module]:
    """The newest modules that the caller may use."""
    return await list_shared(Module, caller, session, limit)


@app.get("/secret/{id}", response_model=SecretOut)
async def read_secret(id: UUID, caller: Caller, session: Database) -> Secret:
    """One secret."""
    return await read_shared(Secret, id, caller, session)


@app.get("/secrets", response_model=list[SecretOut])
async def list_secrets(caller: Caller, session: Database, limit: Limit = 1000) -> list[Secret]:
    """The newest secrets that the caller may use."""
    return await list_shared(Secret, caller, session, limit)


# Templates, groups, operations


@app.get("/template", response_model=TemplateOut)
async def read_template(caller: Caller, session: Database, id: Annotated[UUID, Query(alias="templateId")]) -> Template:
    """One template."""
    found = found_or_404(await session.get(Template, id, options=[joinedload(Template.creator)]))
    if not (caller.admin or found.public or found.creator_id == caller.person):
        raise HTTPException(404)
    return found


@app.get("/templates", response_model=list[TemplateOut])
async def list_templates(caller: Caller, session: Database, limit: Limit = 1000) -> list[Template]:
    """The newest templates that are public or the caller's."""
    seen = select(Template).where(or_(Template.public, Template.creator_id == caller.person))
    newest = seen.order_by(Template.id.desc()).limit(limit)
    return list(await session.scalars(newest.options(joinedload(Template.creator))))


def groups_of(caller: Who) -> Select[Group, Member]:
    """Groups that are there, each with the caller as its member."""
    mine = and_(Member.user_group == Group.id, Member.person == caller.person)
    return select(Group, Member).outerjoin(Member, mine).where(Group.wish == "present")


def group_out(group: Group, member: Member | None) -> GroupOut:
    """A group as the caller sees it."""
    return GroupOut(
        id=group.id,
        name=group.name,
        member=member is not None,
        manager=member is not None and member.manager,
        shown=member.shown if member else None,
    )


@app.get("/groups/{id}")
async def read_group(id: UUID, caller: Caller, session: Database) -> GroupOut:
    """One group."""
    found = (await session.execute(groups_of(caller).where(Group.id == id))).one_or_none()
    return group_out(*found_or_404(found))


@app.get("/groups")
async def list_groups(caller: Caller, session: Database, limit: Limit = 1000) -> list[GroupOut]:
    """The newest groups."""
    newest = groups_of(caller).order_by(Group.id.desc()).limit(limit)
    return [group_out(group, member) for group, member in await session.execute(newest)]


_WITH_STEPS = (joinedload(Operation.actor), selectinload(Operation.steps))


@app.get("/operations/{id}", response_model=OperationOut)
async def read_operation(id: UUID, caller: Caller, session: Database) -> Operation:
    """One operation."""
    found = found_or_404(await session.get(Operation, id, options=_WITH_STEPS))
    if not (caller.admin or caller.person in (found.actor_id, found.subject_owner)):
        raise HTTPException(404)
    return found


@app.get("/operations", response_model=list[OperationOut])
async def list_operations(caller: Caller, session: Database, limit: Limit = 1000) -> list[Operation]:
    """The caller's newest operations."""
    mine = or_(Operation.actor_id == caller.person, Operation.subject_owner == caller.person)
    newest = select(Operation).where(mine).order_by(Operation.id.desc()).limit(limit)
    return list(await session.scalars(newest.options(*_WITH_STEPS)))
