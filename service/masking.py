"""Personal data in words: e-mail addresses, phone numbers, cards, IBANs and names become [e-mail], [phone] and so on.

Pure: knows texts, not where they lie (events/words.py does) nor who may see what. Numbers are recognised by
`phonenumbers` (Google's library) and `python-stdnum` (Luhn, ISO 13616), so that an order number stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

from phonenumbers import SUPPORTED_REGIONS, Leniency, PhoneNumberMatcher
from stdnum import iban, luhn

from models.journey.touchpoint import Catalogue
from service.errors import Invalid
from service.settings import Settings

MASKS = ("[iban]", "[card]", "[e-mail]", "[phone]", "[name]")
FEEDBACK_TEXT = "properties.text"
"""Where the words are in what POST /v1/feedback and an import of feedback put into the log."""

_HELD = ("event", "properties", "context")
"""What an event holds itself; a path into anything else is worked out from these."""

_MASK = re.compile("|".join(map(re.escape, MASKS)))
_HINT = re.compile(r"@|\d(?:\D{0,3}\d){6}")
"""Without one of these there is neither an address nor a number: most texts, which cost nothing then."""
# Possessive, and begun only where such a run begins: linear in the length of the text, whatever it is.
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++@[\w-]++(?:\.[\w-]++)+")
_CARD = re.compile(r"(?<!\d)(?<!\d[ -])\d(?:[ -]?\d){12,18}(?![ -]?\d)")
_IBAN = re.compile(r"\b[a-z]{2}\d{2}(?: ?[a-z\d]){11,30}", re.IGNORECASE)
_LEAST_IBAN = 15
_GENERIC = frozenset(
    re.findall(
        r"\w+",
        """account accounts admin billing booking bookings contact customer email hello help home info mail marketing me
        news newsletter noreply office order orders post reply sales service shop support team test user webmaster""",
    )
)
"""What stands before the @ of nobody's own address: no name."""
_LEAST_NAME = 2
_LEAST_PART = 3

_Span: TypeAlias = tuple[int, int, str]
_Find: TypeAlias = Callable[[str], Iterator[_Span]]


@dataclass(frozen=True)
class Masking:
    """What is masked, and where a text can stand in an event. `show`: nothing is; `keep`: the log has the original."""

    regions: tuple[str, ...] = ("DE", "GB", "US")
    listed: frozenset[str] = frozenset()
    knows_names: bool = True
    paths: tuple[str, ...] = (FEEDBACK_TEXT,)
    keep: bool = False
    show: bool = False

    @cached_property
    def only_under(self) -> frozenset[str] | None:
        """Properties without one of which an event has no words; none where words may stand outside the properties."""
        steps = [path.split(".") for path in self.paths]
        return frozenset(step[1] for step in steps) if all(step[0] == "properties" for step in steps) else None

    def mask(self, text: str, names: Collection[str] = ()) -> str:
        """The text without personal data; `names` are those of who wrote it. Masking twice changes nothing more.

        >>> Masking().mask("Call me: +49 171 1234567 or ada@example.org, Ada.", names_in({"firstName": "Ada"}))
        'Call me: [phone] or [e-mail], [name].'
        >>> Masking().mask("Order 20230145678 of 2026-11-20, paid 1,299.00 in 2024/2025")
        'Order 20230145678 of 2026-11-20, paid 1,299.00 in 2024/2025'
        """
        named = _named(_present(text, names) if self.knows_names else frozenset(), self.listed)
        while (masked := self._once(text, named)) != text:
            text = masked
        return text

    def _once(self, text: str, named: _Find | None) -> str:
        """Every finding replaced, the earlier kinds going before; what is masked already stays as it is."""
        finders: list[_Find] = [_ibans, _cards, _emails, self._phones] if _HINT.search(text) else []
        finders += [named] if named else []
        if not finders:
            return text
        spans = [(mask.start(), mask.end(), mask[0]) for mask in _MASK.finditer(text)]
        taken = bytearray(len(text))
        for start, end, _ in spans:
            taken[start:end] = b"x" * (end - start)
        for find in finders:
            for start, end, mask in find(text):
                if not any(taken[start:end]):
                    taken[start:end] = b"x" * (end - start)
                    spans.append((start, end, mask))
        parts, done = [], 0
        for start, end, mask in sorted(spans):
            parts += [text[done:start], mask]
            done = end
        return "".join([*parts, text[done:]])

    def _phones(self, text: str) -> Iterator[_Span]:
        for region in self.regions or (None,):
            for found in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
                yield found.start, found.end, "[phone]"


