"""Who manages a group can put people into it and take them out again: what becomes of their servers."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest

from activities.access import Access
from activities.messages import AccessScope, ServerWish
from models.access import principals, sharing
from models.access.permissions import Level
from models.database.sql import row, rows
from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.values import Caller, ServerStatus, Subject, Wish
from models.ledger import expiry
from models.records import datasets, groups, mounts, servers
from models.records.groups import GroupRecord
from tests.people import make_person
from tests.servers import make_server
from tests.unit.activities.conftest import Scene


class Carol:
    """The owner of the scene's server, as what others do with groups reaches it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        settings = msgspec.structs.replace(scene.settings, on_revoke="stop", revoke_grace=0)
        self._access = Access(settings, self._stop, scene.links)

    async def _stop(self, _: Subject) -> bool:
        seen = await self.scene.seen()
        wish = ServerWish(server_id=self.scene.server, generation=seen.generation)
        await self.scene.run(self.scene.stops.stop_server, wish)
        return True

    async def starts(self) -> dict[UUID, bool]:
        """Start the server, again if it runs; what it holds, and whether it may write there."""
        if (await self.scene.seen()).status is ServerStatus.RUNNING:
            await self.scene.run(self.scene.stops.stop_server, await self.scene.wish(Wish.STOPPED))
        await self.scene.started()
        found = await rows("SELECT object, writes FROM server_mount WHERE server = :server", server=self.scene.server)
        return {one["object"]: one["writes"] for one in found}

    async def left_out(self) -> dict[str, str]:
        """What the last start left out, and why."""
        return {one.id: one.reason for one in (await self.scene.operation()).left_out}

    async def still_runs(self, *changed: UUID) -> bool:
        """Whether the server runs after the work that follows a change of groups."""
        for group in changed:
            await self.scene.run(self._access.withdraw, AccessScope(kind="group", object=group, subject_kind="group"))
        return (await self.scene.seen()).status is ServerStatus.RUNNING

    async def wants(self, group: UUID, shown: bool) -> None:
        async with Transaction():
            await groups.set_shown(await groups.read(group, self.scene.caller, lock=True), shown, self.scene.caller)

    async def leaves(self, group: UUID) -> None:
        async with Transaction():
            found = await groups.read(group, self.scene.caller, lock=True)
            await groups.remove_member(found, self.scene.caller.email, self.scene.caller)


class Colleague:
    """Somebody with groups, who puts Carol into them and takes her out again."""

    def __init__(self, caller: Caller, carol: Carol) -> None:
        self.caller, self._email, self._person = caller, carol.scene.caller.email, carol.scene.caller.id

    async def group(self) -> UUID:
        """A group of theirs into which they have put Carol."""
        async with Transaction():
            identity, _ = await groups.create(f"group-{new_id().hex[-8:]}", self.caller)
        await row("UPDATE user_group SET observed = 'present' WHERE id = :id", id=identity)
        await self.puts_in(identity)
        return identity

    async def _managed(self, group: UUID) -> GroupRecord:
        return await groups.read_managed(group, self.caller)

    async def puts_in(self, group: UUID) -> None:
        async with Transaction():
            await groups.add_member(await self._managed(group), self._person, self._email, self.caller)

    async def takes_out(self, group: UUID) -> None:
        async with Transaction():
            await groups.remove_member(await self._managed(group), self._email, self.caller)

    async def deletes(self, group: UUID) -> None:
        async with Transaction():
            await groups.delete(await self._managed(group), self.caller)


@pytest.fixture
def carol(scene: Scene) -> Carol:
    return Carol(scene)


@pytest.fixture
async def mallory(carol: Carol) -> Colleague:
    return Colleague(await make_person("mallory"), carol)


@pytest.fixture
async def bob(carol: Carol) -> Colleague:
    return Colleague(await make_person("bob"), carol)


async def stopped(carol: Carol, mallory: Colleague, groups_of: Sequence[UUID], *, deleting: bool = False) -> int:
    """How often Mallory stops the server by groups, one after the other, while Carol starts it again each time."""
    stops = 0
    for group in groups_of:
        await mallory.puts_in(group)
        await carol.starts()
        await (mallory.deletes(group) if deleting else mallory.takes_out(group))
        stops += not await carol.still_runs(group)
    return stops


