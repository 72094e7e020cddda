"""The encryption of payloads: what is stored tells nothing, and keys can be rotated."""

import base64

import pytest
from cryptography.fernet import Fernet
from temporalio.api.common.v1 import Payload

from workflows.codec import ENCODING, REFUSED, EncryptionCodec, PayloadUnreadable

# Always the same, so that tests have the same names in every process.
OLD = ("2025", base64.urlsafe_b64encode(bytes(range(32))).decode())
NEW = ("2026", base64.urlsafe_b64encode(bytes(range(32, 64))).decode())
PLAIN = Payload(metadata={"encoding": b"json/plain", "messageType": b"Wish"}, data=b'"alice@example.org"')


@pytest.mark.parametrize(
    "payload",
    [
        PLAIN,
        Payload(metadata={"encoding": b"binary/null"}),
        Payload(metadata={"encoding": b"binary/plain"}, data=bytes(range(256))),
        Payload(),
        Payload(metadata={"encoding": b"json/plain"}, data=b'"' + b"x" * 1_000_000 + b'"'),
    ],
    ids=["text", "null", "bytes", "empty", "large"],
)
async def test_what_is_encrypted_decrypts(payload: Payload) -> None:
    codec = EncryptionCodec([NEW])
    [sealed] = await codec.encode([payload])
    assert sealed.metadata["encoding"] == ENCODING
    assert await codec.decode([sealed]) == [payload]


async def test_order_and_number_of_payloads_stay() -> None:
    codec = EncryptionCodec([NEW])
    payloads = [Payload(data=str(number).encode()) for number in range(5)]
    assert await codec.decode(await codec.encode(payloads)) == payloads
    assert await codec.encode([]) == []


async def test_ciphertext_tells_nothing() -> None:
    first, second = await EncryptionCodec([NEW]).encode([PLAIN, PLAIN])
    assert set(first.metadata) == {"encoding", "encryption-key-id"}
    for plain in (b"alice", b"json/plain", b"Wish", NEW[1].encode()):
        assert plain not in first.SerializeToString()
    assert first.data != second.data, "the same payload twice does not show that it is the same"


async def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    before, after = EncryptionCodec([OLD]), EncryptionCodec([NEW, OLD])
    [written_before] = await before.encode([PLAIN])
    [written_after] = await after.encode([PLAIN])
    assert written_before.metadata["encryption-key-id"] == b"2025"
    assert written_after.metadata["encryption-key-id"] == b"2026"
    assert await after.decode([written_before, written_after]) == [PLAIN, PLAIN]


async def test_what_was_never_encrypted_is_refused_unless_it_is_accepted() -> None:
    [sealed] = await EncryptionCodec([NEW]).encode([PLAIN])
    refused = Payload(metadata={"encoding": REFUSED})
    assert await EncryptionCodec([NEW]).decode([PLAIN, sealed, Payload()]) == [refused, PLAIN, refused]
    by_temporal = Payload(metadata={"encoding": b"json/plain"}, data=b'"ACTIVITY_ID_NOT_STARTED"')
    assert await EncryptionCodec([NEW]).decode([by_temporal]) == [by_temporal]
    accepting = EncryptionCodec([NEW], accept_plain=True)
    assert await accepting.decode([PLAIN, sealed, Payload()]) == [PLAIN, PLAIN, Payload()]


def sealed_with(key: tuple[str, str], **changes: bytes) -> Payload:
    data = Fernet(key[1]).encrypt(PLAIN.SerializeToString())
    return Payload(metadata={"encoding": ENCODING, "encryption-key-id": key[0].encode()} | changes, data=data)


def without_key_id() -> Payload:
    payload = sealed_with(NEW)
    del payload.metadata["encryption-key-id"]
    return payload


def tampered() -> Payload:
    payload = sealed_with(NEW)
    payload.data = payload.data[:-1]
    return payload


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (sealed_with(OLD), "no key with the id '2025' is configured"),
        (sealed_with(("2026", OLD[1])), "the key '2026' is not the one"),
        (tampered(), "the key '2026' is not the one"),
        (Payload(metadata={"encoding": ENCODING, "encryption-key-id": b"2026"}), "the key '2026' is not the one"),
        (Payload(metadata={"encoding": ENCODING, "encryption-key-id": b"2026"}, data=b"\xff"), "is not the one"),
        (without_key_id(), "no key with the id '' is configured"),
        (Payload(metadata={"encoding": ENCODING, "encryption-key-id": b"\xff"}), "no key with the id '\ufffd'"),
    ],
    ids=["unknown id", "another key of that id", "tampered", "empty", "not base64", "no id", "id that is no text"],
)
async def test_what_cannot_be_decrypted_says_which_key_is_missing(payload: Payload, told: str) -> None:
    with pytest.raises(PayloadUnreadable) as raised:
        await EncryptionCodec([NEW]).decode([payload])
    assert told in str(raised.value)
    assert "alice" not in str(raised.value)
    assert NEW[1] not in str(raised.value)


@pytest.mark.parametrize("text", [f"2026:{NEW[1]}", f" 2026:{NEW[1]} , ", f"2026:{NEW[1]},2025:{OLD[1]}"])
async def test_keys_are_read_from_a_setting(text: str) -> None:
    [sealed] = await EncryptionCodec.from_setting(text).encode([PLAIN])
    assert await EncryptionCodec([NEW]).decode([sealed]) == [PLAIN]


@pytest.mark.parametrize(
    "text",
    ["", " , ", NEW[1], f":{NEW[1]}", "2026:", "2026:s3cret-key", f"2026:{NEW[1]},2025:s3cret-key", "2026:s3crét-key"],
)
def test_a_wrong_setting_is_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="key") as raised:
        EncryptionCodec.from_setting(text)
    assert "s3cr" not in str(raised.value)
    assert NEW[1] not in str(raised.value)


async def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="id"):
        EncryptionCodec.from_setting(f"1:{NEW[1]},1:{OLD[1]}")