def masking_of(settings: Settings, catalogue: Catalogue) -> Masking:
    """How this service masks. Raises Invalid for a region that is none."""
    regions = tuple(_listed(settings.phone_regions))
    if unknown := [one for one in regions if one not in SUPPORTED_REGIONS]:
        raise Invalid(f"phone_regions names {unknown[0]!r}.", "Name countries by ISO 3166, such as DE,GB,US.",
                      field="phone_regions", value=unknown[0])  # fmt: skip
    found = {path for rule in catalogue.rules for path in rule.text if path.partition(".")[0] in _HELD}
    return Masking(
        regions=regions,
        listed=frozenset(_listed(settings.masked_names)),
        knows_names=settings.mask_names,
        paths=tuple(sorted({FEEDBACK_TEXT, *found})),
        keep=settings.keep_original_text,
        show=settings.keep_original_text and settings.show_original_text,
    )


def names_in(traits: Mapping[str, Any]) -> frozenset[str]:
    """The names that an `identify` tells of a person: first, last and whole, and those in the e-mail address.

    >>> sorted(names_in({"name": "Ada Lovelace", "email": "ada.king@example.org"}))
    ['Ada', 'Ada Lovelace', 'Lovelace', 'ada', 'ada king', 'ada.king', 'king']
    >>> names_in({"email": "service@example.org"})
    frozenset()
    """
    first, last, whole = (_trait(traits, *keys) for keys in (
        ("firstName", "first_name"), ("lastName", "last_name"), ("name", "fullName", "full_name")))  # fmt: skip
    found = {first, last, whole, f"{first} {last}" if first and last else ""}
    found |= {part for part in whole.split() if len(part) >= _LEAST_PART}
    local = _trait(traits, "email").partition("@")[0]
    parts = [part for part in re.split(r"[\W\d_]+", local) if len(part) >= _LEAST_PART]
    if local.lower() not in _GENERIC and not set(map(str.lower, parts)) & _GENERIC and len(local) >= _LEAST_PART:
        found |= {local, *(parts if len(parts) > 1 else ()), " ".join(parts) if len(parts) > 1 else ""}
    return frozenset(name for name in found if len(name) >= _LEAST_NAME and any(map(str.isalpha, name)))


def _trait(traits: Mapping[str, Any], *keys: str) -> str:
    """The first of these that is a text of a sensible length."""
    given = (traits.get(key) for key in keys)
    return next((" ".join(one.split()) for one in given if isinstance(one, str) and 0 < len(one) <= 100), "")


def _listed(setting: str) -> list[str]:
    return [part for part in (" ".join(one.split()) for one in setting.split(",")) if part]


def _present(text: str, names: Collection[str]) -> frozenset[str]:
    """Names of which the first word is there: to look for the others would cost more than all the rest."""
    plain = text.casefold()
    return frozenset(name for name in names if name.split()[0].casefold() in plain)


@lru_cache(maxsize=1024)
def _named(names: frozenset[str], listed: frozenset[str]) -> _Find | None:
    """Finds names. A single word counts only with a capital, or "May" would take every "may"; a list by setting does
    not need one, and a whole name neither."""
    every = sorted({name.casefold() for name in names | listed}, key=lambda name: (-len(name), name))
    if not every:
        return None
    anyhow = {name.casefold() for name in listed} | {name for name in every if not name.isalpha()}
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(_spelled, every))})(?!\w)", re.IGNORECASE)

    def find(text: str) -> Iterator[_Span]:
        for found in pattern.finditer(text):
            if not found[0][0].islower() or " ".join(found[0].split()).casefold() in anyhow:
                yield found.start(), found.end(), "[name]"

    return find


def _spelled(name: str) -> str:
    return r"\s+".join(map(re.escape, name.split()))


def _emails(text: str) -> Iterator[_Span]:
    for found in _EMAIL.finditer(text):
        yield found.start(), found.end(), "[e-mail]"


def _cards(text: str) -> Iterator[_Span]:
    for found in _CARD.finditer(text):
        digits = "".join(str(int(one)) for one in found[0] if one.isdecimal())
        if luhn.is_valid(digits) and digits.strip("0"):
            yield found.start(), found.end(), "[card]"


def _ibans(text: str) -> Iterator[_Span]:
    """What follows an IBAN may look like a part of it, so the longest beginning that is one counts."""
    for found in _IBAN.finditer(text):
        for end in range(found.end(), found.start() + _LEAST_IBAN - 1, -1):
            whole = end == len(text) or not text[end].isalnum()
            if whole and iban.is_valid(text[found.start() : end]):
                yield found.start(), end, "[iban]"
                break
