"""A server's link is made when it is asked for and can be taken back; who loses a right loses what it led to."""

from uuid import UUID

import msgspec
import pytest

from activities.messages import WorkflowRun
from models.database.sql import row
from models.database.transactions import Transaction
from models.domain.errors import HubUnavailable
from models.domain.values import Caller, OperationStatus, Wish
from models.ledger import operations
from models.ledger.operations import OperationRecord
from models.records import persons, server_shares
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
