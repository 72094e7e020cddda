"""What claims make of a person, as the settings have it."""

from typing import Any

import pytest
from msgspec import structs

from api.http.authentication import identity_of, says_all
from models.domain.errors import ActionForbidden
from models.domain.settings import Settings

SETTINGS = Settings(
    database_url="postgresql:///none",
    admin_claim="realm_access.roles=nbhub-admin",
    admin_emails=("root@example.org",),
    org_claim="orgs",
    org_domains=("example.org",),
)

TRUE = {"email_verified": True}


@pytest.mark.parametrize(
    ("claims", "admin"),
    [
        ({"realm_access": {"roles": ["x", "nbhub-admin"]}}, True),
        ({"realm_access.roles": ["nbhub-admin"]}, True),
        ({"realm_access": {"roles": "nbhub-admin"}}, True),
        ({"email": "ROOT@example.org"}, True),
        ({"realm_access": {"roles": ["nbhub-admin2", "NBHUB-ADMIN", " nbhub-admin"]}}, False),
        ({"realm_access": {"roles": {"nbhub-admin": {"1234": "acme.example.org"}}}}, True),
        ({"realm_access": {"roles": [{"id": "1", "name": "nbhub-admin"}]}}, True),
        ({"realm_access": {"roles": [{"id": "nbhub-admin", "name": "x"}]}}, False),
        ({"realm_access": None}, False),
        ({"realm_access": []}, False),
        ({"roles": ["nbhub-admin"]}, False),
        ({}, False),
    ],
)
def test_who_is_an_admin(claims: dict[str, Any], admin: bool) -> None:
    assert identity_of(TRUE | {"sub": "s", **claims}, SETTINGS).admin is admin


@pytest.mark.parametrize(
    ("said", "admin"), [(True, True), ("true", True), (False, False), ("false", False), (1, False)]
)
def test_an_admin_by_a_yes(said: object, admin: bool) -> None:
    settings = Settings(database_url="postgresql:///none", admin_claim="is_admin=true")
    assert identity_of(TRUE | {"sub": "s", "is_admin": said}, settings).admin is admin


def test_nobody_is_an_admin_without_a_setting() -> None:
    plain = Settings(database_url="postgresql:///none")
    assert not identity_of(TRUE | {"sub": "s", "": "", "email": ""}, plain).admin


@pytest.mark.parametrize(
    ("claims", "orgs"),
    [
        ({"orgs": ["biology", "biology", 7]}, ("biology", "7")),
        ({"orgs": "biology", "email": "a@example.org"}, ("biology", "example.org")),
        ({"email": "a@Example.ORG"}, ("example.org",)),
        ({"email": "a@\uff25XAMPLE.org"}, ("example.org",)),
        ({"email": "a@example.org."}, ()),
        ({"email": "a@evil-example.org"}, ()),
        ({"email": "a@sub.example.org"}, ()),
        ({"orgs": None}, ()),
        ({"orgs": ""}, ()),
        ({"orgs": {}}, ()),
        ({"orgs": {"acme": {"id": "1"}, "lab": {}}}, ("acme", "lab")),
        ({"orgs": [{"acme": {"id": "1"}}, "lab"]}, ("acme", "lab")),
        ({"orgs": [{"id": "1", "name": "acme"}, {"id": "2", "name": "lab"}]}, ("acme", "lab")),
        ({"orgs": {"id": "1", "name": "acme"}}, ("acme",)),
        ({"orgs": {"name": {"id": "1"}}}, ("name",)),
        ({"orgs": ["acme"], "_claim_names": {"orgs": "src1"}}, ("acme",)),
        ({"_claim_names": {"groups": "src1"}}, ()),
    ],
)
def test_organisations(claims: dict[str, Any], orgs: tuple[str, ...]) -> None:
    assert identity_of(TRUE | {"sub": "s", **claims}, SETTINGS).orgs == orgs


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Alice Ahlberg", "Alice Ahlberg"),
        (" J\u006f\u0308rg ", "J\u00f6rg"),
        # What is no name that people can read in one line is as good as none.
        ("Alice\nAdmin", ""),
        ("\u202eecilA", ""),
        ("a\0b", ""),
        ("\ud800", ""),
        ("x" * 129, ""),
        ("", ""),
        (None, ""),
        (7, ""),
        ({"given": "Alice"}, ""),
        (["Alice"], ""),
    ],
)
def test_a_name(said: object, name: str) -> None:
    assert identity_of(TRUE | {"sub": "s", "name": said}, SETTINGS).name == name
    assert identity_of(TRUE | {"sub": "s"}, SETTINGS).name == ""


@pytest.mark.parametrize(
    "claims",
    [
        {"orgs": [{"id": "1"}]},
        {"orgs": {"acme": True}},
        {"orgs": {"id": "1"}},
        {"orgs": [["acme"]]},
        {"orgs": [True]},
        {"orgs": 1.5},
        {"_claim_names": {"orgs": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example"}}},
        {"realm_access": {"roles": {"nbhub-admin": True}}},
        {"realm_access": ["nbhub-admin"]},
        {"realm_access": "nbhub-admin"},
        {"realm_access": {"roles": [["nbhub-admin"]]}},
    ],
)
def test_what_cannot_be_read_is_refused_and_not_taken_for_nothing(claims: dict[str, Any]) -> None:
    with pytest.raises(ActionForbidden) as refused:
        identity_of(TRUE | {"sub": "s", "email": "a@example.org", **claims}, SETTINGS)
    assert refused.value.code == "CLAIM_UNREADABLE"
    assert "acme" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize(
    ("said", "verified"),
    [
        *[(said, True) for said in (True, "true", "True", " true")],
        *[(said, False) for said in (False, "false", "False", "no", "", 0, 1, "1", "yes", [], [True], {"a": True})],
    ],
)
def test_only_true_means_that_an_email_is_verified(said: object, verified: bool) -> None:
    assert identity_of({"sub": "s", "email_verified": said}, SETTINGS).email_verified is verified


def test_an_address_of_which_nothing_is_said_gives_nothing() -> None:
    settings = structs.replace(SETTINGS, oidc_issuer="https://idp", oidc_unverified_issuers=("https://idp",))
    found = identity_of({"sub": "s", "email": "root@example.org", "orgs": ["acme"]}, settings)
    assert (found.email_verified, found.admin, found.orgs) == (None, False, ("acme",))
    with pytest.raises(ActionForbidden, match="does not say"):
        identity_of({"sub": "s"}, structs.replace(settings, oidc_issuer="https://other"))


def test_what_is_missing_is_asked_for() -> None:
    all_of_it = {"email": "a@example.org", "email_verified": False, "orgs": [], "realm_access": {"roles": []}}
    assert says_all(all_of_it, SETTINGS)
    for name in all_of_it:
        assert not says_all({**all_of_it, name: None}, SETTINGS), name
    assert says_all({"email": "a@example.org", "email_verified": True}, Settings(database_url="postgresql:///none"))
