"""What an e-mail address is, and the one form in which it is kept, compared, and used as a user name.

The syntax is that of the library `email-validator`: international addresses are addresses, quoted ones and those at an
IP address in brackets are none here. Nobody is asked whether the address exists: that is the sign-in provider's matter.
"""

import unicodedata
from functools import lru_cache

import email_validator
from email_validator import EmailNotValidError, validate_email

LONGEST_EMAIL = 254
"""Characters of an address, at most."""

# Names such as `corp.local` serve in networks of their own, and so do we.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


class EmailInvalid(ValueError):
    """A text is no e-mail address; the message says why not."""


@lru_cache(maxsize=16_384)
def parse_email(text: str) -> str:
    """The one form of an address: trimmed, lower case, NFC, its domain in letters and not in `xn--…`.

    Raises `EmailInvalid`. The form of a form is itself, and JupyterHub, which lowers user names, leaves it as it is.
    """
    text = text.strip()
    if len(text) > LONGEST_EMAIL:
        raise EmailInvalid(f"an e-mail address has at most {LONGEST_EMAIL} characters")
    if "/" in text:
        # An address may have it, the name of a JupyterHub user may not.
        raise EmailInvalid(f"{text!r} has a slash")
    try:
        found = validate_email(text.lower(), check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError as error:
        raise EmailInvalid(f"{text!r} is not an e-mail address: {error}") from None
    if found != unicodedata.normalize("NFC", found).lower():
        # Domains write Cherokee in capitals, JupyterHub lowers them: two names for one person.
        raise EmailInvalid(f"{text!r} has letters whose lower case is another address")
    return found


def parse_domain(text: str) -> str:
    """The form in which the domain of an address is kept; raises `EmailInvalid`."""
    try:
        return parse_email(f"someone@{text.strip()}").removeprefix("someone@")
    except EmailInvalid:
        raise EmailInvalid(f"{text!r} is not the domain of an e-mail address") from None
