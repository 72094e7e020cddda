"""A server's link is made when it is asked for and can be taken back; who loses a right loses what it led to."""

import asyncio
from contextvars import Context
from typing import Any
from uuid import UUID

import msgspec
import pytest

from activities.messages import AccessScope, WorkflowRun
from integrations.jupyterhub import ShareCode
from models.access import principals, sharing
from models.access.permissions import Level
from models.database.sql import exists, row
from models.database.transactions import Transaction
from models.domain.errors import HubUnavailable
from models.domain.values import Caller, OperationStatus, Subject, Wish
from models.ledger import operations
from models.ledger.operations import OperationRecord
from models.records import datasets, mounts, persons, server_shares
from models.records.persons import Identity
from tests.people import make_person
from tests.unit.activities.conftest import Scene


async def worked_on(scene: Scene, operation: UUID) -> OperationRecord:
    """An operation about the server's shares, once its workflow has come to its end."""
    run = WorkflowRun(subject=scene.server, kind="server-access", workflow_id="w", run_id="r")
    for activity in (scene.access.begin_access, scene.links.keep_shares, scene.access.settle_access):
        await scene.run(activity, run)
    return await operations.read(operation)


async def ask(scene: Scene) -> OperationRecord:
    async with Transaction():
        operation = await server_shares.ask_link(await scene.seen(), scene.caller)
    return await worked_on(scene, operation)


async def take_back(scene: Scene, email: str | None = None) -> OperationRecord:
    async with Transaction():
        operation = await server_shares.take_back(await scene.seen(), email, scene.caller)
    return await worked_on(scene, operation)


async def guest(scene: Scene, name: str) -> Caller:
    """Somebody who has come by the link."""
    person = await make_person(name)
    scene.hub.guests.add(await persons.hub_user_of(person.id))
    return person


async def test_a_start_makes_no_link_and_who_asks_gets_one(scene: Scene) -> None:
    await scene.started()
    await scene.run(scene.watching.observe_servers)
    assert (await scene.seen()).share_url is None
    assert scene.hub.codes == 0
    assert (await ask(scene)).status is OperationStatus.SUCCEEDED
    link = (await scene.seen()).share_url
    assert link
    # Asked twice, it is the same; and looking makes none.
    await ask(scene)
    assert (await scene.seen()).share_url == link
    await row("UPDATE server SET share_expires_at = now() - interval '1 s' WHERE id = :id", id=scene.server)
    await scene.run(scene.watching.observe_servers)
    assert (await scene.seen()).share_url is None
    assert scene.hub.codes == 1
    await ask(scene)
    assert (await scene.seen()).share_url != link


async def test_a_server_that_does_not_run_gets_no_link_and_says_why(scene: Scene) -> None:
    ended = await ask(scene)
    assert ended.status is OperationStatus.FAILED
    assert ended.error is not None
    assert (ended.error.code, scene.hub.codes) == ("LINK_UNAVAILABLE", 0)


async def test_a_link_that_is_taken_back_leads_nobody_in_and_shuts_out_who_came_by_it(scene: Scene) -> None:
    await scene.started()
    await ask(scene)
    bob = await guest(scene, "bob")
    await scene.run(scene.watching.observe_servers)
    assert (await scene.seen()).shared_with == {"users": [bob.email], "groups": []}
    assert (await take_back(scene)).status is OperationStatus.SUCCEEDED
    seen = await scene.seen()
    assert (seen.share_url, seen.shared_with) == (None, None)
    assert (scene.hub.live_codes, scene.hub.guests) == (set(), set())
    assert await server_shares.list_shared(owner=scene.caller.id, before=None, limit=9) == []


async def test_one_persons_access_is_taken_back_with_the_link_and_the_others_stay(scene: Scene) -> None:
    await scene.started()
    await ask(scene)
    bob, carol = await guest(scene, "bob"), await guest(scene, "carol")
    await take_back(scene, bob.email)
    assert scene.hub.guests == {await persons.hub_user_of(carol.id)}
    assert scene.hub.live_codes == set(), "bob knows it"
    assert (await scene.seen()).shared_with == {"users": [carol.email], "groups": []}
    # Whom nobody knows, or who has no access, is no problem.
    assert (await take_back(scene, "nobody@example.org")).status is OperationStatus.SUCCEEDED
    assert scene.hub.guests == {await persons.hub_user_of(carol.id)}


