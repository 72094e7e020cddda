"""The client has all of the API's document: every operation, and every field of every answer."""

import dataclasses
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from nbhub import AsyncHub, Hub, models
from nbhub.synchronous.records import Shared
from tests.unit.client.documented import ID, SCHEMAS, URL, Documented, operations, sample

MODELS: dict[str, type[msgspec.Struct]] = {
    "AccessView": models.Access,
    "ApplicationView": models.Application,
    "AuditView": models.AuditEntry,
    "CanView": models.Can,
    "Check": models.Check,
    "DatasetView": models.Dataset,
    "EntryView": models.Entry,
    "EventStep": models.StepTold,
    "EventView": models.Change,
    "ErrorBody": models.ErrorBody,
    "ErrorDetail": models.ErrorDetail,
    "ErrorEnvelope": models.ErrorEnvelope,
    "ExplanationView": models.Explanation,
    "FileRuleView": models.FileRule,
    "FileView": models.File,
    "GroupView": models.Group,
    "HardwareView": models.Hardware,
    "Health": models.Health,
    "LastErrorView": models.LastError,
    "LeftOut": models.LeftOut,
    "LogView": models.ServerLog,
    "MembershipView": models.Membership,
    "MeView": models.Me,
    "ModuleCall": models.ModuleCall,
    "ModuleView": models.Module,
    "OrgView": models.Organisation,
    "PersonView": models.Person,
    "OperationError": models.OperationError,
    "OperationView": models.OperationState,
    "ResetView": models.Reset,
    "ResultRecord": models.Result,
    "SealedView": models.SealedRow,
    "SealView": models.Seal,
    "SecretView": models.Secret,
    "ServerView": models.Server,
    "ShareView": models.ServerShare,
    "SharedServerView": models.SharedServer,
    "SharedWithView": models.SharedWith,
    "PhaseView": models.Phase,
    "PlacedView": models.Placed,
    "InsideView": models.Inside,
    "PreviewView": models.Preview,
    "Step": models.Step,
    "StoppedReasonView": models.StoppedReason,
    "TagView": models.Tag,
    "TemplateView": models.Template,
    "TokenView": models.Tokens,
    "DeviceCodeAnswer": models.DeviceCode,
    "TrashedView": models.Trashed,
    "UploadView": models.Upload,
    "UseView": models.Use,
    "Version": models.Version,
    "WayView": models.Way,
}
LATER = datetime(2030, 1, 1, tzinfo=UTC)
# What is sent, and what is a dictionary of one text.
NO_MODELS = {"AuthorizeAnswer", "LogoutAnswer"}
SENT = {"LuaCall"} | {name for name in SCHEMAS if name.endswith(("Body", "Create", "Request", "Update"))} - {
    "ErrorBody"
}


def test_every_answer_has_a_model() -> None:
    objects = {name for name, schema in SCHEMAS.items() if "properties" in schema}
    assert objects - SENT - NO_MODELS == MODELS.keys(), "client/nbhub/models.py has no struct of one, or too many"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_fields_of_the_document(name: str) -> None:
    schema, ours = SCHEMAS[name], msgspec.structs.fields(MODELS[name])
    fields = {one.encode_name: one for one in ours if one.name != "etag"}
    assert fields.keys() == schema["properties"].keys()
    required = {encoded for encoded, one in fields.items() if one.required}
    assert required == set(schema["required"])


@pytest.mark.parametrize("name", MODELS)
def test_a_field_that_is_new_is_ignored(name: str) -> None:
    text = msgspec.json.encode({**sample(SCHEMAS[name]), "of_tomorrow": {"any": "thing"}})
    assert isinstance(msgspec.json.decode(text, type=MODELS[name]), MODELS[name])


def calls_of_shared(noun: str, records: Shared[Any]) -> dict[str, Callable[[], object]]:
    everyone: dict[str, Any] = {"users": "bob@example.org", "groups": ["glaciers"], "orgs": ["chemistry"]}
    return {
        f"get{noun}": lambda: records.get(ID),
        f"delete{noun}": lambda: (
            records.delete(ID, wait=3, if_match='"1"'),
            records.preview_delete(ID, if_match='"1"'),
        ),
        f"share{noun}": lambda: (
            records.share(ID, relation="write", expires_at=LATER, wait=3, **everyone),
            records.preview_share(ID, relation="write", expires_at=LATER, **everyone),
        ),
        f"revoke{noun}": lambda: (
            records.revoke(ID, relation="write", wait=3, **everyone),
            records.preview_revoke(ID, relation="write", **everyone),
        ),
        f"get{noun}Access": lambda: records.access(ID, type="user").all(),
        f"explain{noun}Access": lambda: records.explain(ID, "bob@example.org"),
    }


