"""Which addresses are e-mail addresses, and that each person has one name, here and in JupyterHub."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.domain.emails import EmailInvalid, parse_domain, parse_email
from models.domain.environment import SettingsInvalid
from models.domain.settings import Settings


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Alice@Example.ORG", "alice@example.org"),
        (" a.b+c_d%e-f@sub.example.org\n", "a.b+c_d%e-f@sub.example.org"),
        ("O'Neil@example.org", "o'neil@example.org"),
        ("JÜRGEN@example.org", "jürgen@example.org"),
        ("ju\u0308rgen@example.org", "jürgen@example.org"),
        ("bob@BÜCHER.example", "bob@bücher.example"),
        ("bob@xn--bcher-kva.example", "bob@bücher.example"),
        ("straße@straße.de", "straße@straße.de"),
        ("пример@пример.рф", "пример@пример.рф"),
        ("alice@corp.local", "alice@corp.local"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_addresses_and_their_one_form(given: str, kept: str) -> None:
    assert parse_email(given) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "@example.org",
        "bob@",
        "bob@example.org.",
        "bob@a..b",
        "a..b@example.org",
        ".a@example.org",
        "a.@example.org",
        "bob@-a.org",
        "bob@a_b.org",
        "bob@xn--zzzz.org",
        "bob@[127.0.0.1]",
        '"a b"@example.org',
        "Bob <bob@example.org>",
        "a b@example.org",
        "a/b@example.org",
        "a\u202eb@example.org",
        "a\u200db@example.org",
        "a\0b@example.org",
        "a@b@example.org",
        "a@" + "b." * 130 + "org",
        "a@\u13a0\u13a1.org",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(EmailInvalid):
        parse_email(text)


@given(st.from_regex(r"\w{1,8}['+.-]?\w{1,8}@\w{1,8}\.\w{2,5}", fullmatch=True))
def test_a_person_has_one_name_here_and_in_jupyterhub(text: str) -> None:
    try:
        email = parse_email(text)
    except EmailInvalid:
        return
    assert parse_email(email) == email
    # JupyterHub lowers the names of users.
    assert email.lower() == email == unicodedata.normalize("NFC", email)


def test_domains_have_one_form_too() -> None:
    assert parse_domain(" XN--BCHER-KVA.example") == parse_domain("Bücher.example") == "bücher.example"
    with pytest.raises(EmailInvalid, match=r"'a\.\.b' is not the domain"):
        parse_domain("a..b")


def test_settings_name_admins_and_domains_in_any_spelling() -> None:
    environment = {
        "NBHUB_DATABASE_URL": "postgresql:///none",
        "NBHUB_ADMIN_EMAILS": "Root@Example.org, o'neil@xn--bcher-kva.example",
    }
    environment["NBHUB_ORG_DOMAINS"] = "BÜCHER.example"
    settings = Settings.from_environment(environment)
    assert settings.admin_emails == ("root@example.org", "o'neil@bücher.example")
    assert settings.org_domains == ("bücher.example",)
    for name, value in (("NBHUB_ADMIN_EMAILS", "root@example.org,bob@a..b"), ("NBHUB_ORG_DOMAINS", "a..b")):
        with pytest.raises(SettingsInvalid, match=f"{name}: '.*a..b'"):
            Settings.from_environment(environment | {name: value})
