# Made of nbhub/asynchronous/records.py by `make client`: change it there.
"""What the resources have in common: records that are found by name, shared, trashed and restored."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET

from nbhub.answers import operation_of
from nbhub.errors import Ambiguous, NotFound
from nbhub.models import Access, Explanation, OperationState, Preview, Versioned
from nbhub.synchronous.lists import Pages
from nbhub.synchronous.operations import Deletion, Operation, PlainOperation, Sharing
from nbhub.synchronous.transport import Query, Transport, segment

R = TypeVar("R", bound=Versioned)
O = TypeVar("O", bound=Operation[Any])  # noqa: E741 - an operation

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What begins so may be the beginning of an id.
_BEGINNING = re.compile(r"[0-9a-f-]{4,}")

PATIENCE_SECONDS = 120.0
"""How long what is made or changed is waited for."""

Names = str | Iterable[str]


def given(**fields: Any) -> dict[str, Any]:
    """Of the fields of a request, those that were given."""
    return {name: value for name, value in fields.items() if value is not UNSET}


def only(**fields: Any) -> dict[str, Any]:
    """Of the fields of a request, those that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def is_id(text: str) -> bool:
    """Whether a text is an id, and no name."""
    return _ID.fullmatch(text) is not None


def as_list(names: Names) -> list[str]:
    """One name, or several."""
    return [names] if isinstance(names, str) else list(names)


