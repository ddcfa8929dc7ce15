"""Clauses whose feeling is not on the surface: ironic, resigned, politely angry, grateful but hurt, and mixed."""

from training.simulator.fragments import Clause

# Words that look pleased; what is meant is the opposite.
IRONIC: dict[str, list[Clause]] = {
    "configurator": [
        ("I just love configuring the same car for the fourth time", -2.5, "annoyance amusement"),
        ("what a clever idea to show the price only after I typed in my whole life", -2.0, "annoyance disapproval"),
        ("a configurator that forgets everything, truly relaxing", -2.0, "annoyance amusement"),
    ],
    "ar": [
        ("I now own a lovely picture of a car hovering over my roof", -1.5, "amusement disappointment"),
        ("the AR fits perfectly, it is only the real car that does not", -2.5, "amusement anger"),
        ("thanks to AR my phone is finally warm enough for winter", -1.5, "amusement annoyance"),
    ],
    "test_drive": [
        ("third appointment cancelled, exactly how I wanted to spend my {day}", -2.5, "annoyance disappointment"),
        ("a whole ten minutes of test drive, I can hardly contain my joy", -2.0, "disappointment amusement"),
        ("it was so thoughtful of you to rent out my test car to somebody else", -2.5, "anger disappointment"),
        ("I do enjoy a drive to {city} to look at an empty parking space", -2.5, "annoyance amusement"),
    ],
    "delivery": [
        ("only {weeks} weeks late, a new record", -2.5, "annoyance disappointment"),
        ("the scratch on the door gives it real character, thank you", -2.5, "anger amusement"),
        ("I am delighted that my car has now seen more ports than I have", -2.0, "amusement disappointment"),
        ("summer tyres in the snow, you really think of everything", -2.5, "annoyance amusement"),
        ("my new car exists, I am told, and I choose to believe", -2.0, "amusement disappointment"),
    ],
    "workshop": [
        ("my car likes your workshop so much that it goes back every week", -2.5, "annoyance amusement"),
        ("fantastic service, the rattle has a friend now", -2.5, "annoyance amusement"),
        ("what a bargain, twice the estimate and the fault still included", -3.0, "anger annoyance"),
        ("I am so glad the grease matches the seats", -2.5, "annoyance disgust"),
        ("bravo, you repaired everything except what was broken", -2.5, "annoyance disapproval"),
    ],
    "call_centre": [
        ("your hold music is lovely, I know every note by now", -2.5, "annoyance amusement"),
        ("forty minutes on the phone, time well spent as always", -2.5, "annoyance"),
        ("how nice that five colleagues each wanted to hear my story", -2.5, "annoyance amusement"),
        ("my case is closed, so I suppose I only imagine the problem", -2.5, "annoyance disapproval"),
        ("best hotline ever, it even hung up for me", -3.0, "anger amusement"),
    ],
    "newsletter": [
        ("I could not sleep without my fifth mail of the week", -1.5, "annoyance amusement"),
        ("thank you for offering me the car I bought from you last month", -1.5, "amusement annoyance"),
        ("unsubscribing is such fun that I get to do it every {day}", -2.0, "annoyance amusement"),
    ],
    "dealer": [
        ("we had the showroom all to ourselves, nobody disturbed us for an hour", -2.0, "disappointment amusement"),
        ("how charming that all my questions were answered to my husband", -3.0, "anger disapproval"),
        ("the coffee was excellent, I had time for five", -2.0, "annoyance amusement"),
        ("I admire people who can look through a customer like that", -2.5, "annoyance disapproval"),
    ],
    "price": [
        ("nine hundred for floor mats, do they fly", -2.5, "annoyance amusement"),
        ("great deal, I only had to pay for everything separately", -2.5, "annoyance disappointment"),
        ("I am honoured to pay more than my neighbour for the same car", -2.5, "annoyance amusement"),
    ],
    "finance": [
        ("sending my pay slips a third time was the highlight of my month", -2.5, "annoyance amusement"),
        ("two instalments in one month, how generous of me", -3.0, "anger amusement"),
        ("a contract nobody can explain, just what I always wanted", -2.0, "annoyance confusion"),
    ],
    "car": [
        ("such a quiet car, especially when it refuses to start", -2.5, "annoyance amusement"),
        ("the black screen is very soothing at a hundred and twenty", -3.0, "fear amusement"),
        ("I have never met so many friendly tow truck drivers", -3.0, "annoyance amusement"),
        ("the range is superb if you live at the charger", -2.0, "disappointment amusement"),
    ],
    "app": [
        ("the app is so secure that not even I get in", -2.0, "annoyance amusement"),
        ("wonderful update, now nothing works in a much nicer blue", -2.5, "annoyance amusement"),
        ("paying monthly for my own seat heating warms the heart", -2.5, "anger amusement"),
    ],
    "refund": [
        ("no hurry with my money, I hardly use it", -2.5, "annoyance amusement"),
        ("only {weeks} weeks for a bank transfer, I hope nobody got hurt rushing", -3.0, "anger amusement"),
        ("how kind of you to keep my deposit safe for so long", -2.5, "annoyance amusement"),
    ],
}

