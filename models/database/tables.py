"""The tables. What people asked for, what was seen, and the ledger of the work between the two."""

from piccolo.columns import (
    JSONB,
    UUID,
    Array,
    BigInt,
    BigSerial,
    Boolean,
    Bytea,
    Integer,
    SmallInt,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.constraints import Unique
from piccolo.table import Table

from models.database.engine import DB


class Person(Table, db=DB):
    """Who has signed in, or was invited: then the issuer is empty, until the first sign-in with the e-mail.

    An e-mail belongs to one person at a time; `released_at` gives it up. `name` is what the provider calls the person,
    if it says that. `hub_user`, the name in JupyterHub, belongs to this person for ever: PostgreSQL makes it of the id
    with the row.
    """

    id = UUID(primary_key=True, default=None)
    issuer = Text()
    subject = Text()
    email = Varchar(length=320)
    name = Text()
    hub_user = Text()
    released_at = Timestamptz(null=True, default=None)
    invited_by = UUID(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    seen_at = Timestamptz(default=TimestamptzNow())
    initialized_at = Timestamptz(null=True, default=None)

    person_issuer_subject = Unique([issuer, subject])


class PersonOrg(Table, db=DB):
    """The organisations that a person's last token named."""

    id = UUID(primary_key=True)
    person = UUID()
    org = Text()

    person_once_per_org = Unique([person, org])


class Session(Table, db=DB):
    """A signed-in access token, found by its SHA-256."""

    token_hash = Bytea(primary_key=True, default=None)
    person = UUID(index=True)
    admin = Boolean(default=False)
    orgs = Array(base_column=Text())
    expires_at = Timestamptz(index=True)
    refresh_token_encrypted = Bytea(null=True, default=None, secret=True)
    refresh_token_hash = Bytea(null=True, default=None, index=True)
    id_token_hash = Bytea(null=True, default=None, index=True)
    browser_hash = Bytea(null=True, default=None, index=True)
    refreshing_until = Timestamptz(null=True, default=None)
    sid = Text(null=True, default=None)
    # When the provider was last asked to revoke the refresh token of one that has ended.
    revoke_tried_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())


class LoginTransaction(Table, db=DB):
    """A sign-in that a browser has begun; used once."""

    state_hash = Bytea(primary_key=True, default=None)
    cookie_hash = Bytea(index=True, default=b"")
    nonce = Text(secret=True)
    code_verifier = Text(secret=True)
    redirect_uri = Text()
    created_at = Timestamptz(default=TimestamptzNow())
    expires_at = Timestamptz(index=True)


class DeviceSignIn(Table, db=DB):
    """A sign-in that was begun where there is no browser, by a code that is typed in one elsewhere; used once."""

    code_hash = Bytea(primary_key=True, default=None)
    provider_code_encrypted = Bytea(secret=True)
    code_verifier = Text(secret=True)
    interval_seconds = Integer()
    created_at = Timestamptz(default=TimestamptzNow())
    ask_after = Timestamptz(default=TimestamptzNow())
    expires_at = Timestamptz(index=True)


class Template(Table, db=DB):
    """The settings from which servers are made."""

    id = UUID(primary_key=True, default=None)
    creator = UUID()
    name = Text()
    description = Text(default="")
    type = Text()
    application_type = Text()
    hardware = Text()
    public = Boolean(default=False)
    featured_image = Text(null=True, default=None)
    file_path = Text(null=True, default=None)
    datasets = Array(base_column=Text())
    modules = Array(base_column=Text())
    secrets = Array(base_column=Text())
    tags = Array(base_column=Text())
    server_name = Text()
    servers_made = Integer(default=0)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())  # kept by a trigger, with the version
    version = Integer(default=1)


