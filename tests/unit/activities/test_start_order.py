"""Where a server sees what it may hold, as it is ordered of JupyterHub."""

from activities.start_order import spec_of
from models.domain.ids import new_id
from models.domain.server_spec import Mount
from models.domain.settings import Settings
from models.records.mounts import Claim
from tests.unit.workflows.test_plugin import PLAN

SETTINGS = Settings(
    database_url="postgresql:///nowhere",
    dataset_location="/data/datasets",
    group_location="/data/groups",
    module_location="/data/modules",
)


def held(kind: str, name: str, *, own: bool = False, writes: bool = False, version: str = "") -> Claim:
    return Claim(
        object=new_id(),
        kind=kind,
        name=name,
        owner="bob@example.org",
        own=own,
        writes=writes,
        owner_id=new_id(),
        version=version,
    )


def mounted(*claims: Claim) -> tuple[Mount, ...]:
    return spec_of(PLAN, list(claims), [], SETTINGS).mounts


def test_datasets_lie_beneath_their_names_and_the_owners_own_keeps_its_name() -> None:
    own, other, third = held("dataset", "birds", own=True), held("dataset", "birds"), held("dataset", "fish")
    assert [(one.source, one.target) for one in mounted(own, other, third)] == [
        (f"/data/datasets/{own.object}", "/opt/datasets/birds"),
        (f"/data/datasets/{other.object}", "/opt/datasets/birds--bob@example.org"),
        (f"/data/datasets/{third.object}", "/opt/datasets/fish"),
    ]


def test_who_may_write_does() -> None:
    claims = held("dataset", "birds", writes=True), held("dataset", "fish"), held("group", "team")
    assert [one.read_only for one in mounted(*claims)] == [False, True, False]


def test_a_module_is_its_directory_and_its_modulefile_alone() -> None:
    module = held("module", "gcc", version="13.2", writes=True)
    binaries, file = mounted(module)
    assert (binaries.source, binaries.read_only) == (f"/data/modules/binaries/{module.object}", False)
    assert binaries.target == f"/opt/modules/binaries/{module.object}"
    assert (file.source, file.read_only) == (f"/data/modules/modulefiles/{module.owner_id}/gcc/13.2.lua", True)
    assert file.target == "/opt/modules/modulefiles/bob@example.org/gcc/13.2.lua"


def test_modules_of_the_servers_owner_are_found_first_and_all_loaded_as_the_template_has_them() -> None:
    other, own = held("module", "gcc", version="13.2"), held("module", "gcc", version="14", own=True)
    spec = spec_of(PLAN, [other, own], [], SETTINGS)
    assert [one.object_id for one in spec.mounts[::2]] == [str(own.object), str(other.object)]
    assert spec.modules == ("gcc/13.2", "gcc/14")


def test_a_secret_is_no_mount() -> None:
    assert mounted(held("secret", "TOKEN")) == ()