# For any topic: people who expect nothing any more.
RESIGNED: list[Clause] = [
    ("I have stopped expecting an answer", -1.5, "disappointment sadness"),
    ("it is what it is", -0.8, "disappointment neutral"),
    ("I suppose that is normal these days", -1.0, "disappointment"),
    ("do what you want, I will manage", -1.2, "sadness disappointment"),
    ("I am too tired to call a seventh time", -1.5, "disappointment sadness"),
    ("we will just live with the rattle", -1.2, "disappointment"),
    ("I did not really believe in the date anyway", -1.0, "disappointment"),
    ("nothing will change, I know", -1.5, "sadness disappointment"),
    ("I only fill this in so that you stop reminding me", -1.2, "annoyance disappointment"),
    ("keep the two hundred, I give up", -1.6, "disappointment sadness"),
    ("I have learned to park where the sensor does not work", -1.0, "disappointment"),
    ("so be it, I wait another {weeks} weeks", -1.2, "disappointment"),
    ("I would complain but I no longer see the point", -1.6, "sadness disappointment"),
    ("I guess the app was never meant for my car", -1.0, "disappointment"),
    ("it will go to another garage next time, quietly", -1.4, "disappointment"),
    ("that is that then", -0.8, "disappointment"),
    ("another {day}, another form", -1.0, "disappointment annoyance"),
    ("I am past being angry about it", -1.4, "sadness disappointment"),
    ("we shrugged and took the bus", -1.0, "disappointment"),
    ("maybe the next car will be better, maybe not", -1.2, "disappointment sadness"),
    ("I ran out of people to ask", -1.5, "sadness disappointment"),
    ("no need to reply, nobody ever did", -1.6, "sadness disappointment"),
    ("I have made my peace with the fault", -1.0, "disappointment"),
    ("fine, I will bring the papers once more", -1.0, "disappointment annoyance"),
    ("it does not matter any longer", -1.3, "sadness disappointment"),
]

# For any topic: courtesy all the way, and anger under it.
POLITELY_ANGRY: list[Clause] = [
    ("I must say that I expected rather more from a house of your name", -2.5, "disappointment anger"),
    ("I would be most grateful if somebody could finally read my case", -2.5, "anger annoyance"),
    ("may I remind you that I have paid in full", -2.8, "anger annoyance"),
    ("I kindly ask for a written answer by {day}", -2.2, "anger disapproval"),
    ("I trust that this is not how you usually treat customers", -2.5, "anger disapproval"),
    ("allow me to point out that this is the third letter on the same matter", -2.8, "anger annoyance"),
    ("I should hate to have to involve my solicitor", -3.2, "anger"),
    ("I am sure you will agree that {weeks} weeks is not acceptable", -2.8, "anger disapproval"),
    ("please do not offer me another voucher", -2.5, "anger annoyance"),
    ("I respectfully decline to be put on hold again", -2.5, "anger annoyance"),
    ("I am quite certain that {person} meant well, but I need a solution", -2.2, "annoyance disapproval"),
    ("I would appreciate it if promises were kept in future", -2.5, "disappointment anger"),
    ("you will understand that I cannot recommend you", -2.8, "disapproval disappointment"),
    ("I regret to inform you that my patience has come to an end", -3.0, "anger disappointment"),
    ("I have remained calm until now and should like it to stay that way", -2.8, "anger"),
    ("it would be courteous to return at least one of my calls", -2.5, "anger annoyance"),
    ("I look forward to learning who is responsible for this", -2.8, "anger disapproval"),
    ("I find it remarkable that nobody felt obliged to apologise", -2.8, "anger disapproval"),
    ("kindly explain to me how a new car can be in the workshop five times", -2.8, "anger disapproval"),
    ("I ask you once more, in all friendliness, to correct the bill", -2.3, "anger annoyance"),
    ("I had hoped we could settle this among adults", -2.5, "disappointment anger"),
    ("I wish to put on record that I was told the opposite", -2.5, "anger disapproval"),
    ("I would rather not write a third time", -2.3, "anger annoyance"),
    ("please be so good as to forward this to your manager", -2.3, "anger disapproval"),
    ("I shall expect my money on {day}, not a day later", -3.0, "anger"),
]

