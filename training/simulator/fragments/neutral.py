"""Clauses of customers who ask or tell without praise or blame, by topic."""

from training.simulator.fragments import Clause

NEUTRAL: dict[str, list[Clause]] = {
    "configurator": [
        ("is the {car} available in {colour} with the larger battery", 0.0, "curiosity"),
        ("can I send my configuration to the dealer in {city}", 0.0, "curiosity"),
        ("where do I find my saved build on the phone", 0.0, "curiosity confusion"),
        ("which trim has the heated steering wheel", 0.0, "curiosity"),
        ("I configured a {colour} {car} and would like a quote", 0.0, "desire neutral"),
        ("what is the difference between the two sound systems", 0.0, "curiosity"),
    ],
    "ar": [
        ("does the AR view work on an older tablet", 0.0, "curiosity"),
        ("I tried the {car} in AR and want to see the {colour} one as well", 0.2, "curiosity desire"),
        ("is the size in augmented reality true to life", 0.0, "curiosity"),
        ("can two people look at the AR model together", 0.0, "curiosity"),
    ],
    "test_drive": [
        ("I would like to book a test drive for {day}", 0.0, "desire neutral"),
        ("do I need a deposit for the test drive", 0.0, "curiosity"),
        ("can I bring the child seats to the test drive", 0.0, "curiosity"),
        ("how long can I keep the {car} for a test drive", 0.0, "curiosity"),
        ("we took the {car} for a drive on {day}", 0.0, "neutral"),
    ],
    "delivery": [
        ("when will my {car} be delivered", 0.0, "curiosity"),
        ("can the car be delivered to {city} instead", 0.0, "curiosity"),
        ("which papers do I need for the handover", 0.0, "curiosity"),
        ("the car was handed over on {day}", 0.0, "neutral"),
        ("my order number has changed, please confirm", 0.0, "neutral"),
    ],
    "workshop": [
        ("when is the first service due", 0.0, "curiosity"),
        ("I dropped the car off on {day} for the yearly check", 0.0, "neutral"),
        ("do you store winter wheels", 0.0, "curiosity"),
        ("the service took about two hours", 0.0, "neutral"),
        ("please tell me what the inspection includes", 0.0, "curiosity"),
        ("the light for the tyre pressure is on", -0.2, "neutral"),
    ],
    "call_centre": [
        ("please call me back on {day} after five", 0.0, "neutral"),
        ("who is the person in charge of my case", 0.0, "curiosity"),
        ("I spoke with {person} on {day}", 0.0, "neutral"),
        ("my phone number has changed", 0.0, "neutral"),
        ("I am calling about the letter I got", 0.0, "neutral"),
    ],
    "newsletter": [
        ("how often does the newsletter come", 0.0, "curiosity"),
        ("please send the mails to my new address", 0.0, "neutral"),
        ("is the offer in the mail valid in {city} too", 0.0, "curiosity"),
        ("I read about the open day in your mail", 0.0, "neutral"),
    ],
    "dealer": [
        ("is the showroom in {city} open on {day}", 0.0, "curiosity"),
        ("we visited the dealership twice", 0.0, "neutral"),
        ("I talked to {person} about the {car}", 0.0, "neutral"),
        ("do you have the {car} standing in the showroom", 0.0, "curiosity"),
        ("we are looking at two other brands as well", 0.0, "neutral"),
    ],
    "price": [
        ("what would you give me for an eight-year-old hatchback", 0.0, "curiosity"),
        ("does the price include winter wheels", 0.0, "curiosity"),
        ("is there a discount for nurses", 0.0, "curiosity"),
        ("the price is about what I expected", 0.2, "neutral approval"),
        ("how long is the offer valid", 0.0, "curiosity"),
    ],
    "finance": [
        ("what is the monthly rate over four years", 0.0, "curiosity"),
        ("can I pay back the loan early", 0.0, "curiosity"),
        ("I have uploaded the papers you asked for", 0.0, "neutral"),
        ("is insurance part of the leasing rate", 0.0, "curiosity"),
        ("how many kilometres are included", 0.0, "curiosity"),
    ],
    "car": [
        ("I have driven the {car} for {weeks} weeks now", 0.0, "neutral"),
        ("how far does the {car} go on one charge in winter", 0.0, "curiosity"),
        ("it is a car, it drives, what more is there to say", 0.0, "neutral"),
        ("does the boot take a pram and a crate of water", 0.0, "curiosity"),
        ("we use it for the school run and the weekly shop", 0.0, "neutral"),
        ("bought the {colour} one after comparing three models", 0.2, "neutral"),
    ],
    "app": [
        ("how do I add a second driver in the app", 0.0, "curiosity"),
        ("is there an app for the watch", 0.0, "curiosity"),
        ("I use the app mostly for charging", 0.0, "neutral"),
        ("where do I see my trips in the app", 0.0, "curiosity"),
    ],
    "refund": [
        ("how long does a refund take", 0.0, "curiosity"),
        ("which account will the deposit be sent to", 0.0, "curiosity"),
        ("I returned the car on {day}", 0.0, "neutral"),
        ("please confirm that my return has been booked", 0.0, "neutral"),
    ],
}
