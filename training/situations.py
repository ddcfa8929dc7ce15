"""More sentences of our own: questions, errands told without a feeling, names and places, and much said around little.

Patterns are as in `training/nuanced.py`, with people and places that say nothing about the feeling; `composed` lays
sentences without a feeling around one that has one. They teach beside real texts; nothing is measured on them.
"""

from __future__ import annotations

import numpy as np

from training.nuanced import SLOTS, Sentence, filled, nuanced_sentences

WHO_AND_WHERE: dict[str, tuple[str, ...]] = SLOTS | {
    "name": ("Maria", "Ahmed", "Li Na", "Aisha", "Peter", "Olga", "Chidi", "Ananya", "Carlos", "Hannah", "Yusuf",
             "Mei", "Tomasz", "Ingrid", "Nguyen", "Leila", "Jamal", "Sofia", "Raj", "Thabo", "Claire", "Hiroshi",
             "Fernanda", "Omar", "Grace", "Dimitri", "Zainab", "Paul", "Amara", "Lucia"),
    "place": ("Leeds", "Lagos", "Lima", "Mumbai", "Oslo", "Cairo", "Osaka", "Warsaw", "Denver", "Nairobi", "Ankara",
              "Porto", "Tehran", "Manila", "Quebec", "Accra", "Seville", "Hanoi", "Kyiv", "Detroit"),
    "kin": ("my wife", "my husband", "my mother", "my father", "my partner", "my daughter", "my son", "my sister",
            "my brother", "my neighbour", "my grandmother", "my boyfriend", "my girlfriend", "my uncle"),
    "day": ("Monday", "Wednesday", "Saturday", "Sunday", "yesterday", "last week", "in March", "this morning"),
}  # fmt: skip

