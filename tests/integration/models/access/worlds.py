"""Small worlds of people who share, and an oracle in plain Python that says who may do what in them."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

USERS, GROUPS, ORGS, THINGS = 3, 2, 2, 2
READ, WRITE, OWNER = 1, 2, 3
KINDS = ("dataset", "module", "secret")
RELATIONS = {"read": READ, "viewer": READ, "write": WRITE, "editor": WRITE}


@dataclass(frozen=True)
class Share:
    """`thing` is shared by its owner with one principal."""

    thing: int
    relation: str
    kind: str
    principal: int


@dataclass(frozen=True)
class Revoke:
    thing: int
    relation: str
    kind: str
    principal: int


@dataclass(frozen=True)
class Expire:
    """Every grant of a thing to one principal comes to its end."""

    thing: int
    kind: str
    principal: int


@dataclass(frozen=True)
class OfGranted:
    """The nth of what is granted at the moment expires or is revoked: chance would seldom meet it."""

    nth: int
    relation: str | None


@dataclass(frozen=True)
class Join:
    group: int
    user: int


@dataclass(frozen=True)
class Leave:
    group: int
    user: int


@dataclass(frozen=True)
class DropGroup:
    group: int


@dataclass(frozen=True)
class Trash:
    thing: int


@dataclass(frozen=True)
class Restore:
    thing: int


Edit = Share | Revoke | Expire | Join | Leave | DropGroup | Trash | Restore

_things = st.integers(0, THINGS - 1)
_groups = st.integers(0, GROUPS - 1)
_users = st.integers(0, USERS - 1)
_principals = st.one_of(
    st.tuples(st.just("user"), _users),
    st.tuples(st.just("group"), _groups),
    st.tuples(st.just("org"), st.integers(0, ORGS - 1)),
)
_relations = st.sampled_from(sorted(RELATIONS))

# Shares are what the rest works on: most of a history is made of them.
_shares = st.builds(lambda d, r, p: Share(d, r, *p), _things, _relations, _principals)
edits = st.one_of(
    _shares,
    _shares,
    _shares,
    st.builds(lambda d, r, p: Revoke(d, r, *p), _things, _relations, _principals),
    st.builds(OfGranted, st.integers(0, 20), st.one_of(st.none(), _relations)),
    st.builds(OfGranted, st.integers(0, 20), st.one_of(st.none(), _relations)),
    st.builds(Join, _groups, _users),
    st.builds(Leave, _groups, _users),
    st.builds(DropGroup, _groups),
    st.builds(Trash, _things),
    st.builds(Restore, _things),
)


@dataclass
class World:
    """What the oracle knows: owners, who is in which organisation and group, and the grants as a set."""

    owners: list[int]
    kinds: list[str]
    orgs: list[frozenset[int]]
    members: list[set[int]] = field(default_factory=lambda: [set() for _ in range(GROUPS)])
    groups: set[int] = field(default_factory=lambda: set(range(GROUPS)))
    trashed: set[int] = field(default_factory=set)
    grants: set[tuple[int, str, int, int]] = field(default_factory=set)

    def apply(self, edit: Edit) -> None:
        """Change the world as the API is asked to."""
        match edit:
            case Share(thing, relation, kind, principal):
                if not (kind == "user" and principal == self.owners[thing]):
                    self.grants.add((thing, kind, principal, RELATIONS[relation]))
            case Revoke(thing, relation, kind, principal):
                lost = RELATIONS[relation]
                self.grants = {one for one in self.grants if one[:3] != (thing, kind, principal) or one[3] < lost}
            case Expire(thing, kind, principal):
                self.grants = {one for one in self.grants if one[:3] != (thing, kind, principal)}
            case Join(group, user):
                self.members[group].add(user)
            case Leave(group, user):
                self.members[group].discard(user)
            case DropGroup(group):
                self.groups.discard(group)
                self.grants = {one for one in self.grants if one[1:3] != ("group", group)}
            case Trash(thing):
                self.trashed.add(thing)
            case Restore(thing):
                self.trashed.discard(thing)

    def concrete(self, edit: Edit | OfGranted) -> Edit | None:
        """The edit that is meant; None where there is nothing to do it on."""
        if isinstance(edit, OfGranted):
            granted = sorted(self.grants)
            if not granted:
                return None
            thing, kind, principal, _ = granted[edit.nth % len(granted)]
            edit = (
                Expire(thing, kind, principal)
                if edit.relation is None
                else Revoke(thing, edit.relation, kind, principal)
            )
        return edit if self._possible(edit) else None

    def _possible(self, edit: Edit) -> bool:
        """Whether the API has something to do that on: no gone group, no share of what is in the trash."""
        match edit:
            case Share(thing, _, kind, principal) | Revoke(thing, _, kind, principal):
                return thing not in self.trashed and (kind != "group" or principal in self.groups)
            case Join(group, _) | Leave(group, _) | DropGroup(group):
                return group in self.groups
            case Trash(thing):
                return thing not in self.trashed
            case Restore(thing):
                # A secret is gone for good.
                return thing in self.trashed and self.kinds[thing] != "secret"
            case _:
                return True

    def level(self, user: int, thing: int) -> int:
        """How far a user may go with a thing; 0: not at all."""
        if thing in self.trashed:
            return 0
        if self.owners[thing] == user:
            return OWNER
        mine = {("user", user)}
        mine |= {("group", group) for group in self.groups if user in self.members[group]}
        mine |= {("org", org) for org in self.orgs[user]}
        return max((one[3] for one in self.grants if one[0] == thing and one[1:3] in mine), default=0)
