"""In random worlds, every person, object and verb over HTTP agrees with an oracle that is written in plain Python."""

from typing import Any
from uuid import UUID

import httpx
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from models.database.sql import row, rows
from models.domain.ids import new_id
from models.domain.values import Caller
from tests.integration.models.access.worlds import (
    GROUPS,
    KINDS,
    ORGS,
    OWNER,
    READ,
    THINGS,
    USERS,
    WRITE,
    DropGroup,
    Edit,
    Expire,
    Join,
    Leave,
    OfGranted,
    Restore,
    Revoke,
    Share,
    Trash,
    World,
    edits,
)
from tests.unit.api.bench import Api, Bench

Json = dict[str, Any]
LISTS = {"dataset": "/datasets", "module": "/modules", "secret": "/secrets"}
ARRAYS = {"user": "userArray", "group": "groupArray", "org": "orgArray"}


class Stage:
    """A world made in the real database, and changed through the API."""

    def __init__(self, api: Api, world: World) -> None:
        self.api, self.world = api, world
        self.callers: list[Caller] = []
        self.groups: list[str] = []
        self.things: list[str] = []

    async def build(self) -> None:
        shared = "dataset, module, secret, user_group, group_member, access_grant"
        await rows(f"TRUNCATE {shared}, person, person_org, operation CASCADE")
        self.api.bench.callers.clear()
        for user in range(USERS + 1):
            admin = user == USERS
            orgs = () if admin else tuple(f"org{org}" for org in sorted(self.world.orgs[user]))
            caller = Caller(id=new_id(), email=f"u{user}@example.org", admin=admin, orgs=orgs)
            await self._add(caller)
        # Organisations are known because somebody is in them.
        await self._add(Caller(id=new_id(), email="sink@example.org", orgs=tuple(f"org{org}" for org in range(ORGS))))
        for group in range(GROUPS):
            # Who makes a group is a member of it: nobody of those who are asked afterwards.
            made = await self.ask(USERS + 1, "POST", "/groups", json={"name": f"group{group}"})
            self.groups.append(made["_id"])
        for thing in range(THINGS):
            kind, name = self.world.kinds[thing], f"data{thing}"
            body = {
                "dataset": {"name": name},
                "module": {"name": name, "version": "1"},
                "secret": {"secretName": name, "type": "raw"},
            }[kind]
            made = await self.ask(self.world.owners[thing], "POST", LISTS[kind], json=body)
            self.things.append(made["_id"])

    async def _add(self, caller: Caller) -> None:
        self.callers.append(caller)
        self.api.bench.callers[caller.email] = caller
        await row(
            "INSERT INTO person (id, issuer, subject, email) VALUES (:id::uuid, 'test', :id::uuid::text, :email)",
            id=caller.id,
            email=caller.email,
        )
        for org in caller.orgs:
            await row(
                "INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, :org)",
                person=caller.id,
                org=org,
            )

    async def request(self, user: int, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.api.person(self.callers[user].email).request(method, path, **more)

    async def ask(self, user: int, method: str, path: str, **more: Any) -> Any:
        answer = await self.request(user, method, path, **more)
        assert answer.status_code < 300, (user, method, path, answer.text)
        return answer.json() if answer.content else None

    def principal(self, kind: str, index: int) -> str:
        match kind:
            case "user":
                return self.callers[index].email
            case "group":
                return self.groups[index]
            case _:
                return f"org{index}"

    def path(self, thing: int) -> str:
        """Where the API has a thing."""
        kind = self.world.kinds[thing]
        return f"{'/secret' if kind == 'secret' else LISTS[kind]}/{self.things[thing]}"

    async def apply(self, edit: Edit) -> None:
        match edit:
            case Share(thing, relation, kind, principal) | Revoke(thing, relation, kind, principal):
                verb = "share" if isinstance(edit, Share) else "revoke"
                body = {"relation": relation, ARRAYS[kind]: [self.principal(kind, principal)]}
                path = f"{self.path(thing)}/{verb}"
                await self.ask(self.world.owners[thing], "POST", path, json=body)
            case Expire(thing, kind, principal):
                # What the passing of time does.
                column = {"user": "person", "group": "user_group", "org": "org"}[kind]
                value: object = self.callers[principal].id if kind == "user" else self.principal(kind, principal)
                if kind == "group":
                    value = UUID(str(value))
                await rows(
                    "UPDATE access_grant SET expires_at = now() - interval '1 s' "  # noqa: S608 - three constants
                    f"WHERE object = :object AND {column} = :principal",
                    object=UUID(self.things[thing]),
                    principal=value,
                )
            case Join(group, user):
                params = {"memberEmail": self.callers[user].email}
                await self.ask(USERS, "POST", f"/groups/{self.groups[group]}/members", params=params)
            case Leave(group, user):
                await self.ask(USERS, "DELETE", f"/groups/{self.groups[group]}/members/{self.callers[user].email}")
            case DropGroup(group):
                await self.ask(USERS, "DELETE", f"/groups/{self.groups[group]}")
            case Trash(thing):
                await self.ask(self.world.owners[thing], "DELETE", self.path(thing))
            case Restore(thing):
                await self.ask(self.world.owners[thing], "POST", f"{self.path(thing)}/restore")

    async def check(self) -> None:
        """Every person, object and verb, and every list."""
        for user in range(USERS):
            listed = {one["_id"]: one for path in LISTS.values() for one in await self.ask(user, "GET", path)}
            seen = {}
            for thing, identity in enumerate(self.things):
                level = self.world.level(user, thing)
                found = await self._level(user, self.path(thing))
                assert found == level, f"u{user} has {found} on data{thing}, should have {level}"
                if level:
                    seen[identity] = level >= WRITE
            assert {one: listed[one]["write_access"] for one in listed} == seen, f"the list of u{user}"
        # An admin's own view is as anybody's; by owner it sees all.
        assert [await self.ask(USERS, "GET", path) for path in LISTS.values()] == [[]] * len(LISTS)
        for user in range(USERS):
            params = {"owner": self.callers[user].email}
            owned = {identity for thing, identity in enumerate(self.things) if self.world.level(user, thing) == OWNER}
            shown = [one for path in LISTS.values() for one in await self.ask(USERS, "GET", path, params=params)]
            assert {one["_id"] for one in shown} == owned
        await self._check_access_lists()

    async def _level(self, user: int, path: str) -> int:
        """How far the API lets somebody go, by the answers to one request of each kind."""
        nobody = {"relation": "read", "userArray": ["nobody@example.org"]}
        answers = {
            READ: await self.request(user, "GET", path),
            WRITE: await self.request(user, "PATCH", path, json={}),
            OWNER: await self.request(user, "POST", f"{path}/revoke", json=nobody),
        }
        statuses = {level: answer.status_code for level, answer in answers.items()}
        allowed = max((level for level, status in statuses.items() if status < 300), default=0)
        for level, status in statuses.items():
            # Hidden is 404; what one sees and may not do is 403.
            assert status in (200, 202) if level <= allowed else status == (403 if allowed else 404), statuses
        if not allowed:
            assert "data" not in answers[READ].text.replace("dataset", "")
        return allowed

    async def _check_access_lists(self) -> None:
        for thing in set(range(THINGS)) - self.world.trashed:
            owner = self.world.owners[thing]
            entries = await self.ask(owner, "GET", f"{self.path(thing)}/access")
            wanted = {("user", f"u{owner}@example.org"): "owner"}
            for _, kind, principal, level in sorted(one for one in self.world.grants if one[0] == thing):
                name = f"group{principal}" if kind == "group" else self.principal(kind, principal)
                wanted[kind, name] = "write" if level == WRITE else "read"
            assert {(one["type"], one["entity"]): one["access"] for one in entries} == wanted
            for user in range(USERS):
                explained = await self.ask(
                    owner, "GET", f"{self.path(thing)}/access/explain", params={"email": f"u{user}@example.org"}
                )
                words = {0: None, READ: "read", WRITE: "write", OWNER: "owner"}
                assert explained.get("access") == words[self.world.level(user, thing)]
                assert bool(explained["via"]) == (explained.get("access") is not None)


worlds = st.builds(
    World,
    owners=st.lists(st.integers(0, USERS - 1), min_size=THINGS, max_size=THINGS),
    kinds=st.lists(st.sampled_from(KINDS), min_size=THINGS, max_size=THINGS),
    orgs=st.lists(st.frozensets(st.integers(0, ORGS - 1)), min_size=USERS, max_size=USERS),
)


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(world=worlds, history=st.lists(edits, max_size=20))
async def test_everybody_may_what_the_oracle_says(bench: Bench, world: World, history: list[Edit | OfGranted]) -> None:
    stage = Stage(bench.api(), world)
    await stage.build()
    for drawn in history:
        edit = world.concrete(drawn)
        if edit is not None:
            note(str(edit))
            await stage.apply(edit)
            world.apply(edit)
    await stage.check()
