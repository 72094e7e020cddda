"""Takes what may be secret out of log lines that people get to see."""

import re
from collections.abc import Iterable

_HIDDEN = "***"
_PATTERNS = (
    # name=value, "name": value, Authorization: token value
    re.compile(
        r"(?i)((?:token|password|passwd|secret|authorization|api[_-]?key|cookie)[\"']?\s*[=:]\s*[\"']?"
        r"(?:(?:bearer|token|basic)\s+)?)[^\s\"'&,;]+"
    ),
    re.compile(r"(?i)(\b(?:bearer|token)\s+)[A-Za-z0-9._~+/-]{16,}=*"),
    # JSON web tokens, Vault's tokens, and long hexadecimal strings such as JupyterHub's tokens
    re.compile(r"()\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}"),
    re.compile(r"()\bhv[sbr]\.[A-Za-z0-9_-]{8,}"),
    re.compile(r"()\b[0-9a-fA-F]{32,}\b"),
)
# Replacing very short values would shred the text and hide nothing.
_SHORTEST_SECRET = 4


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without the given secrets and without whatever looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, _HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text