@pytest.mark.parametrize("way", ["one group", "many groups", "deleted groups"])
async def test_nobody_keeps_a_server_down_by_putting_its_owner_into_groups_and_out_again(
    carol: Carol, mallory: Colleague, bob: Colleague, way: str
) -> None:
    lab = await bob.group()
    made = [await mallory.group() for _ in range(1 if way == "one group" else 5)]
    tries = made * 5 if way == "one group" else made
    assert await stopped(carol, mallory, tries, deleting=way == "deleted groups") == 3
    late = await mallory.group()
    held = await carol.starts()
    assert (late in held, lab in held) == (False, True), "nobody else's groups are left out"
    assert (await carol.left_out())[str(late)] == mounts.TAKEN_TOO_OFTEN
    # Until she asks for it: then it is hers to lose.
    await carol.wants(late, True)
    await carol.leaves(lab)
    assert not await carol.still_runs(lab)
    assert late in await carol.starts()
    await mallory.takes_out(late)
    assert not await carol.still_runs(late)


async def test_who_is_put_into_a_group_has_its_directory_and_who_is_taken_out_loses_it_at_once(
    carol: Carol, bob: Colleague
) -> None:
    lab, project = await bob.group(), await bob.group()
    assert {lab, project} <= (await carol.starts()).keys()
    await bob.takes_out(project)
    assert not await carol.still_runs(project)
    error = (await carol.scene.seen()).last_error
    assert error is not None
    assert bob.caller.email in error.hint
    held = await carol.starts()
    assert (lab in held, project in held) == (True, False)
    await bob.puts_in(project)
    assert await carol.still_runs(project), "to be put into a group stops nothing"


async def test_a_group_that_is_taken_from_many_servers_at_once_is_taken_once(carol: Carol, bob: Colleague) -> None:
    project, lab = await bob.group(), await bob.group()
    owner = carol.scene.caller
    running = [await make_server(owner) for _ in range(5)]
    for server in running:
        async with Transaction():
            await servers.intend(server, Wish.RUNNING, owner)
        assert await mounts.claim(server, 1, [])
    await bob.takes_out(project)
    await mounts.mark_lost("group", project)
    found = await mounts.lost("group", project, 10)
    assert {one.server for one in found} == {*running}
    assert all([await mounts.stop(one) for one in found])
    assert lab in await carol.starts()


async def test_what_a_person_gives_up_is_counted_to_nobody(carol: Carol, bob: Colleague) -> None:
    made = [await bob.group() for _ in range(5)]
    for group in made[:4]:
        assert group in await carol.starts()
        await carol.leaves(group)
        assert not await carol.still_runs(group)
    assert made[4] in await carol.starts()


async def test_a_dataset_is_written_through_groups_that_the_server_shows(
    carol: Carol, mallory: Colleague, bob: Colleague
) -> None:
    """Otherwise who takes the owner out of one that is left out would stop the server all the same."""
    async with Transaction():
        dataset, _ = await datasets.create(bob.caller.id, f"cells-{new_id().hex[-8:]}", "", bob.caller)
    await row("UPDATE dataset SET observed = 'present' WHERE id = :id", id=dataset)
    writers = await mallory.group()
    async with Transaction():
        shared = await sharing.read("dataset", dataset, bob.caller, Level.OWNER)
        for users, named, level in (([carol.scene.caller.email], [], Level.READ), ([], [str(writers)], Level.WRITE)):
            await sharing.grant(shared, await principals.find(users, named, [], ()), level, None, bob.caller)
    await row(
        """UPDATE server
              SET template_data = template_data || jsonb_build_object('datasets', jsonb_build_array(:id::text))
            WHERE id = :server""",
        id=str(dataset),
        server=carol.scene.server,
    )
    assert (await carol.starts())[dataset] is True
    assert await stopped(carol, mallory, [writers] * 5) == 3
    await mallory.puts_in(writers)
    assert (await carol.starts())[dataset] is False
    await carol.wants(writers, True)
    assert (await carol.starts())[dataset] is True


async def test_after_a_month_the_count_begins_again(carol: Carol, mallory: Colleague) -> None:
    group = await mallory.group()
    assert await stopped(carol, mallory, [group] * 4) == 3
    await row("UPDATE group_stop SET lost_at = now() - interval '31 days' WHERE giver = :id", id=mallory.caller.id)
    await expiry.remove_expired(24)
    await mallory.puts_in(group)
    await carol.still_runs(group)
    assert group in await carol.starts()


async def test_a_directory_of_a_group_is_kept_out_by_who_does_not_want_it(carol: Carol, bob: Colleague) -> None:
    group, lab = await bob.group(), await bob.group()
    await carol.wants(group, False)
    held = await carol.starts()
    assert (group in held, lab in held, await carol.left_out()) == (False, True, {})
    await bob.takes_out(group)
    assert await carol.still_runs(group)