# One of each is joined with "but": thanks that are meant, and a hurt that stays.
GRATEFUL: list[Clause] = [
    ("I am truly thankful for what {person} did for us", 2.2, "gratitude"),
    ("thank you for taking the car back", 1.8, "gratitude relief"),
    ("you did help in the end and I will not forget that", 2.0, "gratitude relief"),
    ("the apology meant a lot to me", 1.8, "gratitude"),
    ("I appreciate the loan car, really", 1.6, "gratitude"),
    ("it was kind of {person} to stay late for me", 2.2, "gratitude caring"),
    ("thanks for the flowers", 1.6, "gratitude joy"),
    ("thank you for paying the repair", 1.8, "gratitude relief"),
    ("you have looked after my family's cars for twenty years and I am grateful", 2.2, "gratitude"),
    ("I know how hard your people tried and I thank every one of them", 2.0, "gratitude caring"),
    ("the mechanic was a gem and I thanked him twice", 2.2, "gratitude admiration"),
    ("I am glad somebody finally listened", 1.6, "gratitude relief"),
    ("thanks for the honest explanation", 1.6, "gratitude"),
    ("your call on {day} did me good", 1.6, "gratitude caring"),
    ("the money came back quickly, thank you", 1.8, "gratitude relief"),
]
HURT: list[Clause] = [
    ("it still hurts that nobody believed me at first", -2.0, "sadness disappointment"),
    ("I cried in the car park that day and I have not got over it", -2.6, "sadness grief"),
    ("being laughed at in the showroom stays with me", -2.4, "sadness embarrassment"),
    ("I felt very small at your desk", -2.2, "sadness embarrassment"),
    ("the holiday we had saved for is gone", -2.4, "sadness grief"),
    ("after all these years I had not thought you would doubt my word", -2.2, "sadness disappointment"),
    ("I will not set foot in there again, it is still too raw", -2.2, "sadness disappointment"),
    ("my daughter was so frightened on that motorway", -2.6, "fear sadness"),
    ("I wish it had not needed tears", -2.2, "sadness"),
    ("something is broken between us that no voucher mends", -2.2, "sadness disappointment"),
    ("it should not have taken {weeks} weeks of begging", -2.0, "sadness disappointment"),
    ("I was left standing in the rain and I keep thinking of it", -2.0, "sadness disappointment"),
    ("nobody asked how I was after the breakdown", -2.0, "sadness disappointment"),
    ("I am still ashamed of how I had to plead", -2.4, "embarrassment sadness"),
    ("the trust is gone and that makes me sad", -2.2, "sadness disappointment"),
]

# For any topic: both at once, in one breath.
MIXED: list[Clause] = [
    ("I cannot decide whether to hug you or to shout at you", 0.0, "confusion amusement"),
    ("half of it was brilliant and the other half a mess", 0.0, "admiration disappointment"),
    ("lovely car, hopeless paperwork", -0.3, "joy annoyance"),
    ("great people, terrible processes", -0.3, "admiration annoyance"),
    ("some days I adore it and some days I could push it into the river", 0.0, "love anger"),
    ("worth the wait, though the wait was awful", 0.4, "joy disappointment"),
    ("good advice, bad coffee, worse parking", 0.0, "approval amusement annoyance"),
    ("I would buy it again and I would not tell you when", 0.3, "approval disappointment"),
    ("five stars for {person}, one for everything around", 0.0, "admiration disappointment"),
    ("my head says it was right and my stomach is not so sure", 0.0, "nervousness approval"),
    ("I love the car and dread the workshop", -0.2, "love fear"),
    ("ten out of ten for the showroom, two for the hotline", -0.2, "admiration annoyance"),
]
