"""Encrypts every payload on its way to Temporal: inputs, results, details and failures.

Each encrypted payload names its key, so that keys can be rotated: a new key is put first, the old one
stays until no history needs it. What nobody encrypted is of somebody who has no key: it is refused.
"""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

ENCODING = b"binary/encrypted"
_KEY_ID = "encryption-key-id"
REFUSED = b"refused/plain"
"""The encoding of what a payload becomes that should have been encrypted: no value can be read of it."""
# The one payload of Temporal's own that workflows get: that an activity was cancelled before a worker had it. (What it
# writes of search attributes, memos and headers does not come through a codec.)
_OF_TEMPORAL = Payload(metadata={"encoding": b"json/plain"}, data=b'"ACTIVITY_ID_NOT_STARTED"')


class PayloadUnreadable(Exception):
    """A payload cannot be decrypted. The message never quotes it."""


class EncryptionCodec(PayloadCodec):
    """Encrypts with the first key; decrypts with whichever key a payload names."""

    def __init__(self, keys: Sequence[tuple[str, str]], *, accept_plain: bool = False) -> None:
        """`keys` are pairs of an id and a Fernet key; what is not encrypted passes only where it is accepted."""
        self._accept_plain = accept_plain
        self._active = keys[0][0]
        self._keys = {key_id: Fernet(key) for key_id, key in keys}

    @classmethod
    def from_setting(cls, text: str, *, accept_plain: bool = False) -> "EncryptionCodec":
        """Read `id:key,id:key`; raises `ValueError` with what is wrong, quoting no key."""
        pairs = [tuple(pair.strip().partition(":")[::2]) for pair in text.split(",") if pair.strip()]
        if not pairs or not all(key_id and key for key_id, key in pairs):
            raise ValueError("payload keys are written id:key,id:key")
        if len({key_id for key_id, _ in pairs}) < len(pairs):
            raise ValueError("two payload keys have the same id")
        try:
            return cls([(key_id, key) for key_id, key in pairs], accept_plain=accept_plain)
        except ValueError:
            raise ValueError("a payload key is not a Fernet key: 32 bytes in URL-safe base64") from None

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt whole payloads, their own encoding within."""
        fernet = self._keys[self._active]
        return [
            Payload(
                metadata={"encoding": ENCODING, _KEY_ID: self._active.encode()},
                data=fernet.encrypt(payload.SerializeToString()),
            )
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt what is encrypted; what is not passes or becomes `REFUSED`. Raises `PayloadUnreadable`."""
        return [self._decode(payload) for payload in payloads]

    def _decode(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            # An error here would be taken for a worker without the right key: the task would be tried again for ever.
            return payload if self._accept_plain or payload == _OF_TEMPORAL else Payload(metadata={"encoding": REFUSED})
        key_id = payload.metadata.get(_KEY_ID, b"").decode(errors="replace")
        fernet = self._keys.get(key_id)
        if fernet is None:
            raise PayloadUnreadable(f"no key with the id {key_id!r} is configured")
        try:
            return Payload.FromString(fernet.decrypt(payload.data))
        except InvalidToken:
            raise PayloadUnreadable(f"the key {key_id!r} is not the one that this was encrypted with") from None