class Server(Table, db=DB):
    """A server: what is wished of it, and what was last seen.

    `generation` numbers the wishes. `observed_generation` is the generation that was reached or
    given up last; the server is settled when the two are equal. `process_generation` is that of the
    process which was last seen alive; one of at least `process_floor` fulfils the wish to run.
    """

    id = UUID(primary_key=True, default=None)
    owner = UUID()
    name = Text()
    template = UUID(index=True)
    made_with_template = Boolean(default=False)
    template_data = JSONB()
    wish = Text(default="stopped")
    generation = BigInt(default=0)
    observed = Text(default="stopped")
    observed_generation = BigInt(default=0)
    process_generation = BigInt(null=True, default=None)
    process_floor = BigInt(default=0)
    observed_at = Timestamptz(default=TimestamptzNow())
    started_once = Boolean(default=False)
    last_error = JSONB(null=True, default=None)
    # Since when the process runs that fulfils the wish to run; none while none does.
    started_at = Timestamptz(null=True, default=None)
    # As JupyterHub has it. No part of `version`: who has read the server may still change it.
    last_activity = Timestamptz(null=True, default=None)
    # Why it is not wished to run any more, as it is sent to clients.
    stopped_reason = JSONB(null=True, default=None)
    share_url = Text(null=True, default=None)
    share_expires_at = Timestamptz(null=True, default=None)
    shared_with = JSONB(null=True, default=None)
    share_as_of = Timestamptz(null=True, default=None)
    # When it was last tried to look at that, with or without success.
    share_looked_at = Timestamptz(null=True, default=None)
    # How often its links were taken back: one that was made before the last time is none.
    times_unshared = Integer(default=0)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)

    server_owner_name = Unique([owner, name])


class ServerSearch(Table, db=DB):
    """What a server is found by: its name and its template's, lower-cased, a line each. A trigger keeps it.

    Apart from `server`, whose rows change at each step of a start, so that only names cost what an index of them costs.
    """

    server = UUID(primary_key=True, default=None)
    text = Text()


class ServerTombstone(Table, db=DB):
    """Proof that a server was ours and is no longer wanted."""

    id = UUID(primary_key=True, default=None)
    hub_user = Text()
    name = Text()
    deleted_at = Timestamptz(default=TimestamptzNow())


class Wished:
    """What a table has whose records are wished for: all that `models.records.lifecycles` needs."""

    id = UUID(primary_key=True, default=None)
    wish = Text(default="present")
    generation = BigInt(default=1)
    observed = Text(default="absent")
    observed_generation = BigInt(default=0)
    observed_at = Timestamptz(default=TimestamptzNow())
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)


class Shared(Wished):
    """What a table has whose records people share: all that `models.records.shared_records` needs."""

    owner = UUID()
    name = Text()
    description = Text(default="")


class Dataset(Shared, Table, db=DB):
    """A directory that people share. Its wish is made true outside like a server's."""

    trashed_at = Timestamptz(null=True, default=None)


class Module(Shared, Table, db=DB):
    """Software that Lmod loads. `module_version` is the software's; `calls` are those of its modulefile."""

    module_version = Text()
    featured = Boolean(default=False)
    calls = JSONB()
    trashed_at = Timestamptz(null=True, default=None)


class ModulePlace(Table, db=DB):
    """A place of a modulefile and the module that holds it: from before its file is put there until it is gone."""

    id = UUID(primary_key=True)
    module = UUID(index=True)
    owner = UUID()
    name = Text()
    module_version = Text()

    module_place_once = Unique([owner, name, module_version])


class Secret(Shared, Table, db=DB):
    """What is known of a secret. Its value is in Vault; `value_version` is the one that servers are given."""

    type = Text()
    mount_path = Text(null=True, default=None)
    value_version = Integer(default=0)


class UserGroup(Wished, Table, db=DB):
    """People under one name, with a directory of their own. `generation` also counts changes of its members.

    It counts to the quota of its `creator`, whoever manages it.
    """

    creator = UUID(null=True, default=None, index=True)
    name = Text()


class GroupMember(Table, db=DB):
    """A member of a group; a manager may change it.

    `shown` is what the member said about the group's directory in their servers; null: nothing.
    """

    id = UUID(primary_key=True)
    user_group = UUID()
    person = UUID()
    manager = Boolean(default=False)
    shown = Boolean(null=True, default=None)
    added_by = UUID(null=True, default=None, index=True)
    created_at = Timestamptz(default=TimestamptzNow())