async def outcome(operation: OperationRecord) -> str:
    (result,) = await operations.list_results(operation.id, after=None, limit=9)
    assert (result.detail is None) is (result.outcome == "revoked")
    return result.outcome


async def test_whose_access_was_not_there_to_be_taken_back_is_said_whether_anybody_has_the_address_or_not(
    scene: Scene,
) -> None:
    await scene.started()
    await ask(scene)
    bob, other = await guest(scene, "bob"), await make_person("other")
    for email in (other.email, "nobody@example.org"):
        assert await outcome(await take_back(scene, email)) == "not_shared"
    assert scene.hub.live_codes == set()
    # Also of whom nobody has heard yet, and once more it is as said.
    assert await outcome(await take_back(scene, bob.email)) == "revoked"
    assert await outcome(await take_back(scene, bob.email)) == "not_shared"


async def moved(person: Caller, to: str) -> None:
    """Somebody gives an address up, and comes back with another one before anything has ended in JupyterHub."""
    async with Transaction():
        await persons.release(person.email, person)
    assert await persons.bind(Identity(issuer="test", subject=person.email, email=to)) == person.id


@pytest.mark.parametrize("when", ["before it is asked for", "before the work"])
async def test_whose_address_nobody_has_any_more_loses_the_server_all_the_same(scene: Scene, when: str) -> None:
    await scene.started()
    await ask(scene)
    bob, carol = await guest(scene, "bob"), await guest(scene, "carol")
    await scene.run(scene.watching.observe_servers)
    if when == "before it is asked for":
        await moved(bob, f"new-{bob.email}")
    async with Transaction():
        operation = await server_shares.take_back(await scene.seen(), bob.email, scene.caller)
    if when == "before the work":
        await moved(bob, f"new-{bob.email}")
    ended = await worked_on(scene, operation)
    assert (ended.status, await outcome(ended)) == (OperationStatus.SUCCEEDED, "revoked")
    assert scene.hub.guests == {await persons.hub_user_of(carol.id)}


@pytest.mark.parametrize("link", [True, False])
async def test_who_gives_the_address_up_shares_nothing_any_more(scene: Scene, link: bool) -> None:
    await scene.started()
    await ask(scene)
    bob = await guest(scene, "bob")
    if not link:
        await take_back(scene, (await make_person("carol")).email)
    await scene.run(scene.watching.observe_servers)
    owner = Subject("person", scene.caller.id)
    async with Transaction():
        await persons.release(scene.caller.email, scene.caller)
    await operations.begin(owner, "w", "r")
    # What the stop of the servers and the end of the JupyterHub user leave to be written.
    assert await persons.settle(owner.id, "r", released=True)
    assert await server_shares.list_shared(owner=owner.id, before=None, limit=10) == []
    assert not await exists("SELECT 1 FROM server_guest WHERE person = :bob", bob=bob.id)


async def test_whom_jupyterhub_alone_knows_loses_the_server_by_the_name_there(scene: Scene) -> None:
    await scene.started()
    scene.hub.guests = {"stranger@example.org", "other@example.org"}
    assert await outcome(await take_back(scene, "stranger@example.org")) == "revoked"
    assert scene.hub.guests == {"other@example.org"}


async def test_one_whose_access_stays_keeps_no_other_from_losing_it_nor_gets_a_link(scene: Scene) -> None:
    await scene.started()
    bob, carol = await guest(scene, "bob"), await guest(scene, "carol")
    scene.hub.clinging = {await persons.hub_user_of(bob.id)}
    async with Transaction():
        for one in (bob, carol):
            last = await server_shares.take_back(await scene.seen(), one.email, scene.caller)
        await server_shares.ask_link(await scene.seen(), scene.caller)
    with pytest.raises(HubUnavailable):
        await worked_on(scene, last)
    assert scene.hub.guests == scene.hub.clinging
    assert scene.hub.codes == 0
    scene.hub.clinging = set()
    await worked_on(scene, last)
    assert scene.hub.guests == set()
    assert (await scene.seen()).share_url