class Records(Generic[R]):
    """The records of one kind."""

    kind: type[R]
    noun: str
    collection: str
    """The path of the list."""
    single: str
    """The path of one, without its id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __repr__(self) -> str:
        return f"<{self.noun}s at {self._transport.url}>"

    def _path(self, identity: str, *more: str) -> str:
        return "/".join([self.single, segment(identity), *more])

    def get(self, id: str) -> R:
        """One record by its id, with its `etag`."""
        return self._transport.call("GET", self._path(id), self.kind)

    def _all(self, query: Query | None = None) -> Pages[R]:
        return Pages(self._transport, self.collection, self.kind, query)

    def _candidates(self, reference: str, *, prefix: bool) -> Pages[R]:
        """Among which one of a name, or one whose name or id begins so, is to be found."""
        return self._all()

    def _names(self, record: R) -> list[str]:
        """By which people call it."""
        return [record.name]  # type: ignore[attr-defined]

    def find(self, reference: str | R, *, prefix: bool = False) -> R:
        """The record of a name or an id; with `prefix`, also the only one whose name or id begins so.

        Raises `NotFound`, and `Ambiguous` if there are several.
        """
        if not isinstance(reference, str):
            return reference
        if is_id(reference):
            return self.get(reference)
        wanted = reference.casefold()
        named: list[R] = []
        begun: list[R] = []
        seen: list[str] = []
        for record in self._candidates(reference, prefix=prefix):
            names = [one.casefold() for one in self._names(record)]
            seen += names
            if wanted in names:
                named.append(record)
            elif prefix and (
                any(one.startswith(wanted) for one in names)
                or (_BEGINNING.fullmatch(wanted) and record.id.startswith(wanted))
            ):
                begun.append(record)
        exact = [record for record in named if reference in self._names(record)]
        # Whatever is nearest decides.
        for found in (exact, named, begun):
            if len(found) == 1:
                return found[0]
            if found:
                raise Ambiguous(reference, found)  # type: ignore[arg-type]
        from difflib import get_close_matches

        near = get_close_matches(wanted, seen, n=1)
        hint = f"Is it {near[0]}?" if near else None
        raise NotFound(f"there is no {self.noun} {reference}", status=404, code="ENTITY_NOT_FOUND", hint=hint)

    def _id_of(self, reference: str | R) -> str:
        if isinstance(reference, str):
            return reference if _ID.fullmatch(reference) else (self.find(reference)).id
        return reference.id

    def _settled(self, kind: type[R], method: str, path: str, **request: Any) -> R:
        """What a write makes of a record, once its work has ended."""
        response = self._transport.send(method, path, **request)
        followed = operation_of(response)
        record = msgspec.json.decode(response.content, type=kind)
        if response.status_code == 202 and followed is not None:
            state = self._transport.call("GET", f"/operations/{segment(followed)}", OperationState)
            PlainOperation(self._transport, state).wait(PATIENCE_SECONDS)
            return self.get(record.id)
        return msgspec.structs.replace(record, etag=response.headers.get("etag"))

    def _preview(self, method: str, path: str, query: Query | None = None, **request: Any) -> Preview:
        """What a write would come to."""
        return self._transport.call(method, path, Preview, query={**(query or {}), "dry_run": True}, **request)

    def _begun(self, shape: type[O], method: str, path: str, *, subject: str, **request: Any) -> O:
        """The operation that a write has begun."""
        response = self._transport.send(method, path, **request)
        if response.status_code != 204:
            return shape(self._transport, msgspec.json.decode(response.content, type=OperationState))
        # It has ended already, and its answer does not say which it was.
        newest = Pages(self._transport, "/operations", OperationState, {"subject": subject}).first()
        if newest is None:
            raise NotFound(f"the operation of {subject} is not known any more", status=404)
        return shape(self._transport, newest)


class Deletable(Records[R]):
    """Records whose deletion is an operation."""

    def delete(self, reference: str | R, *, wait: float | None = None, if_match: str | None = None) -> Deletion:
        """Delete it. The work goes on whether or not one waits for it."""
        identity = self._id_of(reference)
        return self._begun(Deletion, "DELETE", self._path(identity), subject=identity, wait=wait, if_match=if_match)

    def preview_delete(self, reference: str | R, *, if_match: str | None = None) -> Preview:
        """What deleting it would come to: which servers would be stopped, and when."""
        return self._preview("DELETE", self._path(self._id_of(reference)), if_match=if_match)


class Shared(Deletable[R]):
    """Records that are shared with people, groups and organisations."""

    def share(
        self,
        reference: str | R,
        *,
        users: Names = (),
        groups: Names = (),
        orgs: Names = (),
        relation: str = "read",
        expires_at: datetime | None = None,
        wait: float | None = None,
    ) -> Sharing:
        """Let people (by e-mail), groups (by name or id) and organisations `read` or `write` it. True at once."""
        identity = self._id_of(reference)
        body = _principals(users, groups, orgs, relation) | only(expires_at=expires_at)
        path = self._path(identity, "share")
        return self._begun(Sharing, "POST", path, subject=identity, body=body, wait=wait)

    def revoke(
        self,
        reference: str | R,
        *,
        users: Names = (),
        groups: Names = (),
        orgs: Names = (),
        relation: str = "read",
        wait: float | None = None,
    ) -> Sharing:
        """Take it back: `read` takes everything, `write` leaves reading. Servers that hold it are stopped."""
        identity = self._id_of(reference)
        body = _principals(users, groups, orgs, relation)
        path = self._path(identity, "revoke")
        return self._begun(Sharing, "POST", path, subject=identity, body=body, wait=wait)

    def preview_share(
        self,
        reference: str | R,
        *,
        users: Names = (),
        groups: Names = (),
        orgs: Names = (),
        relation: str = "read",
        expires_at: datetime | None = None,
    ) -> Preview:
        """What `share` would come to."""
        body = _principals(users, groups, orgs, relation) | only(expires_at=expires_at)
        return self._preview("POST", self._path(self._id_of(reference), "share"), body=body)

    def preview_revoke(
        self,
        reference: str | R,
        *,
        users: Names = (),
        groups: Names = (),
        orgs: Names = (),
        relation: str = "read",
    ) -> Preview:
        """What `revoke` would come to: for whom, and how many servers would be stopped when."""
        body = _principals(users, groups, orgs, relation)
        return self._preview("POST", self._path(self._id_of(reference), "revoke"), body=body)

    def access(self, reference: str | R, *, type: str | None = None) -> Pages[Access]:
        """Who has access; of one `type` only: `user`, `group` or `org`."""
        identity = self._id_of(reference)
        return Pages(self._transport, self._path(identity, "access"), Access, {"type": type})

    def explain(self, reference: str | R, email: str) -> Explanation:
        """Which access somebody has, and why."""
        identity = self._id_of(reference)
        path = self._path(identity, "access", "explain")
        return self._transport.call("GET", path, Explanation, query={"email": email})


class Trashed(Shared[R]):
    """Records that are in the trash for a time before they are gone."""

    def restore(self, id: str, *, wait: float | None = None, if_match: str | None = None) -> R:
        """Take it out of the trash, by its id."""
        return self._settled(self.kind, "POST", self._path(id, "restore"), wait=wait, if_match=if_match)


def etag_of(reference: object, if_match: str | None) -> str | None:
    """What a change depends on: as given, else what the record was read as."""
    return if_match or (reference.etag if isinstance(reference, Versioned) else None)


def _principals(users: Names, groups: Names, orgs: Names, relation: str) -> dict[str, Any]:
    named = {"userArray": as_list(users), "groupArray": as_list(groups), "orgArray": as_list(orgs)}
    return {"relation": relation, **{name: values for name, values in named.items() if values}}