class AccessGrant(Table, db=DB):
    """A right to an object, of one person, one group or one organisation; `models.access.permissions` has levels."""

    id = UUID(primary_key=True)
    object = UUID()
    object_kind = Text()
    person = UUID(null=True, default=None)
    user_group = UUID(null=True, default=None)
    org = Text(null=True, default=None)
    level = Integer()
    expires_at = Timestamptz(null=True, default=None)
    granted_by = UUID(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())


class ServerMount(Table, db=DB):
    """What a server's process may hold: written before the spawn, removed when the process is proven gone.

    `lost_at` is when its owner was first seen to have lost the right to it, `given_by` who put the owner into a group.
    """

    id = UUID(primary_key=True)
    server = UUID()
    object = UUID()
    kind = Text()
    writes = Boolean(default=False)
    generation = BigInt()
    lost_at = Timestamptz(null=True, default=None)
    given_by = UUID(null=True, default=None)


class GroupStop(Table, db=DB):
    """How often a person's servers stopped because of groups into which `giver` had put the person.

    `lost_at` is when the last of these groups was lost.
    """

    id = UUID(primary_key=True)
    person = UUID()
    giver = UUID()
    stops = Integer(default=1)
    lost_at = Timestamptz()


class ServerGuest(Table, db=DB):
    """Somebody with whom JupyterHub shares a server, and of what it holds that which the guest had a right to."""

    id = UUID(primary_key=True)
    server = UUID()
    person = UUID()
    held = Array(base_column=UUID())
    # The address under which the guest was last shown.
    known_as = Text(null=True, default=None)
    # When it was first seen that the guest is one.
    seen_at = Timestamptz(default=TimestamptzNow())
    # When it was last tried to end the guest's access.
    tried_at = Timestamptz(null=True, default=None)


class Operation(Table, db=DB):
    """One thing that somebody asked for, and how it ended.

    One that wished something of its subject has the `wish`, and the `generation` that this was of it; one that starts a
    server has the server's `template`.
    """

    id = UUID(primary_key=True, default=None)
    kind = Text()
    subject = UUID()
    subject_kind = Text()
    subject_owner = UUID(null=True, default=None)
    actor = UUID(null=True, default=None)
    status = Text(default="queued")
    wish = Text(null=True, default=None)
    generation = BigInt(null=True, default=None)
    template = UUID(null=True, default=None)
    superseded_by = UUID(null=True, default=None)
    error = JSONB(null=True, default=None)
    left_out = JSONB(null=True, default=None)
    workflow_id = Text(null=True, default=None)
    run_id = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    started_at = Timestamptz(null=True, default=None)
    ended_at = Timestamptz(null=True, default=None)
    progressed_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)


class FiguresSeen(Table, db=DB):
    """One row: up to when operations that ended were counted for metrics."""

    id = SmallInt(primary_key=True)
    until = Timestamptz()


class Unavailable(Table, db=DB):
    """One row: the applications and hardware that JupyterHub's side starts no server with, by name, and why."""

    id = SmallInt(primary_key=True)
    applications = JSONB()
    hardware = JSONB()


class OperationStep(Table, db=DB):
    """A step of an operation, told to people. What hinders it stays until it succeeds: `detail` is the last trouble."""

    id = UUID(primary_key=True)
    operation = UUID()
    position = Integer()
    name = Text()
    status = Text()
    detail = Text(null=True, default=None)
    attempt = Integer(default=1)
    troubled_since = Timestamptz(null=True, default=None)
    next_try_at = Timestamptz(null=True, default=None)
    started_at = Timestamptz(default=TimestamptzNow())
    ended_at = Timestamptz(null=True, default=None)

    operation_step_name = Unique([operation, name])


