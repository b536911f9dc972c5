"""Remove secrets from recordings: account ids, keys, tokens, signatures and request ids.

A replacement is as long as its secret. A text in pieces (the deltas of a stream) can therefore be
joined, redacted and cut at the same places, which also removes a secret that spans a cut.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

#: Fewest characters of a known secret to search for: access keys have 16 to 128 (IAM API reference,
#: AccessKey), and shorter words, such as the "test" of a test, occur by chance.
SHORTEST = 16

_SCHEME = r"(?:IQoJ|FwoG|FQoG|AQoD)"  # prefixes of tokens of the AWS Security Token Service
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
#: Secrets recognised by their form.
_LOOKS = re.compile(
    "|".join([
        r"(?:AKIA|ASIA)[A-Z0-9]{12,124}",
        r"\d{8}(?:/|%2F)[a-z0-9-]+(?:/|%2F)[a-z0-9-]+(?:/|%2F)aws4_request",
        r"(?<=Signature=)[0-9a-fA-F]{64}",
        r"(?<=Bearer )[A-Za-z0-9+/=._~-]{16,}",
        r"ABSK[A-Za-z0-9+/=]{20,}",
        r"bedrock-api-key-[A-Za-z0-9+/=._-]{20,}",
        rf"{_SCHEME}[A-Za-z0-9+/=%_-]{{60,}}",
        rf"(?i:(?<=request id: )|(?<=requestid: )|(?<=request-id: )|(?<=requestid=)){_UUID}",
    ])
)  # fmt: skip
#: An account id: 12 digits outside a longer number; the digits of a preceding %20 do not count.
_ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)|(?<=%[0-9A-Fa-f]{2})\d{12}(?!\d)")

Change = Callable[[tuple[Any, ...], str], str]

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/([^,\s]+)")
_SIGNATURE = re.compile(r"Signature=([0-9a-fA-F]+)")


class Redactor:
    """Removes secrets from texts and JSON values.

    Parameters
    ----------
    known : iterable of str
        Secrets to search for verbatim, besides those recognised by their form; secrets under
        `SHORTEST` characters are ignored.

    Examples
    --------
    >>> Redactor().text("arn:aws:iam::123456789012:role/batch")
    'arn:aws:iam::000000000000:role/batch'
    >>> Redactor().pieces(["my account is 1234", "56789012."])
    ['my account is 0000', '00000000.']
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        long = {word for word in known if len(word) >= SHORTEST}
        words = sorted(long | {quote(word, safe="") for word in long}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, words))) if words else None

    def text(self, text: str) -> str:
        """Redact a text, keeping its length."""
        if self._known is not None:
            text = self._known.sub(_crossed, text)
        return _ACCOUNT.sub("0" * 12, _LOOKS.sub(_crossed, text))

    def pieces(self, texts: Sequence[str]) -> list[str]:
        """Redact a text in pieces, including secrets that span a cut."""
        whole, out, at = self.text("".join(texts)), [], 0
        for text in texts:
            out.append(whole[at : at + len(text)])
            at += len(text)
        return out

    def value(self, value: Any) -> Any:
        """Redact a JSON value, names included; integers of 12 digits become 0."""
        return self._changed(value, lambda _, text: self.text(text))

    def payloads(self, payloads: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Redact the payloads of a stream's events, joining the texts at equal paths into one text."""
        texts: dict[Any, list[str]] = defaultdict(list)

        def keep(path: tuple[Any, ...], text: str) -> str:
            texts[path].append(text)
            return text

        for payload in payloads:
            self._changed(payload, keep, (payload.get("contentBlockIndex"),))
        clean = {path: iter(self.pieces(pieces)) for path, pieces in texts.items()}
        # Every piece is redacted again alone: texts at equal paths need not belong together.
        return [
            self._changed(
                payload, lambda path, _: self.text(next(clean[path])), (payload.get("contentBlockIndex"),)
            )
            for payload in payloads
        ]

    def _changed(self, value: Any, change: Change, path: tuple[Any, ...] = ()) -> Any:
        """Apply ``change(path, text)`` to every text in a JSON value."""
        if isinstance(value, str):
            return change(path, value)
        if isinstance(value, Mapping):
            return {self.text(str(k)): self._changed(v, change, (*path, k)) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._changed(item, change, (*path, at)) for at, item in enumerate(value)]
        if isinstance(value, int) and 10**11 <= value < 10**12:
            return 0
        return value


def known_secrets(headers: Mapping[str, str]) -> set[str]:
    """Return the secrets in a request's headers (names in lower case)."""
    authorization = headers.get("authorization", "")
    secrets = {headers.get("x-amz-security-token", ""), authorization.removeprefix("Bearer ").strip()}
    if credential := _CREDENTIAL.search(authorization):
        secrets |= {credential[1], credential[2]}
    if signature := _SIGNATURE.search(authorization):
        secrets.add(signature[1])
    return secrets - {""}


def _crossed(match: re.Match[str]) -> str:
    return "X" * len(match[0])