_PATTERNS: dict[tuple[str, str, float], tuple[str, ...]] = {
    ("neutral", "plain", 0.0): (  # asked or told, and nothing felt
        "Is it possible to pay for the {thing} in instalments?", "Who do I talk to about a change of address?",
        "Has the {thing} been sent to {place} yet?", "Do you deliver to {place} on a {day}?",
        "What is the difference between the two versions of the {thing}?", "Are pets allowed?",
        "Does {name} still work at the branch in {place}?", "Can {kin} collect the {thing} for me?",
        "Could somebody send me the invoice of the {thing} again?", "How do I reset my password?",
        "Do I need to be at home when the {thing} is delivered?", "Which of the two would you suggest for {kin}?",
        "Is the shop in {place} open on Sunday?", "What happens with my points if I move to {place}?",
        "Where can I see how much is left of my allowance?", "Would the {part} of the old {thing} fit the new one?",
        "How many people can use one {thing}?", "Has anybody here tried the {thing} with a longer {part}?",
        "Should I bring the box when I return the {thing}?", "When does the next bus to {place} leave?",
        "May I choose another colour after I have ordered?", "Is breakfast part of the price?",
        "@{brand} do you fly from {place} to {place} in winter?", "@{brand} what's the weight limit for the {thing}?",
        "@{brand} can I use my voucher for {kin}?", "@{brand} is the desk in {place} open at night?",
        "@{brand} how early should I be at the gate?", "@{brand} what does the code on my ticket mean?",
        "@{brand} I'd like to change the name on my booking, who can help?", "@{brand} just sent you an email.",
        "@{brand} sent. Ref is 20931.", "@{brand} it's for {day}, two people.", "@{brand} ok, I will check.",
        "@{brand} my reference ends in 77.", "@{brand} are there seats left to {place} on {day}?",
        "@{brand} {place} to {place}, {day}.", "@{brand} that is what the website says.",
        "{brand} now in {place}: LINK",
        "{brand} to open a second shop in {place}, says its chief.", "{brand} and {brand} talk about a merger.",
        "Watching the planes in {place} with {kin}.", "{name} from {brand} speaks at the fair in {place} {day}.",
        "I spoke with {name} about the {thing} {day}.", "{name} will come by {day} to measure the windows.",
        "{kin} and I live in {place} and have had the {thing} since spring.", "I booked it for {kin}, not for me.",
        "The {thing} is for {name}, who moves to {place} {day}.", "{name} signed for the parcel {day}.",
        "We chose the {place} branch since it is near our office.", "I am the one who wrote {day} about the {part}.",
        "My account is in the name of {name}.", "I have had the {thing} for {span}.", "It came in a brown box.",
        "The manual has forty pages.", "We used it twice so far.", "There are two buttons on the back.",
    ),
    ("negative", "plain", -2.1): (  # asked in anger, or told as a fact that nobody would like
        "Why does nobody answer the phone in {place}?", "How hard can it be to send a {thing} to {place}?",
        "Do you people even read what {kin} wrote {day}?", "Is it normal that the {part} falls off after {span}?",
        "How many more times must I explain this to you?", "Why was {name} charged twice for one {thing}?",
        "What am I paying for if nothing works?", "Who trained these people?", "Are you serious?",
        "When will you finally repair the {part}?", "Where is the {thing} that I paid for {span} ago?",
        "Can you imagine sleeping in a room that smells like this?", "Why would anybody sell a {thing} like that?",
        "@{brand} can I get some help here? No one picks up.", "@{brand} why am I still waiting for my bag in {place}?",
        "@{brand} any reason why my {thing} vanished from my account?", "@{brand} so nobody knows where my bag is?",
        "@{brand} how can you cancel it and tell us nothing?", "@{brand} been sitting here for {span}, no update.",
        "@{brand} your app says one thing and the board another.", "@{brand} now I miss my connection to {place}.",
        "@{brand} you lost {kin}'s suitcase and the form is down too.", "@{brand} I was cut off after {span} of music.",
        "@{brand} {span} and counting.", "@{brand} told to call, then told to write, now told to wait.",
        "@{brand} not one person at the counter in {place}.", "@{brand} that answer is copied from the last one.",
        "@{brand} it is the {count} time this month.", "@{brand} I had to buy new clothes in {place}.",
        "@{brand} your price went up while I was paying.", "@{brand} {kin} had to stand all the way to {place}.",
        "@{brand} my refund was due {span} ago.", "@{brand} thanks to you we slept at the airport.",
        "{name} at the desk in {place} would not even look at us.", "{name} told {kin} to go somewhere else.",
        "{kin} waited in {place} for {span} and went home with nothing.", "{name} never called back.",
        "I asked {name} for help and got a shrug.", "The {thing} that {kin} bought in {place} broke {day}.",
        "I would not send {kin} to the shop in {place}.", "We left {place} angry and will not return.",
    ),
    ("positive", "plain", 2.2): (
        "How do you make a {thing} this good?", "Why did I not buy this years ago?", "Can I hug {name} for this?",
        "Who knew that a {thing} could make {kin} so happy?", "What more could one wish for?",
        "Is there a prize for {name}? There should be.", "Could it be any easier? I doubt it.",
        "{name} at the desk in {place} was wonderful.", "{name} took the time to explain all of it to {kin}.",
        "{kin} still smiles about the {thing} from {place}.", "I asked {name} for help and got it at once.",
        "{name} called back within the hour, as promised.", "{kin} loves the {thing} that we found in {place}.",
        "Tell {name} in {place} that we are very grateful.", "I would send {kin} to the shop in {place} any day.",
        "We left {place} happy and will be back.", "@{brand} {name} in {place} deserves a raise.",
        "@{brand} thanks for getting {kin} home.", "@{brand} smooth trip to {place}, lovely crew.",
        "@{brand} bag found and delivered, thank you!", "@{brand} wow, quick answer. Thanks!",
        "@{brand} you saved my day.",
        "@{brand} first time with you and surely not the last.", "@{brand} upgraded! Made {kin} so happy.",
        "@{brand} your team in {place} is the best.", "@{brand} so easy to book, well done.",
    ),
    ("mixed", "mixed", 0.0): (
        "{name} in {place} was an angel, the {thing} itself is rubbish.",
        "I adore the {thing}, {kin} cannot stand the noise it makes.",
        "The trip to {place} was superb, the way back a horror.",
        "{name} fixed it with a smile, after {span} of being ignored.", "Great value, dreadful smell.",
        "@{brand} crew was great, being {span} late was not.", "@{brand} love your planes, hate your website.",
        "Some of us loved it, I found it painful to watch in parts.", "Clever and dull by turns.",
        "The first half is a delight and the second a bore.", "Worth seeing for {name}, else a mess.",
    ),
    ("negative", "ironic", -2.2): (
        "Loving the view of the same wall in {place} for {span}.", "So kind of {name} to hang up on {kin}.",
        "@{brand} great job losing my bag, twice.", "@{brand} nothing like {span} on hold to start the weekend.",
        "@{brand} thanks for the free night on the floor in {place}.", "Good thing I like waiting.",
        "@{brand} I see you are working as well as always.", "Who needs sleep anyway.", "Living the dream in row 34.",
        "How thoughtful, a {thing} that wakes {kin} at four.", "I do enjoy a good queue.", "Shocking, late again.",
        "Another day, another {part} gone. I am thrilled.", "@{brand} top marks for consistency, late {count} time.",
        "Can't wait to explain it all to a {count} person.", "Such luxury, a chair with three legs.",
        "My {thing} and I had a lovely evening in the repair shop.", "Oh good, the printer has feelings today.",
        "Nothing I love more than homework at midnight.", "Great, it rains on the one day I washed the car.",
        "I just love it when people talk in the cinema.", "Monday, how I missed you.", "Wow, what a surprise, traffic.",
        "Apparently sleep is for other people.", "Yes please, tell me more about your diet.",
    ),
    ("negative", "plain", -2.0): (  # sincere twins of the irony above
        "I have been looking at a wall in {place} for {span} and I am bored.",
        "{name} hung up on {kin}, which was rude.",
        "@{brand} you lost my bag twice.", "@{brand} I am tired of waiting on hold.", "I hate waiting.",
        "@{brand} I had to sleep on the floor in {place}.", "I could not sleep.",
        "I am stuck in row 34 and uncomfortable.",
        "The {thing} wakes {kin} at four.", "It is late again.", "Another {part} broke today and I am sad.",
        "I dread explaining it to a {count} person.", "The chair has three legs.", "The printer does not work today.",
        "I hate doing homework at midnight.", "It annoys me when people talk in the cinema.", "I hate Mondays.",
        "I am stuck in traffic again.", "I am tired of hearing about your diet.",
    ),
}  # fmt: skip