def calls(hub: Hub, directory: Path) -> dict[str, Callable[[], object]]:
    """A call of everything, with all that can be given."""
    source, target = directory / "source", directory / "target"
    source.write_bytes(b"bytes")
    fields: dict[str, Any] = {
        "hardware": "cpuSmall",
        "datasets": [ID],
        "modules": [ID],
        "secrets": [ID],
        "tags": ["x"],
        "featured_image": "x",
        "file_path": "x",
    }
    lua = [models.ModuleCall(id="help", arguments=["x"])]
    found: dict[str, Callable[[], object]] = {
        "beginSignIn": lambda: hub.sign_in.begin("http://127.0.0.1:9/callback"),
        "completeSignIn": lambda: hub.sign_in.complete("code", "state"),
        "beginSignInOnDevice": hub.sign_in.begin_on_device,
        "completeSignInOnDevice": lambda: hub.sign_in.complete_on_device(
            models.DeviceCode(device_code="x", user_code="x", verification_uri="x", expires_in=1, interval=0)
        ),
        "refreshTokens": lambda: hub.sign_in.refresh("token"),
        "signOut": lambda: hub.sign_in.end("token"),
        "isSignedIn": hub.is_signed_in,
        "whoAmI": hub.whoami,
        "whoAmIInJupyterHub": hub.hub_user,
        "findPeople": lambda: hub.people("bob"),
        "listOrganisations": lambda: hub.organisations().all(),
        "listTrash": lambda: hub.trash().all(),
        "getMe": hub.me,
        "getUsage": hub.usage,
        "getVersion": hub.version,
        "checkHealth": lambda: hub.health(email="bob@example.org"),
        "initialize": lambda: hub.initialize(email="bob@example.org", wait=3),
        "releaseEmail": lambda: hub.release_email("bob@example.org", wait=3),
        "listApplications": hub.applications,
        "listHardwareOptions": hub.hardware,
        "listLuaFunctions": hub.lua_functions,
        "listServers": lambda: (
            hub.servers.list(owner="bob@example.org", type="user", name="x", status="running", sort="-name").all(),
            hub.servers.list().count(),
            hub.servers.list().fields("name", "status"),
        ),
        "getServer": lambda: hub.servers.get(ID),
        "createServer": lambda: (hub.servers.create("lab", **fields), hub.servers.preview_create("lab", **fields)),
        "launchServer": lambda: (hub.servers.launch(ID), hub.servers.preview_launch(ID)),
        "startServer": lambda: (
            hub.servers.start(ID, wait=3, if_match='"1"'),
            hub.servers.preview_start(ID, if_match='"1"'),
        ),
        "stopServer": lambda: (
            hub.servers.stop(ID, wait=3, if_match='"1"'),
            hub.servers.preview_stop(ID, if_match='"1"'),
        ),
        "deleteServer": lambda: hub.servers.delete(ID, wait=3, if_match='"1"'),
        "getServerLog": lambda: hub.servers.log(ID),
        "getServerShare": lambda: hub.servers.share(ID, look=True),
        "unshareServer": lambda: [
            hub.servers.unshare(ID, email="bob@example.org", wait=3),
            hub.servers.preview_unshare(ID, email="bob@example.org"),
        ],
        "listServerShares": lambda: hub.servers.shares(owner="bob@example.org").all(),
        "listTemplates": lambda: hub.templates.list(
            type="user", creator="bob@example.org", tag="x", q="x", sort="name"
        ).all(),
        "listTemplateTags": lambda: hub.templates.tags(type="user", creator="bob@example.org").all(),
        "getTemplate": lambda: hub.templates.get(ID),
        "createTemplate": lambda: hub.templates.create("lab", **fields),
        "updateTemplate": lambda: hub.templates.update(
            ID,
            name="x",
            description="x",
            application_type="x",
            public=True,
            creator="bob@example.org",
            if_match='"1"',
            **fields,
        ),
        "deleteTemplate": lambda: [
            ask(ID, if_match='"1"') for ask in (hub.templates.delete, hub.templates.preview_delete)
        ],
        "listDatasets": lambda: hub.datasets.list(owner="bob@example.org", q="x", sort="name").all(),
        "createDataset": lambda: hub.datasets.create("ice", description="x", owner="bob@example.org", wait=3),
        "updateDataset": lambda: hub.datasets.update(ID, name="ice", description=None, if_match='"1"'),
        "listModules": lambda: hub.modules.list(owner="bob@example.org", q="x", sort="name").all(),
        "createModule": lambda: hub.modules.create(
            "gcc", "13", lua_module_file=lua, description="x", featured=True, owner="bob@example.org", wait=3
        ),
        "updateModule": lambda: hub.modules.update(
            ID, name="gcc", version="14", lua_module_file=lua, description=None, featured=False, wait=3, if_match='"1"'
        ),
        "listSecrets": lambda: hub.secrets.list(owner="bob@example.org", type="raw", name="x", sort="name").all(),
        "createSecret": lambda: hub.secrets.create(
            "x", type="file", value={"a": "b"}, description="x", mount_path="/opt/secret/x", owner="bob@example.org"
        ),
        "updateSecret": lambda: hub.secrets.update(
            ID, name="x", value="v", description=None, mount_path="/opt/secret/x", if_match='"1"'
        ),
        "listGroups": lambda: hub.groups.list(q="x", sort="updated").all(),
        "getGroup": lambda: hub.groups.get(ID),
        "createGroup": lambda: hub.groups.create("glaciers", wait=3),
        "renameGroup": lambda: hub.groups.rename(ID, "ice", wait=3, if_match='"1"'),
        "deleteGroup": lambda: hub.groups.delete(ID, wait=3, if_match='"1"'),
        "listGroupMembers": lambda: hub.groups.members(ID).all(),
        "addGroupMember": lambda: hub.groups.add(ID, "bob@example.org", wait=3),
        "removeGroupMember": lambda: (
            hub.groups.remove(ID, "o/b+x@example.org", wait=3),
            hub.groups.preview_remove(ID, "o/b+x@example.org"),
        ),
        "updateGroupMember": lambda: (
            hub.groups.set_manager(ID, "bob@example.org", wait=3),
            hub.groups.set_shown(ID, "bob@example.org", shown=False, wait=3),
        ),
        "listFiles": lambda: hub.files.list("notebooks", "x", email="bob@example.org").all(),
        "readFile": lambda: (
            hub.files.read("notebooks", "x", email="bob@example.org"),
            hub.files.download("notebooks", "x", target, email="bob@example.org"),
        ),
        "writeFile": lambda: (
            hub.files.write("notebooks", "x", b"bytes", if_match='"1"'),
            hub.files.upload(source, "notebooks", "x", replace=False),
        ),
        "moveFile": lambda: hub.files.move("notebooks", "a", "b"),
        "copyFile": lambda: hub.files.copy("notebooks", "a", f"{ID}/b", to_root="datasets"),
        "deleteFile": lambda: hub.files.delete("notebooks", "a"),
        "beginUpload": lambda: hub.files.begin_upload("notebooks", "a", 5),
        "getUpload": lambda: hub.files.upload_state(ID),
        "continueUpload": lambda: hub.files.send_part(
            hub.files.upload_state(ID), b"bytes", last=True, replace=False, if_match='"1"'
        ),
        "endUpload": lambda: hub.files.end_upload(ID),
        "createFile": lambda: (hub.files.make_directory("notebooks", "a/b"), hub.files.create("notebooks", "c", "x")),
        "listOperations": lambda: hub.operations.list(
            subject=ID, status="failed", kind="server.start", sort="-newest"
        ).all(),
        "listAudit": lambda: (
            hub.audit.list(
                actor="system", action="server.start", subject=ID, since=LATER, until=LATER, sort="-newest"
            ).all(),
            [*hub.audit.export("jsonl", actor="system", since=LATER)],
        ),
        "listAuditSeals": lambda: (
            hub.audit.seals(after=1, sort="-newest").all(),
            hub.audit.head(),
            hub.audit.verify(),
        ),
        "getOperation": lambda: hub.operations.get(ID).refresh(),
        "cancelOperation": lambda: hub.operations.get(ID).cancel(),
        "followEvents": lambda: next(hub.events()),
        "followOperation": lambda: list(hub.operations.get(ID).events()),
        "listOperationResults": lambda: hub.operations.get(ID).results().all(),
    }
    found |= calls_of_shared("Dataset", hub.datasets)
    found |= calls_of_shared("Module", hub.modules)
    found |= calls_of_shared("Secret", hub.secrets)
    found |= {
        "restoreDataset": lambda: hub.datasets.restore(ID, wait=3, if_match='"1"'),
        "restoreModule": lambda: hub.modules.restore(ID, wait=3, if_match='"1"'),
        # The other path of the same.
        "shareSecretById": found.pop("shareSecret"),
    }
    return found


