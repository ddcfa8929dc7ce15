"""What holds clauses together: openers, closers, joiners, and what fills the slots."""

OPENERS: dict[str, list[str]] = {
    "plain:positive": ["Hello,", "Hi team,", "Just wanted to say:", "Honestly,", "Wow,", "Good morning,", "Well done:",
                       "To be fair,", "What can I say,", "Thank you all,", "Credit where it is due:"],
    "plain:negative": ["Hello,", "Sorry, but", "Honestly,", "Unbelievable.", "Just so you know:", "Not happy.",
                       "Again:", "Listen,", "Very disappointing.", "For the record:", "I am fed up."],
    "plain:neutral": ["Hello,", "Hi,", "Good day,", "Quick question:", "Just checking:", "One more thing:", "FYI,",
                      "Good evening,", "To whom it may concern:"],
    "mixed": ["Hm.", "Where do I begin.", "To be fair,", "Mixed feelings.", "Long story short:", "Well,", "Hello,"],
    "ironic": ["Great,", "Bravo.", "Congratulations,", "Well done.", "Oh wonderful.", "Super.", "Fantastic,",
               "What a treat.", "Brilliant,", "Lucky me,", "Marvellous."],
    "resigned": ["Oh well.", "Whatever.", "Never mind.", "Yes, well.", "Sigh.", "Right.", "As always,", "Anyway,"],
    "grateful_but_hurt": ["Dear {person},", "Hello,", "This is hard to write.", "Dear team,", "First of all,",
                          "I have slept on it."],
    "politely_angry": ["Dear Sir or Madam,", "Dear team,", "With all due respect,", "Good morning,", "Dear {person},",
                       "To the management:", "With respect,"],
}  # fmt: skip

CLOSERS: dict[str, list[str]] = {
    "plain:positive": ["Thank you!", "Keep it up.", "Highly recommended.", "Five stars.",
                       "See you at the next service.",
                       "I would come back any time.", "Very happy.", "Greetings from {city}.", "Made my {day}."],
    "plain:negative": ["Never again.", "Please sort this out.", "I want my money back.", "Avoid.", "I expect a call.",
                       "This is not good enough.", "I am very disappointed.", "Somebody should look into this.",
                       "Greetings from {city}."],
    "plain:neutral": ["Thank you.", "Thanks in advance.", "Best regards", "Please let me know.", "No rush.",
                      "Greetings from {city}.", "That is all."],
    "mixed": ["Make of that what you will.", "So three stars it is.", "I am torn.", "We shall see.",
              "There is room for better.", "Still not sure what to think."],
    "ironic": ["Truly premium.", "Keep it up.", "Ten out of ten.", "Can't wait for the next time.", "My compliments.",
               "I will tell all my friends.", "Thanks for nothing.", "A real experience.", "Loving it."],
    "resigned": ["Anyway.", "Whatever.", "That is all.", "I leave it at that.", "No more from me.", "Goodbye."],
    "grateful_but_hurt": ["I wanted you to know.", "I hope you understand.", "With mixed feelings, yours.",
                          "Take care.",
                          "Please be kinder to the next one."],
    "politely_angry": ["Yours sincerely", "Kind regards", "I thank you in advance for your prompt attention.",
                       "With kind regards, still waiting.",
                       "Thank you for your understanding, as I have run out of mine.",
                       "I remain, with regards."],
}  # fmt: skip

AND: list[str] = [", and ", ". Also, ", ". ", "; ", ", plus ", ". On top of that, ", ". And ", " and "]
BUT: list[str] = [", but ", ". But ", ", yet ", ". On the other hand, ", ". Then again, ", ", though ", ". Even so, ",
                  ". Still, "]  # fmt: skip
# good news first
SHAME: list[str] = [". Shame that ", ". A pity that ", ". If only it were not true that ", ", it is just that "]

TERSE: dict[str, list[tuple[str, float, str]]] = {  # the whole of what some people say
    "positive": [("love it so much", 2.5, "love"), ("all good, thanks", 1.5, "approval gratitude"),
                 ("great car, great people", 2.5, "admiration"), ("very happy with everything", 2.5, "joy"),
                 ("best dealer in {city}", 2.5, "admiration"), ("thank you, {person}", 2.0, "gratitude"),
                 ("happy with the {car}", 2.0, "joy approval"), ("top, any time again", 2.5, "approval")],
    "negative": [("not good enough", -2.0, "disapproval"), ("waste of a {day}", -2.5, "annoyance disappointment"),
                 ("never again, {city}", -3.0, "anger"), ("the {car} is rubbish", -3.0, "anger disgust"),
                 ("still no answer", -2.0, "annoyance"), ("what a letdown", -2.5, "disappointment"),
                 ("absolutely useless hotline", -3.0, "anger"), ("do not buy the {car}", -3.0, "disapproval anger")],
    "neutral": [("is anybody there", 0.0, "curiosity"), ("it is fine", 0.2, "neutral"),
                ("nothing to add", 0.0, "neutral"),
                ("what about the {car}", 0.0, "curiosity"), ("see you on {day}", 0.0, "neutral"),
                ("average, I would say", 0.0, "neutral")],
}  # fmt: skip

SLOTS: dict[str, list[str]] = {
    "car": ["Meridian", "Meridian E", "Tarn", "Tarn Estate", "Kite", "Kite GT", "Solano", "Solano Cross", "Brook",
            "Aster"],
    "colour": ["red", "midnight blue", "white", "graphite", "sand", "forest green", "silver", "copper", "black"],
    "city": ["Leeds", "Graz", "Utrecht", "Lyon", "Porto", "Malmö", "Ghent", "Cork", "Turin", "Bern", "Kassel", "Brno"],
    "person": ["Ms Okafor", "Mr Lindqvist", "Jana", "Paul", "Mrs Haddad", "Tomasz", "Mr Ferreira", "Aoife",
               "Ines", "Dev"],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "weeks": ["two", "three", "four", "five", "six", "seven", "eight", "ten", "twelve"],
}  # fmt: skip

EMOJI: dict[str, list[str]] = {
    "positive": ["😊", "👍", "😍", "🙏", "🎉", "❤️"],
    "negative": ["😡", "👎", "😤", "🤦", "😞"],
    "neutral": ["🙂", "🤔"],
    "mixed": ["🤷", "😐", "🙃", "😅"],
    "ironic": ["🙃", "👏", "😂", "🎉", "👍"],
}

# What each touchpoint with words is about.
TOPICS: dict[str, tuple[str, ...]] = {
    "social.comment": ("car", "ar", "newsletter", "dealer", "configurator", "price", "app"),
    "chat.message": ("configurator", "price", "finance", "test_drive", "delivery", "app", "ar", "workshop", "refund"),
    "call.complaint": ("workshop", "delivery", "call_centre", "refund", "finance", "dealer", "car"),
    "survey.answer": ("dealer", "test_drive", "delivery", "workshop", "call_centre", "car", "app", "newsletter",
                      "finance"),
    "review.post": ("dealer", "test_drive", "delivery", "workshop", "car", "app", "price", "call_centre"),
}  # fmt: skip
