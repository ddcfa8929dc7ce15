"""Sentences of our own whose feeling is not in single words: praise by denial, irony and its sincere twin, courtesy.

Each is a pattern about a purchase or a service, with a polarity, an intensity and a nuance that hold whatever fills its
slots. They teach beside real texts; nothing is measured on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SLOTS: dict[str, tuple[str, ...]] = {
    "thing": ("phone", "dress", "kettle", "laptop", "sofa", "bike", "jacket", "camera", "booking", "flight", "mattress",
              "car", "blender", "subscription", "order", "parcel", "watch", "room", "headset", "printer"),
    "who": ("the staff", "the driver", "your team", "support", "the agent", "the shop", "customer service", "the crew"),
    "span": ("three hours", "two weeks", "a month", "ten days", "an hour", "six weeks"),
    "count": ("third", "fourth", "fifth", "second"),
    "brand": ("Northwind", "BlueSkyAir", "Kettle&Co", "ParcelPal", "GreenBank", "HotelAlba", "FastFix", "Lumo",
              "Trainly"),
    "part": ("screen", "zip", "battery", "lid", "strap", "colour", "handle", "button"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text with the labels that it was written for; intensity on -4..4."""

    text: str
    polarity: str
    nuance: str
    intensity: float


# (polarity, nuance, intensity) -> patterns
_PATTERNS: dict[tuple[str, str, float], tuple[str, ...]] = {
    ("positive", "plain", 2.6): (  # praise said by denying the bad, or against expectations
        "Not once has the {thing} let me down.", "I have never had a single problem with this {thing}.",
        "There is nothing to complain about.", "Could not be happier with the {thing}.", "I can't fault {who}.",
        "No complaints at all, and I usually find some.", "Hardly a day goes by that I don't use my {thing}.",
        "I wouldn't hesitate to buy the {thing} again.", "Nothing was too much trouble for {who}.",
        "You won't regret getting this {thing}.", "I was worried about the {thing}, but it is wonderful.",
        "I expected the worst and {who} proved me wrong.", "Not bad at all, in fact rather brilliant.",
        "I don't know how I lived without this {thing}.", "Never a dull day with this {thing}.",
        "Despite the bad reviews, the {thing} is excellent.", "My only complaint is that I didn't buy two.",
        "I thought I would hate the {thing}, and now I love it.", "{who} couldn't have been more helpful.",
        "In all these years {who} never disappointed us.", "Far from cheap, yet worth every cent.",
        "Without {who} this would have been a disaster, thank you so much!", "Never had a better {thing}.",
        "The {part} is not flimsy at all, it feels solid and lovely.",
        "Wow, sorted within {span}, no fuss whatsoever!",
    ),
    ("negative", "plain", -2.4): (  # the bad said by denying the good
        "The {thing} is not good.", "I would not call that service.", "Nobody could help me with the {thing}.",
        "{who} never once answered.", "I can't recommend this {thing} to anyone.", "Not worth the money.",
        "I am not happy with the {thing} at all.", "It doesn't do what it should.", "This is no way to treat people.",
        "I wanted to love this {thing} but I can't.", "It looked great online; in person it is awful.",
        "{who} promised a refund and nothing came.", "I have been waiting for {span} and no one replies.",
        "I wish I had never bought the {thing}.", "The {part} broke after {span}.", "It was far from helpful.",
        "Neither the {part} nor the {thing} works.", "I would have kept it if the {part} had worked.",
        "Still waiting for my {thing} after {span}.", "Lost my {thing} and nobody cares.", "Don't bother.",
        "Why is the {thing} cancelled again? I need to be home tonight.", "I used to like {who}, not any more.",
        "The {thing} was supposed to be new. It was not.", "{who} hung up on me twice.", "Less than impressed.",
        "You have my money and I have no {thing}.", "This is the {count} time the {part} has failed.",
    ),
    ("neutral", "plain", 0.0): (
        "Does the {thing} come with a spare {part}?", "I ordered the {thing} on Monday.", "Which {part} do I need?",
        "When will the {thing} be back in stock?", "Please change the address of my order.", "It is a {thing}.",
        "Can I return the {thing} in a shop?", "The {thing} arrived on Tuesday, the invoice on Friday.",
        "Do I have to book the {thing} in advance?", "I sent you a message with my order number.",
        "The {part} is on the left side.", "How long is the guarantee of the {thing}?",
        "Is {thing} number 4 still free?", "My colleague bought the same {thing} last year.",
        "Thanks, I will send the details tomorrow.", "Could you tell me where the {thing} is made?",
        "I am writing about the {thing} that I saw in your window.", "What time does the desk open?",
        "We are flying on Friday with two bags.", "It does what it says, no more.",
        "The {thing} is neither good nor bad.", "I have no opinion of the {thing} yet.", "It is an average {thing}.",
    ),
    ("mixed", "mixed", 0.0): (
        "Lovely {thing}, terrible delivery.", "The {thing} is great but {who} were rude.", "Good quality, awful fit.",
        "I love the look of the {thing} and hate the {part}.", "Half delighted, half furious.",
        "Great {part}, poor {thing}.", "{who} were kind, the wait of {span} was not.",
        "Beautiful {thing}. Shame about the {part}.", "It works well when it works, which is half of the time.",
        "Fast delivery, wrong {thing}.", "I really like the {thing}, yet the {part} is a disaster.",
        "On the one hand a superb {thing}, on the other {span} late.",
        "The food was delicious and the service dreadful.", "I would give the {thing} five stars and {who} one.",
        "So happy with the {thing}, so angry about the bill.", "Nice idea, badly made.",
        "Comfortable, but it fell apart.", "Excellent {thing}, though {who} lied about the price.",
        "Some of it was perfect, some of it a mess.", "The first {thing} was wonderful, the second a piece of junk.",
        "Pretty, but far too expensive for what it is.",
    ),
    ("negative", "ironic", -2.3): (
        "Oh great, the {thing} is late again.", "Only {span} on hold, I feel so valued.",
        "Thanks for that, I was not using my weekend anyway.",
        "Just what I needed, another broken {part}.", "Well done {who}, you lost my {thing} for the {count} time.",
        "I love paying for a {thing} that does not work.", "Wonderful, a {thing} without a {part}.",
        "Yeah, right, in {span}.", "What a joy to spend {span} talking to a robot.",
        "Brilliant service, if you enjoy being ignored.", "Clearly {who} are far too busy to read emails.",
        "Nice of you to cancel my {thing} at midnight.", "Because who needs a working {part} anyway?",
        "Sure, I have all day to wait for a {thing}.",
        "Congratulations, the {count} {thing} is even worse than the last.",
        "So glad I paid extra for next day delivery, it is Friday.",
        "Amazing how the {part} breaks the day after the guarantee ends.",
        "I simply adore a {thing} that smells of glue.", "Best purchase ever, it lasted {span}.",
        "My favourite part was when {who} hung up.", "Slow clap for {who}.",
        "Nothing says quality like a {part} held on with tape.", "I can hardly wait for the next {span} of silence.",
    ),
    ("negative", "plain", -2.2): (  # the sincere twins of the irony above
        "The {thing} is late again and that annoys me.", "I was on hold for {span} and felt ignored.",
        "You did not help me.", "The {part} is broken once more.", "{who} lost my {thing} for the {count} time.",
        "I pay for a {thing} that does not work.", "The {thing} came without a {part}.",
        "I do not believe that it takes {span}.", "I spent {span} talking to a robot.",
        "The service is bad and nobody listens.", "{who} do not read emails.",
        "You cancelled my {thing} at midnight.", "I cannot wait all day for a {thing}.",
        "The {count} {thing} is even worse than the last.", "I paid extra for next day delivery and it came late.",
        "The {part} broke the day after the guarantee ended.", "The {thing} smells of glue.",
        "It lasted only {span}.", "{who} hung up on me.", "{who} did a poor job.",
    ),
    ("positive", "plain", 2.3): (  # sincere praise in the words that irony borrows
        "Oh great, the {thing} came early!", "Just what I needed, thank you.",
        "Well done {who}, you found my {thing}.", "I love this {thing}, it just works.", "What a joy to use.",
        "Brilliant service, they rang me back at once.", "Nice of {who} to call me.",
        "Best purchase ever, it has lasted for years.", "Amazing how light the {thing} is.",
        "So glad I paid extra for next day delivery, it came on time.", "I can hardly wait to use the {thing} again.",
        "My favourite part was the {part}.", "Congratulations to {who} on a lovely {thing}.",
        "Thank you {who}, you made my day!", "Great flight, friendly crew, thanks.", "Perfect fit, true to size.",
        "Love it love it love it.",
    ),
    ("negative", "resigned", -1.3): (
        "I have given up on the {thing}.", "It is what it is.", "No point in asking {who} again.",
        "Whatever, keep the money.", "I stopped expecting an answer after {span}.",
        "I suppose that is just how {who} work.", "Same as always.",
        "Nothing will change, so I bought a {thing} somewhere else.", "Fine, I will repair the {part} myself.",
        "I am too tired to argue about a {thing}.", "What did I expect.",
        "We have learned to live with the broken {part}.", "I no longer bother to complain.",
        "Another {span}, another excuse. I don't mind any more.", "Never mind then.",
    ),
    ("negative", "politely_angry", -2.6): (
        "I would be grateful if {who} could finally reply.", "Kindly explain why my {thing} is {span} late.",
        "I must say that I expected better of you.", "With all due respect, this is unacceptable.",
        "I would appreciate a refund for the {thing} without further delay.",
        "May I remind you that I paid {span} ago?",
        "I trust you will treat this complaint with more care than the last.",
        "Please be so kind as to read my {count} letter.",
        "I am sure it is an oversight, but this is the {count} time.",
        "I regret to say that {who} were most unhelpful.", "I should like to know who is responsible for this.",
        "Thank you for your patience is not an answer to a broken {thing}.",
        "Dear team, I am still waiting, as I have been for {span}.",
        "I respectfully ask you to stop sending me vouchers.",
        "You will understand that I shall take my custom elsewhere.", "I look forward to a proper explanation.",
    ),
    ("mixed", "grateful_but_hurt", -0.4): (
        "Thank you for the refund, but I still feel let down.",
        "I am grateful to {who}, and sad that it came to this.",
        "You did fix the {thing} in the end, yet nobody ever said sorry.",
        "Thanks for the flowers; the {span} before still hurt.",
        "I appreciate the new {thing}, but being called a liar stays with me.",
        "{who} were lovely, though I cried that night.",
        "I know you tried and I thank you, I only wish someone had believed me.",
        "Grateful for the help, hurt by how long I begged.",
        "Thank you for taking the {thing} back. It should not have needed tears.",
        "The apology was kind, the trust is gone.",
    ),
    ("negative", "plain", -2.0): (  # facts that are complaints, to whoever they are told
        "@{brand} I have been on hold for {span}.", "@{brand} my {thing} was cancelled and nobody told us.",
        "{brand} lost my {thing} {span} ago, where is it?", "Why can't I log in to the {brand} app?",
        "@{brand} your site keeps crashing when I try to pay.", "Charged twice by {brand}, please fix this.",
        "@{brand} still no reply to my message, it has been {span}.", "Stuck here for {span} because of {brand}.",
        "@{brand} the queue is not moving and there is one person at the desk.",
        "We missed the wedding because of you.", "@{brand} {span} late and no explanation.",
        "{brand} changed my booking without asking me.",
        "@{brand} how is it possible that my {thing} is lost for the {count} time?", "Do you ever answer the phone?",
        "@{brand} I need someone to call me back, I have asked {span} running.", "My {thing} arrived in pieces.",
        "@{brand} your agent hung up on me after {span}.", "The {thing} I paid for was given to somebody else.",
        "@{brand} I was told one thing by chat and another on the phone.", "You overcharged me for the {thing}.",
        "Never flying with {brand} again.", "@{brand} the heating was off all night.",
        "{brand} is getting worse every year.", "@{brand} where is my refund?",
        "Is anyone at {brand} working today? I have waited {span}.", "Worst {thing} of my life.",
        "@{brand} can you explain why I had to sit on the floor?", "I want my money back.",
        "No wifi, no food, no answers.", "@{brand} the {part} is broken and the form to say so does not open.",
        "Another delay. Great way to start a holiday.", "You sold me a {thing} that you don't have.",
        "@{brand} please stop sending me to the same page, it does not help.",
        "So my {thing} sits in a warehouse and nobody will release it.", "@{brand} this is ridiculous.",
        "Not again, {brand}.",
    ),
    ("neutral", "plain", 0.1): (  # questions and facts without a feeling
        "@{brand} do you have a shop in the centre?", "@{brand} what is the number for bookings?",
        "@{brand} DM sent.", "@{brand} is the {thing} available in blue?",
        "@{brand} can I bring a {thing} as hand luggage?", "@{brand} following now.",
        "{brand} opens a new branch in spring.", "@{brand} how do I add a second name to my booking?",
        "Thinking about a new {thing}.", "@{brand} when do the summer sales start?", "I am at gate 4 with {brand}.",
        "@{brand} which {part} fits this {thing}?", "{brand} shares fell by two percent, says the paper.",
        "@{brand} is there a student price?", "On my way to {brand}.", "@{brand} my order number is 4711.",
        "@{brand} does the ticket include a bag?", "@{brand} yes, that is the one.",
        "@{brand} could you follow me so that I can send you the details?",
        "We leave on Friday and return on Monday.", "@{brand} is it possible to change the date of my {thing}?",
        "How much is the {thing} with the {part}?", "@{brand} who do I contact about a group booking?",
        "New {brand} advert is out today.", "@{brand} thx, will do.",
        "@{brand} will the {thing} be on time tomorrow?", "@{brand} any news about the weather?",
        "I use {brand} for work.",
    ),
    ("positive", "plain", 2.2): (  # thanks, as people write them to a company
        "@{brand} thank you so much!", "@{brand} great service today, thanks!", "Thanks {brand}, that was quick.",
        "@{brand} you guys are awesome.", "Big thanks to {who} at {brand}.", "@{brand} love the new {thing}!",
        "@{brand} got my {thing} back, you are the best.", "Shout out to {brand} for a smooth trip.",
        "@{brand} problem solved, cheers!", "On time and friendly, well done {brand}.",
        "@{brand} the crew was fantastic tonight.", "Can't wait to be back at {brand}!",
        "@{brand} thanks for the help, much appreciated.", "Really impressed by {brand}.",
        "@{brand} that made our day.", "{brand} sorted it in minutes.", "Best {thing} I have ever had.",
        "@{brand} you rock!", "@{brand} so kind of you, thank you.",
    ),
}  # fmt: skip


def nuanced_sentences(each: int, rng: np.random.Generator) -> list[Sentence]:
    """At most `each` different fillings of every pattern, in the order of the patterns.

    >>> said = nuanced_sentences(1, np.random.default_rng(0))
    >>> len(said) > 190, said[0].polarity, "{" in "".join(one.text for one in said)
    (True, 'positive', False)
    """
    found = []
    for (polarity, nuance, intensity), patterns in _PATTERNS.items():
        for pattern in patterns:
            texts = dict.fromkeys(filled(pattern, rng, SLOTS) for _ in range(each))
            found += [Sentence(text, polarity, nuance, intensity) for text in texts]
    return found


def filled(pattern: str, rng: np.random.Generator, slots: Mapping[str, Sequence[str]]) -> str:
    """A pattern with every slot filled at random, beginning with a capital.

    >>> filled("{who} smiled.", np.random.default_rng(0), {"who": ["the crew"]})
    'The crew smiled.'
    """
    text = re.sub(r"\{(\w+)\}", lambda slot: slots[slot[1]][int(rng.integers(len(slots[slot[1]])))], pattern)
    return text[0].upper() + text[1:]
