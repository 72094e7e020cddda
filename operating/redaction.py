"""Takes out of texts what may be a secret or a person's address, and finds whether anything of the kind is left."""

import re
from collections.abc import Iterable

HIDDEN = "***"
_SHORTEST = 6
"""Replacing very short values would shred the text and hide nothing."""

_NAMED = re.compile(
    r"(?i)((?:token|password|passwd|secret|authorization|api[_-]?key|cookie|credential)[\"']*\s*[=:]\s*[\"']*"
    r"(?:(?:bearer|token|basic)\s+)?)(?!\*\*\*)[^\s\"'&,;()\[\]{}]{6,}"
)
_TOKENS = {
    "a JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}"),
    "a token of Vault": re.compile(r"\bhv[sbr]\.[A-Za-z0-9_-]{8,}|\b[sbr]\.[A-Za-z0-9]{24,}"),
    "a key of Fernet": re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}=(?![A-Za-z0-9_=-])"),
    "a token in hexadecimal": re.compile(r"\b(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{48}|[0-9a-fA-F]{64})\b"),
    "a bearer token": re.compile(r"(?i)\b(?:bearer|basic)\s+(?!\*\*\*)[A-Za-z0-9._~+/-]{16,}=*"),
    "a private key": re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----)?", re.DOTALL
    ),
    "a password in an address": re.compile(r"(?<=://)[^\s/@:]*:(?!\*\*\*@)[^\s/@]+(?=@)"),
}
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")


def redact(text: str, secrets: Iterable[str]) -> str:
    """A text without the given secrets, without what looks like one, and of addresses the domain alone."""
    for secret in sorted({one for one in secrets if len(one) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern in _TOKENS.values():
        text = pattern.sub(HIDDEN, text)
    text = _NAMED.sub(rf"\1{HIDDEN}", text)
    return _ADDRESS.sub(rf"{HIDDEN}@\1", text)


def left_in(text: str, secrets: Iterable[str]) -> list[str]:
    """What of the kind is in a text all the same; never its value."""
    found = [f"the value of {name}" for name in _values_in(text, secrets)]
    return found + [name for name, pattern in _TOKENS.items() if pattern.search(text)]


def _values_in(text: str, secrets: Iterable[str]) -> list[str]:
    return ["a secret setting" for one in secrets if len(one) >= _SHORTEST and one in text]