@dataclasses.dataclass
class Talk:
    """A client and the API that it talks to."""

    hub: Hub
    api: Documented
    directory: Path


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    api = Documented()
    return Talk(Hub(URL, "token", transport=httpx2.MockTransport(api.handle)), api, tmp_path)


# Paths of the reference, which stay for the web UI that calls them; the client takes others, that are more. And what is
# refused to all but pages.
ELSEWHERE = {"shareSecret", "listHardware", "resumeSession"}


def test_every_operation_of_the_document_has_a_method(talk: Talk) -> None:
    missing = operations().keys() - ELSEWHERE - calls(talk.hub, talk.directory).keys()
    assert not missing, f"client/nbhub/asynchronous has no method for {missing}: give it one, and `make client`"


@pytest.mark.parametrize("identity", sorted(operations().keys() - ELSEWHERE))
def test_a_method_asks_as_the_document_says(talk: Talk, identity: str) -> None:
    calls(talk.hub, talk.directory)[identity]()
    assert identity in talk.api.asked


def test_no_request_goes_without_the_token_but_those_of_a_sign_in(talk: Talk) -> None:
    for call in calls(talk.hub, talk.directory).values():
        call()
    for request in talk.api.requests:
        signed = request.headers.get("authorization") == "Bearer token"
        assert signed is not request.url.path.startswith("/auth/"), request.url.path


def test_both_clients_have_the_same(talk: Talk) -> None:
    other = AsyncHub(URL, "token")
    for name, resource in vars(talk.hub).items():
        if not name.startswith("_"):
            methods = {one for one in dir(resource) if not one.startswith("_")}
            assert {one for one in dir(getattr(other, name)) if not one.startswith("_")} == methods
    assert typing.get_type_hints(Hub.whoami)["return"] is str
