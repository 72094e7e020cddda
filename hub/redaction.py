"""Takes what may be secret out of log lines that people get to see."""

import base64
import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

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
    spelled = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _spellings(secret)}
    for form in sorted(spelled, key=len, reverse=True):
        text = text.replace(form, _HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


def _spellings(secret: str) -> set[str]:
    """Return the ways in which programs write a text into their logs: as it is, escaped, or encoded as a whole."""
    data = secret.encode(errors="surrogatepass")
    return {
        secret,
        # Python escapes one kind of quotes, and which depends on the other.
        repr(secret)[1:-1],
        repr(secret + "'\"")[1:-4],
        ascii(secret)[1:-1],
        repr(data)[2:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe="", errors="surrogatepass"),
        quote_plus(secret, errors="surrogatepass"),
        html.escape(secret),
        base64.b64encode(data).decode().rstrip("="),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
        data.hex(),
    }
