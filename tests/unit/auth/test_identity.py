"""What claims make of a person, as the settings have it."""

from typing import Any

import pytest

from api.authentication import identity_of, says_all
from models.settings import Settings

SETTINGS = Settings(
    database_url="postgresql:///none",
    admin_claim="realm_access.roles=nbhub-admin",
    admin_emails=("root@example.org",),
    org_claim="orgs",
    org_domains=("example.org",),
)


@pytest.mark.parametrize(
    ("claims", "admin"),
    [
        ({"realm_access": {"roles": ["x", "nbhub-admin"]}}, True),
        ({"realm_access.roles": ["nbhub-admin"]}, True),
        ({"realm_access": {"roles": "nbhub-admin"}}, True),
        ({"email": "ROOT@example.org"}, True),
        ({"realm_access": {"roles": ["nbhub-admin2", "NBHUB-ADMIN", " nbhub-admin"]}}, False),
        ({"realm_access": {"roles": {"nbhub-admin": True}}}, False),
        ({"realm_access": ["nbhub-admin"]}, False),
        ({"realm_access": {"roles": [["nbhub-admin"]]}}, False),
        ({"realm_access": None}, False),
        ({"roles": ["nbhub-admin"]}, False),
        ({}, False),
    ],
)
def test_who_is_an_admin(claims: dict[str, Any], admin: bool) -> None:
    assert identity_of({"sub": "s", **claims}, SETTINGS).admin is admin


def test_nobody_is_an_admin_without_a_setting() -> None:
    plain = Settings(database_url="postgresql:///none")
    assert not identity_of({"sub": "s", "": "", "email": ""}, plain).admin


@pytest.mark.parametrize(
    ("claims", "orgs"),
    [
        ({"orgs": ["biology", "biology", 7]}, ("biology", "7")),
        ({"orgs": "biology", "email": "a@example.org"}, ("biology", "example.org")),
        ({"email": "a@Example.ORG"}, ("example.org",)),
        ({"email": "a@evil-example.org"}, ()),
        ({"email": "a@sub.example.org"}, ()),
        ({"orgs": None}, ()),
    ],
)
def test_organisations(claims: dict[str, Any], orgs: tuple[str, ...]) -> None:
    assert identity_of({"sub": "s", **claims}, SETTINGS).orgs == orgs


def test_what_is_missing_is_asked_for() -> None:
    assert says_all({"email": "a@example.org", "orgs": [], "realm_access": {"roles": []}}, SETTINGS)
    assert not says_all({"email": "a@example.org", "orgs": []}, SETTINGS)
    assert not says_all({"orgs": [], "realm_access": {"roles": []}}, SETTINGS)
    assert says_all({"email": "a@example.org"}, Settings(database_url="postgresql:///none"))
