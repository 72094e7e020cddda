"""Only what the worker signed, recently, comes out of `verify_spec`."""

import base64
import hmac
import json
import time

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from models.domain.server_spec import (
    ALGORITHM,
    TYPE,
    Mount,
    SecretMount,
    ServerSpec,
    SpecInvalid,
    WrappedSecret,
    sign_spec,
    verify_spec,
)
from tests.keys import key_pair
from tests.unit.conftest import MakeSpec

Keys = tuple[bytes, bytes]


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def refusal(token: str, keys: Keys, **arguments: float) -> str:
    with pytest.raises(SpecInvalid) as refused:
        verify_spec(token, {"1": keys[1]}, **arguments)
    assert refused.value.reason
    return refused.value.code


def test_what_was_signed_comes_back(make_spec: MakeSpec, keys: Keys) -> None:
    mount = Mount(source="/opt/d/1", target="/opt/datasets/one", read_only=True, object_id="1", kind="dataset")
    spec = make_spec(mounts=(mount,), modules=("a/b/1",), file_path="app.py")
    assert verify_spec(sign_spec(spec, keys[0], "1"), {"1": keys[1], "2": key_pair()[1]}) == spec


def test_the_largest_order_comes_back(make_spec: MakeSpec, keys: Keys) -> None:
    """256 datasets, 256 modules of two mounts each, and 200 groups, with the longest names."""
    names = [f"{number:04d}{'名' * 124}--{'a' * 242}@example.org" for number in range(968)]
    mounts = tuple(
        Mount(
            source=f"/data/{'d' * 200}/{name}",
            target=f"/opt/datasets/{name}",
            read_only=True,
            object_id="0" * 36,
            kind="dataset",
        )
        for name in names
    )
    spec = make_spec(mounts=mounts)
    assert verify_spec(sign_spec(spec, keys[0], "1"), {"1": keys[1]}) == spec


def test_a_changed_payload_is_refused(make_spec: MakeSpec, keys: Keys) -> None:
    header, payload, signature = sign_spec(make_spec(), keys[0], "1").split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=="))
    content["hub_user"] = "mallory@example.org"
    forged = encoded(json.dumps(content).encode())
    assert refusal(f"{header}.{forged}.{signature}", keys) == "bad-signature"


def test_keys_are_found_by_their_id_alone(make_spec: MakeSpec, keys: Keys) -> None:
    assert refusal(sign_spec(make_spec(), keys[0], "2"), keys) == "unknown-key"
    assert refusal(sign_spec(make_spec(), key_pair()[0], "1"), keys) == "bad-signature"


def test_the_algorithm_is_not_the_tokens_choice(make_spec: MakeSpec, keys: Keys) -> None:
    none = encoded(b'{"alg":"none","kid":"1","typ":"nbhub-spec+jwt"}')
    assert refusal(f"{none}.e30.", keys) == "malformed"
    # The public key, known to everybody, taken for a shared secret.
    header = encoded(b'{"alg":"HS256","kid":"1","typ":"nbhub-spec+jwt"}')
    signed = f"{header}.{encoded(b'{}')}"
    signature = hmac.digest(keys[1], signed.encode(), "sha256")
    assert refusal(f"{signed}.{encoded(signature)}", keys) == "malformed"


def test_another_kind_of_token_of_the_same_key_is_refused(keys: Keys) -> None:
    token = jws.serialize_compact({"alg": ALGORITHM, "kid": "1"}, b"{}", OKPKey.import_key(keys[0]), [ALGORITHM])
    assert refusal(token, keys) == "malformed"


def test_times(make_spec: MakeSpec, keys: Keys) -> None:
    now = int(time.time())
    token = sign_spec(make_spec(issued_at=now, expires_at=now + 30), keys[0], "1")
    assert verify_spec(token, {"1": keys[1]}, now=now + 29)
    assert refusal(token, keys, now=now + 30) == "expired"
    assert verify_spec(token, {"1": keys[1]}, now=now - 50)
    assert refusal(token, keys, now=now - 3600) == "not-yet-valid"


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "é.b.c", "." * 9, "x" * 100_000])
def test_nonsense_is_refused(token: str, keys: Keys) -> None:
    assert refusal(token, keys) == "malformed"


@pytest.mark.parametrize("change", [{"server_id": "../x"}, {"server_id": ""}, {"generation": -1}])
def test_ids_that_are_no_ids_are_refused(change: dict[str, object], make_spec: MakeSpec, keys: Keys) -> None:
    assert refusal(sign_spec(make_spec(**change), keys[0], "1"), keys) == "malformed"


def payload(spec: ServerSpec, keys: Keys) -> dict[str, object]:
    """What is signed of a spec."""
    content: dict[str, object] = json.loads(
        base64.urlsafe_b64decode(sign_spec(spec, keys[0], "1").split(".")[1] + "==")
    )
    return content


def signed(content: object, keys: Keys) -> str:
    header = {"alg": ALGORITHM, "kid": "1", "typ": TYPE}
    return jws.serialize_compact(header, json.dumps(content), OKPKey.import_key(keys[0]), [ALGORITHM])


def test_a_field_that_this_hub_does_not_know_is_refused(make_spec: MakeSpec, keys: Keys) -> None:
    assert refusal(signed(payload(make_spec(), keys) | {"network": "none"}, keys), keys) == "malformed"


def test_what_is_not_used_is_left_out(make_spec: MakeSpec, keys: Keys) -> None:
    """A hub of before there were secrets starts what has none, and refuses what has some."""
    assert not {"secrets", "modules", "mounts", "file_path"} & set(payload(make_spec(), keys))
    secret = SecretMount(id="1", kind="raw", name="key", target="/opt/secret/1", path="secret/data/1", version=2)
    spec = make_spec(secrets=(secret,))
    assert payload(spec, keys)["secrets"] == [
        {"id": "1", "kind": "raw", "name": "key", "target": "/opt/secret/1", "path": "secret/data/1", "version": 2}
    ]
    assert verify_spec(sign_spec(spec, keys[0], "1"), {"1": keys[1]}) == spec


def test_a_spec_of_before_there_were_secrets_is_as_good(make_spec: MakeSpec, keys: Keys) -> None:
    older = payload(make_spec(), keys) | {"file_path": "", "mounts": [], "modules": []}
    assert verify_spec(signed(older, keys), {"1": keys[1]}) == make_spec()


def test_a_token_is_not_shown() -> None:
    assert "hvs.token" not in repr([WrappedSecret(id="1", token="hvs.token")])
