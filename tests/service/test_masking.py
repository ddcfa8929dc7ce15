"""Personal data is masked in words, and nothing else of them changes."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.journey.touchpoint import Catalogue
from service.errors import Invalid
from service.masking import MASKS, Masking, masking_of, names_in
from service.settings import Settings

MASKING = Masking()
ADA = names_in({"firstName": "Ada", "lastName": "Lovelace", "email": "ada.king@example.org"})

PERSONAL = st.sampled_from(
    [
        "ada@example.org", "+49 171 1234567", "0171 1234567", "(415) 555-2671", "+44 20 7946 0958", "Ada Lovelace",
        "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "4111 1111 1111 1111", "5555-5555-5555-4444",
        "ada.king", "x@y.de", "Ada", "[phone]", "[", "]",
    ]
)  # fmt: skip
ANYTHING = st.lists(st.one_of(PERSONAL, st.text(max_size=12), st.sampled_from([" ", ", ", "-", "@", "1", "+"]))).map(
    "".join
)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ada.l+cars@mail.example.co.uk.", "write to [e-mail]."),
        ("<ada@example.org>, ada@example.org", "<[e-mail]>, [e-mail]"),
        ("call +49 (0)171 1234567 or 0171/1234567", "call [phone] or [phone]"),
        ("my cell is 415-555-2671!", "my cell is [phone]!"),
        ("paid with 4111-1111-1111-1111, twice", "paid with [card], twice"),
        ("paid with 378282246310005", "paid with [card]"),
        ("to DE89 3704 0044 0532 0130 00 please", "to [iban] please"),
        ("to de89370400440532013000 12 times", "to [iban] 12 times"),
        ("FR14 2004 1010 0505 0001 3M02 606 OK", "[iban] OK"),
        ("Ada Lovelace here, ada lovelace, Ada's car", "[name] here, [name], [name]'s car"),
        ("ADA.KING wrote", "[name] wrote"),
    ],
)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    assert MASKING.mask(text, ADA) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Order 20230145678 of 2026-11-20 10:15:00, 1,299.00 EUR, 120,000 km, VIN WDB2030461A123456",
        "4111 1111 1111 1112 is no card, DE89 3704 0044 0532 0130 01 no IBAN, me @ home no address",
        "ticket 1234567, part 5551234, 3 stars of 5, 50 % off @ 9:30 in 2025/2026",
        "the adamant radar, an armada, and ada in small letters",
        "0000 0000 0000 0000",
        "a[phone]b [e-mail",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert MASKING.mask(text, ADA) == text


def test_a_common_word_that_is_a_name_is_masked_only_with_a_capital() -> None:
    names = names_in({"name": "Will May"})

    assert MASKING.mask("I will wait until may. Will May", names) == "I will wait until may. [name]"
    assert MASKING.mask("May I? Yes, Will.", names) == "[name] I? Yes, [name]."


def test_listed_names_are_masked_in_everybodys_words_and_known_ones_can_be_left() -> None:
    masking = Masking(listed=frozenset({"grace hopper", "Bob"}), knows_names=False)

    assert masking.mask("bob and Grace  Hopper met Ada", ADA) == "[name] and [name] met Ada"


def test_an_address_of_nobody_gives_no_name() -> None:
    assert names_in({"email": "customer.service@example.org", "firstName": 7, "name": ""}) == frozenset()
    assert names_in({"email": "al@example.org"}) == frozenset()


@given(ANYTHING)
@settings(max_examples=300)
def test_masking_twice_changes_nothing_more(text: str) -> None:
    masked = MASKING.mask(text, ADA)

    assert MASKING.mask(masked, ADA) == masked


@given(st.text(alphabet=[*string.ascii_lowercase, *" .,!?-äß\n\t🙂", *"123456"], max_size=200))
def test_a_text_without_personal_data_is_unchanged_byte_for_byte(text: str) -> None:
    harmless = "".join(one for number, one in enumerate(text) if not one.isdigit() or number % 40 < 6)
    if sum(map(str.isdigit, harmless)) < 7:
        assert MASKING.mask(harmless, ADA).encode() == harmless.encode()


@given(st.lists(st.tuples(st.text(alphabet="abc ,.é🙂", max_size=10), PERSONAL.filter(lambda one: len(one) > 1))))
def test_what_stands_between_masks_stays_in_place(parts: list[tuple[str, str]]) -> None:
    """So the offsets of any word of the masked text are those of the same word as it was said."""
    text = "".join(f"{plain} «{secret}» " for plain, secret in parts)
    masked = MASKING.mask(text, ADA)

    for plain, secret in parts:
        before, _, masked = masked.partition("«")
        assert before.strip() == plain.strip()
        mask, _, masked = masked.partition("» ")
        assert mask in MASKS
        assert secret not in mask or secret in MASKS
    assert masked == ""


@pytest.mark.parametrize("piece", ["a", "1", "1 ", "a.", "@", "x@", "DE89 ", "4111 1111 1111 1111 ", "[", "+49 171 12"])
def test_the_longest_text_of_one_kind_is_masked_without_running_away(piece: str) -> None:
    """No assertion on time: one that grew with the square of the length would end at the test's own limit."""
    text = piece * (20_000 // len(piece))

    assert isinstance(MASKING.mask(text, ADA), str)


def test_numbers_as_written_at_home_are_known_of_the_named_countries_alone() -> None:
    text = "0171 1234567, 415-555-2671, +49 171 1234567"

    assert Masking(regions=("US",)).mask(text) == "0171 1234567, [phone], [phone]"
    assert Masking(regions=()).mask(text) == "0171 1234567, 415-555-2671, [phone]"


def test_names_that_spell_a_mask_leave_masks_alone() -> None:
    names = names_in({"name": "Phone Card", "firstName": "Mail"})
    masked = MASKING.mask("Phone me: +49 171 1234567, Mail x@y.de", names)

    assert masked == "[name] me: [phone], [name] [e-mail]"
    assert MASKING.mask(masked, names) == masked


def test_the_settings_say_what_is_masked() -> None:
    catalogue = Catalogue.parse(
        "rules: [{event: A, channel: a, action: b, stage: sale, text: properties.note.body}, "
        "{channel: a, action: c, stage: sale}]"
    )
    masking = masking_of(Settings(phone_regions="FR", masked_names=" Bob ,,Grace  Hopper"), catalogue)

    assert masking.regions == ("FR",)
    assert masking.listed == {"Bob", "Grace Hopper"}
    assert masking.paths == ("properties.note.body", "properties.text")
    assert (masking.keep, masking.show) == (False, False)
    assert not masking_of(Settings(show_original_text=True), catalogue).show
    with pytest.raises(Invalid, match="phone_regions names 'XX'"):
        masking_of(Settings(phone_regions="DE,XX"), catalogue)