async def test_a_link_that_is_taken_back_while_it_is_made_is_shown_to_nobody(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.started()
    make, asked = scene.hub.make_share_code, list[UUID]()

    async def make_and_take_back(*arguments: Any) -> ShareCode:
        async with Transaction():
            asked.append(await server_shares.take_back(await scene.seen(), None, scene.caller))
        return await make(*arguments)

    monkeypatch.setattr(scene.hub, "make_share_code", make_and_take_back)
    link = await ask(scene)
    assert (await scene.seen()).share_url is None
    assert (link.status, link.superseded_by) == (OperationStatus.CANCELLED, asked[0])
    assert (await worked_on(scene, asked[0])).status is OperationStatus.SUCCEEDED
    assert ((await scene.seen()).share_url, scene.hub.live_codes, scene.hub.codes) == (None, set(), 1)
    # Who asks afterwards is given one.
    monkeypatch.undo()
    await ask(scene)
    assert (await scene.seen()).share_url


async def test_a_link_that_ends_while_it_is_made_is_made_anew(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a guest whose access is taken back because of what the guest lost."""
    await scene.started()
    make = scene.hub.make_share_code

    async def make_and_end(*arguments: Any) -> ShareCode:
        monkeypatch.undo()
        made = await make(*arguments)
        await scene.run(lambda: scene.links.take_back(scene.server, []))
        assert scene.hub.live_codes == set()
        return made

    monkeypatch.setattr(scene.hub, "make_share_code", make_and_end)
    assert (await ask(scene)).status is OperationStatus.SUCCEEDED
    assert str((await scene.seen()).share_url).endswith("=2")
    assert scene.hub.live_codes == {2}


async def test_who_asks_for_a_link_before_and_after_it_is_taken_back_gets_the_later_one(scene: Scene) -> None:
    await scene.started()
    async with Transaction():
        first = await server_shares.ask_link(await scene.seen(), scene.caller)
        await server_shares.take_back(await scene.seen(), None, scene.caller)
        last = await server_shares.ask_link(await scene.seen(), scene.caller)
        assert await server_shares.ask_link(await scene.seen(), scene.caller) == last
    assert (await worked_on(scene, last)).status is OperationStatus.SUCCEEDED
    assert (await operations.read(first)).status is OperationStatus.CANCELLED
    assert (await scene.seen()).share_url
    assert scene.hub.live_codes == {1}


async def test_what_jupyterhub_does_not_take_back_is_not_said_to_be(scene: Scene) -> None:
    await scene.started()
    await ask(scene)
    bob = await guest(scene, "bob")
    scene.hub.ignores_removals = True
    with pytest.raises(HubUnavailable):
        await take_back(scene, bob.email)
    scene.hub.ignores_removals = False
    # The workflow tries again; it is the same run.
    assert (await take_back(scene)).status is OperationStatus.SUCCEEDED


@pytest.mark.parametrize("ends", [True, False])
async def test_link_and_access_end_with_the_stop_where_that_is_set(scene: Scene, ends: bool) -> None:
    settings = msgspec.structs.replace(scene.settings, shares_end_with_stop=ends)
    scene.links._settings = settings
    await scene.started()
    await ask(scene)
    bob = await persons.hub_user_of((await guest(scene, "bob")).id)
    await scene.run(scene.stops.stop_server, await scene.wish(Wish.STOPPED))
    assert (scene.hub.guests == set()) is ends
    assert ((await scene.seen()).share_url is None) is ends
    # One that stopped by itself has had nobody take its shares back.
    await scene.started()
    await ask(scene)
    scene.hub.guests.add(bob)
    scene.hub.living.clear()
    scene.hub.known.clear()
    await scene.run(scene.watching.observe_servers)
    await scene.started()
    assert (scene.hub.guests == set()) is ends


class Shelf:
    """A dataset of Grace's that the server holds, whose owner may read it."""

    def __init__(self, scene: Scene, owner: Caller, dataset: UUID) -> None:
        self.scene, self.owner, self.dataset = scene, owner, dataset
        self.scope = AccessScope(kind="object", object=dataset, subject_kind="dataset-access")

    async def change(self, verb: str, person: Caller) -> None:
        async with Transaction():
            shareable = await sharing.read("dataset", self.dataset, self.owner, Level.OWNER)
            found = await principals.find([person.email], [], [], ())
            if verb == "share":
                await sharing.grant(shareable, found, Level.READ, None, self.owner)
            else:
                await sharing.revoke(shareable, found, Level.READ)
            about = Subject.access_of("dataset", self.dataset)
            await operations.open_operation(f"dataset.{verb}", about, owner=None, actor=self.owner)

    async def withdraws(self) -> None:
        """What was changed is worked on."""
        run = WorkflowRun(subject=self.dataset, kind="dataset-access", workflow_id="w", run_id="r")
        await self.scene.run(self.scene.access.begin_access, run)
        await self.scene.run(self.scene.access.withdraw, self.scope)
        await self.scene.run(self.scene.access.settle_access, run)


@pytest.fixture
async def shelf(scene: Scene) -> Shelf:
    owner = await make_person("grace")
    async with Transaction():
        identity, _ = await datasets.create(owner.id, "cells", "", owner)
    await row("UPDATE dataset SET observed = 'present', observed_generation = generation WHERE id = :id", id=identity)
    shelf = Shelf(scene, owner, identity)
    await shelf.change("share", scene.caller)
    await row(
        """UPDATE server SET template_data = jsonb_set(template_data, '{datasets}', to_jsonb(ARRAY[:dataset::text]))
            WHERE id = :id""",
        dataset=str(identity),
        id=scene.server,
    )
    await shelf.withdraws()
    await scene.started()
    await ask(scene)
    return shelf


async def test_what_the_reconciler_marks_at_the_same_moment_is_not_taken_for_nothing(shelf: Shelf) -> None:
    scene = shelf.scene
    await shelf.change("revoke", scene.caller)
    async with Transaction():
        # A sweep, whose marks nobody else sees yet; who marks the same waits for it.
        await mounts.mark_lost("all")
        looked = asyncio.create_task(scene.run(scene.access.find_holders, shelf.scope), context=Context())
        async with asyncio.timeout(30):
            while not await exists("SELECT 1 FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.02)
    assert (await looked).some


@pytest.mark.parametrize(
    "first_seen",
    ["before", "while it is worked on", "after the revoke, before the work", "while the link is taken back"],
)
async def test_who_loses_a_dataset_loses_the_server_that_shows_it(shelf: Shelf, first_seen: str) -> None:
    scene = shelf.scene
    bob, carol = await make_person("bob"), await make_person("carol")
    for one in (bob, carol):
        await shelf.change("share", one)
        await shelf.withdraws()
        scene.hub.guests.add(await persons.hub_user_of(one.id))
    if first_seen == "while the link is taken back":
        async with Transaction():
            await server_shares.take_back(await scene.seen(), carol.email + ".nobody", scene.caller)
    if first_seen == "before":
        await scene.run(scene.watching.observe_servers)
    await shelf.change("revoke", bob)
    if first_seen == "after the revoke, before the work":
        await scene.run(scene.watching.observe_servers)
    await shelf.withdraws()
    assert scene.hub.guests == {await persons.hub_user_of(carol.id)}, "carol has her right still"
    assert scene.hub.live_codes == set(), "bob could come back by the link"
    assert (await scene.seen()).wish is Wish.RUNNING, "its owner has lost nothing"
    found = await row(
        "SELECT 1 AS one FROM audit WHERE subject = :id AND action = 'server.guest_lost'", id=scene.server
    )
    assert found is not None


async def test_who_loses_a_dataset_and_has_not_used_the_link_yet_comes_in_by_it_no_more(shelf: Shelf) -> None:
    scene = shelf.scene
    bob = await make_person("bob")
    carol = await guest(scene, "carol")
    await scene.run(scene.watching.observe_servers)
    await shelf.change("share", bob)
    await shelf.withdraws()
    assert scene.hub.live_codes, "somebody who is given something takes nobody's link"
    await shelf.change("revoke", bob)
    await shelf.withdraws()
    assert (scene.hub.live_codes, (await scene.seen()).share_url) == (set(), None)
    assert scene.hub.guests == {await persons.hub_user_of(carol.id)}
    # The owner may show the server to whom she likes, and asks anew.
    assert (await ask(scene)).status is OperationStatus.SUCCEEDED
    await scene.run(scene.access.sweep)
    assert scene.hub.live_codes


async def test_who_uses_the_link_while_a_right_is_taken_is_seen_and_nobody_uses_it_later(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = shelf.scene
    bob, late = await make_person("bob"), await make_person("late")
    for one in (bob, late):
        await shelf.change("share", one)
    await shelf.withdraws()
    shared_with = scene.hub.shared_with

    async def seen_and_then_used(*arguments: Any) -> dict[str, list[str]]:
        found: dict[str, list[str]] = await shared_with(*arguments)
        if scene.hub.live_codes:
            scene.hub.guests.add(await persons.hub_user_of(late.id))
        return found

    for one in (bob, late):
        await shelf.change("revoke", one)
    scene.hub.guests.add(await persons.hub_user_of(bob.id))
    monkeypatch.setattr(scene.hub, "shared_with", seen_and_then_used)
    await shelf.withdraws()
    assert scene.hub.guests == set()


async def test_who_never_had_the_dataset_stays_when_somebody_else_loses_it(shelf: Shelf) -> None:
    scene = shelf.scene
    bob = await guest(scene, "bob")
    await scene.run(scene.watching.observe_servers)
    other = await make_person("other")
    await shelf.change("share", other)
    await shelf.withdraws()
    await shelf.change("revoke", other)
    await shelf.withdraws()
    assert scene.hub.guests == {await persons.hub_user_of(bob.id)}
    assert scene.hub.live_codes == set(), "the other may know the link"


async def test_who_has_just_come_stays_when_somebody_else_is_given_the_dataset(shelf: Shelf) -> None:
    scene = shelf.scene
    bob = await guest(scene, "bob")
    await shelf.change("share", await make_person("other"))
    await shelf.withdraws()
    assert scene.hub.guests == {await persons.hub_user_of(bob.id)}
    assert scene.hub.live_codes


async def test_who_leaves_an_organisation_loses_the_server_at_the_next_sweep(shelf: Shelf) -> None:
    scene = shelf.scene
    bob = await guest(scene, "bob")
    org = f"org-{shelf.dataset.hex[-8:]}"
    statement = "INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, :org)"
    await row(statement, person=bob.id, org=org)
    async with Transaction():
        shareable = await sharing.read("dataset", shelf.dataset, shelf.owner, Level.OWNER)
        await sharing.grant(shareable, await principals.find([], [], [org], ()), Level.READ, None, shelf.owner)
    await scene.run(scene.watching.observe_servers)
    await scene.run(scene.access.sweep)
    assert scene.hub.guests
    await row("DELETE FROM person_org WHERE person = :person", person=bob.id)
    await scene.run(scene.access.sweep)
    assert scene.hub.guests == set()


async def test_a_jupyterhub_that_is_away_keeps_no_server_running_that_has_to_stop(shelf: Shelf) -> None:
    scene = shelf.scene
    await shelf.change("revoke", scene.caller)
    scene.access._settings = msgspec.structs.replace(scene.settings, revoke_grace=0)
    scene.hub.away = True
    await row("UPDATE server_mount SET lost_at = now() - interval '1 hour' WHERE server = :id", id=scene.server)
    with pytest.raises(HubUnavailable):
        await shelf.withdraws()
    assert (await scene.seen()).wish is Wish.STOPPED