class OperationResult(Table, db=DB):
    """What an operation came to for one principal."""

    id = UUID(primary_key=True, default=None)
    operation = UUID()
    entity = Text()
    type = Text()
    outcome = Text()
    detail = Text(null=True, default=None)
    # Whom the entity was then, where that matters: addresses change hands.
    persons = Array(base_column=UUID(), null=True, default=None)

    operation_result_entity = Unique([operation, type, entity])


class Event(Table, db=DB):
    """What changed of what people may see, for those who follow; kept for an hour (`models.ledger.events`).

    It is told to `persons`, to who is in `groups` or `orgs`, to `everyone`; where it `needs_right` only to those of
    them who may use the subject when they are told. `xact` is the transaction that wrote it.
    """

    id = BigSerial(primary_key=True)
    xact = BigInt(index=True)
    at = Timestamptz(default=TimestamptzNow())
    kind = Text()
    subject = UUID()
    change = Text()
    persons = Array(base_column=UUID())
    groups = Array(base_column=UUID())
    orgs = Array(base_column=Text())
    everyone = Boolean(default=False)
    needs_right = Boolean(default=False)
    data = JSONB(default="{}")


class Audit(Table, db=DB):
    """Who changed what, when. Rows are only ever added."""

    id = UUID(primary_key=True, default=None)
    at = Timestamptz(default=TimestamptzNow())
    actor = UUID(null=True, default=None)
    actor_name = Text()
    action = Text()
    subject_kind = Text()
    subject = UUID()
    operation = UUID(null=True, default=None)
    request_id = Text(null=True, default=None)
    client_request_id = Text(null=True, default=None)
    detail = JSONB(null=True, default=None)


class AuditUnsealed(Table, db=DB):
    """Which rows of the audit wait for a seal: PostgreSQL adds each when it is written, so when it is committed."""

    id = UUID(primary_key=True, default=None)


class AuditSeal(Table, db=DB):
    """What rows of the audit were when they were sealed, and the seal before: a chain. Rows are only ever added.

    `digests` are those of the rows `ids`, 32 bytes each, in their order.
    """

    number = BigInt(primary_key=True, default=None)
    at = Timestamptz()
    previous = Bytea()
    ids = Array(base_column=UUID())
    digests = Bytea()
    hash = Bytea()


class WriteClaim(Table, db=DB):
    """What a write is about to make outside of PostgreSQL: written before it is made, gone with the record of it.

    What is left of a write that was cut off is found by it. `made` are the inodes of the files that were made for it;
    one that is `abandoned` is being cleared away, and no write may go on with it.
    """

    id = UUID(primary_key=True, default=None)
    kind = Text()
    subject = UUID()
    person = UUID()
    request_id = Text(null=True, default=None)
    client_request_id = Text(null=True, default=None)
    detail = JSONB(null=True, default=None)
    made = Array(base_column=Text())
    # What is being put in the place of something else, as a digest: one claim at a time.
    target = Text(null=True, default=None, unique=True)
    abandoned = Boolean(default=False)
    claimed_at = Timestamptz(default=TimestamptzNow(), index=True)


class Idempotency(Table, db=DB):
    """The first answer to a write that carried an `Idempotency-Key`; none while its `claim` is not settled."""

    id = UUID(primary_key=True)
    person = UUID()
    method = Text()
    path = Text()
    key = Text()
    request_digest = Bytea(default=b"")
    claim = UUID(null=True, default=None, index=True)
    operation = UUID(null=True, default=None)
    status_code = Integer(null=True, default=None)
    headers = JSONB(null=True, default=None)
    body = Bytea(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow(), index=True)

    idempotency_request = Unique([person, method, path, key])


class Heartbeat(Table, db=DB):
    """A process that reached what it needs when it was last seen."""

    id = UUID(primary_key=True)
    process = Text()
    role = Text()
    seen_at = Timestamptz(default=TimestamptzNow())

    heartbeat_process = Unique([process, role])


class RequestRate(Table, db=DB):
    """Until when whoever asks has used up the requests that may come at once; see `models.ledger.rates`."""

    key = Text(primary_key=True, default=None)
    whole_at = Timestamptz()
