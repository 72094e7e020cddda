"""The same reads as a team would write them with FastAPI and SQLAlchemy: sign-in by session, models, response models.

`python -m uvicorn tests.bench.peer:app`, with NBHUB_BENCH_DATABASE in the environment.
"""

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, Text, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, joinedload, mapped_column, relationship

_ADDRESS = os.environ.get("NBHUB_BENCH_DATABASE", "postgresql://")
_engine = create_async_engine(_ADDRESS.replace("postgresql://", "postgresql+asyncpg://"), pool_size=4)
_sessions = async_sessionmaker(_engine, expire_on_commit=False)


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


class ServerOut(BaseModel):
    """A server as clients see it."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)

    id: UUID = Field(serialization_alias="_id")
    name: str
    owner: str = Field(validation_alias="owner_email")
    status: str = Field(validation_alias="observed")
    template: UUID = Field(serialization_alias="templateId")
    application_type: str = Field(serialization_alias="applicationType")
    url: str


async def database() -> AsyncIterator[AsyncSession]:
    """A session with the database."""
    async with _sessions() as session:
        yield session


Database = Annotated[AsyncSession, Depends(database)]


async def signed_in(
    token: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())], session: Database
) -> tuple[UUID, bool]:
    """Who asks, and whether it is an admin."""
    found = await session.get(Session, hashlib.sha256(token.credentials.encode()).digest())
    if found is None or found.id_token_hash is None or found.expires_at < datetime.now(UTC):
        raise HTTPException(401)
    return found.person, found.admin


Caller = Annotated[tuple[UUID, bool], Depends(signed_in)]
app = FastAPI()


@app.get("/servers/{id}", response_model=ServerOut)
async def read(id: UUID, caller: Caller, session: Database) -> Server:
    """One server."""
    found = await session.get(Server, id, options=[joinedload(Server.owner)])
    if found is None or not (caller[1] or found.owner_id == caller[0]):
        raise HTTPException(404)
    return found


@app.get("/servers", response_model=list[ServerOut])
async def index(caller: Caller, session: Database, limit: Annotated[int, Query(ge=1, le=1000)] = 1000) -> list[Server]:
    """The caller's newest servers."""
    newest = select(Server).where(Server.owner_id == caller[0]).order_by(Server.id.desc()).limit(limit)
    return list(await session.scalars(newest.options(joinedload(Server.owner))))