_BEFORE = (
    "We had booked in January and came by train", "There are two of us and we needed it for the office",
    "I ordered it online, paid by card and had it sent to {place}", "{name} and I compared four of them first",
    "It is the larger version, in grey, with the spare {part}", "I went there {day} after work with {kin}",
    "{kin} had used one for years and told me about it", "My order number is 3305 and the invoice is from {day}",
    "The shop is on the second floor, next to the bank", "It took me some minutes to fill in the form",
    "I moved to {place} in autumn and had to look for a new one", "We were there from Thursday to Sunday",
)  # fmt: skip
_FELT: dict[str, tuple[str, ...]] = {
    "negative": ("I am very unhappy with it", "it was a waste of money", "I felt cheated", "nobody was willing to help",
                 "I regret it deeply", "it has been nothing but trouble", "I would not wish it on anyone"),
    "positive": ("I am so glad that I did", "it could not have gone better", "I felt truly welcome",
                 "everybody was kind to us", "it is the best decision of the year", "I love everything about it",
                 "I would do it again at once"),
}  # fmt: skip
_JOINED = (
    "{before}, and {felt}.",
    "{before}. {other}. {felt}.",
    "{felt}. {before}, and {then}.",
    "{before}, {then}, and {felt}.",
)


def all_sentences(each: int, rng: np.random.Generator) -> list[Sentence]:
    """Every sentence of our own: nuanced ones, those of this file, and long ones; at most `each` fillings of a pattern.

    >>> found = all_sentences(1, np.random.default_rng(0))
    >>> len(found) > 400, "{" in "".join(one.text for one in found)
    (True, False)
    """
    found = nuanced_sentences(each, rng)
    for (polarity, nuance, intensity), patterns in _PATTERNS.items():
        for pattern in patterns:
            texts = dict.fromkeys(filled(pattern, rng, WHO_AND_WHERE) for _ in range(each))
            found += [Sentence(text, polarity, nuance, intensity) for text in texts]
    return found + composed(8 * each, rng)


def composed(each: int, rng: np.random.Generator) -> list[Sentence]:
    """Long texts in which one clause feels something and all others only tell: `each` that praise, complain, and tell.

    >>> [one.polarity for one in composed(1, np.random.default_rng(0))]
    ['negative', 'positive', 'neutral']
    """
    found = []
    for polarity, intensity in (("negative", -2.0), ("positive", 2.2), ("neutral", 0.0)):
        for _ in range(each):
            first, second, third = (
                filled(_BEFORE[int(k)], rng, WHO_AND_WHERE) for k in rng.permutation(len(_BEFORE))[:3]
            )
            if polarity == "neutral":
                text = f"{first}, and {_inner(second)}. {third}."
            else:
                felt = _FELT[polarity][int(rng.integers(len(_FELT[polarity])))]
                joined = _JOINED[int(rng.integers(len(_JOINED)))]
                parts = {"before": first, "then": _inner(second), "other": third}
                text = joined.format(**parts, felt=felt if joined.startswith("{before},") else _sentence(felt))
            found.append(Sentence(text, polarity, "plain", intensity))
    return found


def _sentence(clause: str) -> str:
    return clause[0].upper() + clause[1:]


def _inner(clause: str) -> str:
    """A clause inside a sentence: a name or "I" keeps its capital."""
    first = clause.split()[0]
    return clause if first in {"I", *WHO_AND_WHERE["name"], "Li"} else clause[0].lower() + clause[1:]
