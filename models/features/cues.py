"""What the words of a text alone give away, without any model: patterns that often fool one, and cries for help.

A cue says "look here", never "this is how they feel": it is a short list of English phrases, chosen so that it rarely
fires on ordinary reviews, and it misses whatever is said in other words. Language comes from py3langid, offline.
"""

import re
from functools import lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from models.features.text import normalise


def _any_of(*phrases: str) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(phrases) + r")", re.IGNORECASE)


_BAD = (
    r"(?:disappoint|regret|complain|let (?:me|us) down|fault\b|(?:a )?bad (?:thing|word|experience)|"
    r"(?:an? )?(?:single )?(?:issue|problem|complaint)s?\b)"
)
_NEGATED_PRAISE = _any_of(
    # "never once have we been disappointed", "not a single complaint", "I cannot fault it", "nothing to complain about"
    rf"(?:never|not|no|nothing|hardly|without|zero|can'?t|cannot|couldn'?t|could not|didn'?t|haven'?t|hasn'?t|"
    rf"don'?t|won'?t)\b(?:[\s,]+[\w']+){{0,5}}?[\s,]+{_BAD}",
    r"(?:could not|couldn'?t) (?:be|have been|ask for|have asked for) (?:any ?)?(?:happier|better|more|nicer|easier)",
)

_SARCASM = _any_of(
    r"yeah,? right\b",
    r"(?:oh,? |just |how |well,? ){1,3}(?:great|brilliant|wonderful|fantastic|perfect|lovely|marvell?ous)[,.!]+ "
    r"(?:another|now|so|yet)\b",
    r"just what (?:i|we) (?:always )?(?:needed|wanted)[,.!:]+ (?:another|more|yet)\b",
    r"thanks for nothing\b",
    r"what a (?:surprise|shock|treat)[,.!]",
    r"(?:slow|round of) (?:clap|applause)\b",
    r"(?:clearly|obviously|apparently) (?:i|we|my|our) (?:expected|asked for|time|was|were) (?:too much|is|are|worth)",
    r"as if (?:anyone|anybody|you) (?:would|could|cared?)\b",
    r"(?:great|good|nice|bravo|brilliant|top) (?:job|work|marks)[,!.]* (?:on|for|at) "
    r"(?:ruining|losing|breaking|ignoring|wasting)",
    r"(?:so|very) (?:helpful|kind|quick) (?:of (?:you|them) )?to (?:ignore|lose|break|forget|cancel|keep us waiting)",
)
_SARCASM_MARK = re.compile(r"(?:^|\s)/s\s*$", re.IGNORECASE)

_RESIGNATION = _any_of(
    r"(?:i|we) (?:have |'ve |just )*g(?:i|a)ven? up\b",
    r"what(?:'s| is) the (?:point|use)\b",
    r"(?:there is |there's )?(?:no|little) (?:point|use) in\b",
    r"(?:it|that) is what it is\b",
    r"(?:same|as) (?:as )?(?:always|usual|ever)\s*[.,!]*\s*$",
    r"what (?:did|else did|else can|else could) (?:i|we) expect\b",
    r"(?:i|we)(?:'ve| have)? (?:stopped|quit|no longer) (?:expect|hop|ask|bother|car|car)\w*",
    r"not that (?:it|anyone|anybody|anything) (?:matters|cares|will change|listens)",
    r"(?:i|we) (?:suppose|guess) (?:that'?s|this is|it'?s) (?:just )?(?:how|the way|all|what)\b",
    r"nothing (?:ever|will ever|is going to) chang\w+",
)

_POLITE = _any_of(
    r"(?:with )?(?:all )?(?:due )?respect(?:fully)?\b",
    r"(?:would|should) (?:you )?kindly\b",
    r"kindly (?:explain|refund|note|respond|reply|arrange|confirm)\b",
    r"(?:i|we) (?:would|'d|should) (?:be (?:very |most )?grateful|appreciate|like to know|ask you|expect)\b",
    r"(?:i|we) (?:must|have to|am afraid i must|regret to) (?:say|insist|point out|inform|admit)\b",
    r"please (?:be advised|explain|let me know (?:why|when|how)|do (?:explain|tell))\b",
    r"dear (?:sir|madam|team|customer)",
)
_GRIEVANCE = _any_of(
    r"unacceptable\b",
    r"(?:third|fourth|fifth|sixth) (?:time|call|email|letter|attempt|visit)\b",
    r"still (?:waiting|no (?:reply|answer|refund)|not (?:been )?(?:fixed|resolved|refunded|received))",
    r"(?:dis|un)satisf\w+|disappoint\w+|dismay\w+|appall\w+|inexcusabl\w+|disgrace\w*",
    r"(?:no one|nobody) (?:has )?(?:replied|called|answered|bothered|returned)",
    r"refund\b|(?:formal )?complaint\b|(?:ignored|misled|overcharged)\b",
)

_URGENT = _any_of(
    # Self-harm.
    r"(?:kill|hurt|harm)(?:ing)? my ?self\b|suicid\w+|self[- ]harm\w*",
    r"(?:end|take|ending|taking) my (?:own )?life\b|want(?:ed)? to die\b|(?:don'?t|do not) want to (?:live|be alive)\b",
    # Threats.
    r"(?:i|we)(?:'ll| will|'m going to| am going to|'m gonna) "
    r"(?:kill|shoot|stab|hurt|come after|burn|smash|bomb) (?:you|him|her|them|your|this|that|the)\b",
    r"bomb threat\b|burn (?:your|this|the) \w+ down\b|you(?:'ll| will) (?:pay for this|regret this|be sorry)\b",
    r"death threats?\b|threaten(?:ed|ing)? (?:me|us|to (?:kill|hurt|harm))\b",
    # The law.
    r"(?:my|our|a|the) (?:lawyer|attorney|solicitor)s?\b|law ?suits?\b|legal action\b",
    r"(?:small claims|take (?:you|them) to) court\b|(?:will|to|gonna|shall|i'll|we'll) sue\b|suing\b",
    r"trading standards\b|ombudsman\b",
    r"(?:call(?:ed|ing)?|report(?:ed|ing)? (?:you |this |it )?to|contact(?:ed|ing)?) the police\b",
    # Safety.
    r"(?:brakes?|airbags?|steering|seat ?belts?) (?:\w+ ){0,2}?(?:fail\w*|stopped working|gave out|locked up)",
    r"(?:brakes?|airbags?|seat ?belts?) (?:\w+ ){0,2}?did(?:n'?t| not) (?:work|deploy|open)\b",
    r"(?:caught|catches|catching) fire\b|burst into flames\b|gas leak\b|carbon monoxide\b",
    r"electric shock\b|electrocuted\b|food poisoning\b|allergic reaction\b",
    r"(?:was|were|been|got|is|are|badly|seriously) (?:injured|burn(?:ed|t) (?:by|from))\b",
    r"(?:ended up in|taken to|rushed to|went to|in) (?:the )?(?:hospital|emergency room|a & ?e)\b",
    r"(?:not|isn'?t|is not|no longer) safe to (?:drive|use|ride|eat)\b",
    r"(?:is|are|was|were) (?:a )?(?:safety hazard|death ?trap)\b",
    r"nearly (?:died|killed)\b|almost (?:died|killed (?:me|us))\b",
    r"someone (?:could|will|is going to) (?:die|get (?:hurt|killed))\b",
)

_PATTERNS = {"sarcasm_cue": _SARCASM, "resignation": _RESIGNATION, "negated_praise": _NEGATED_PRAISE, "urgent": _URGENT}


def lexical_cues(text: str) -> frozenset[str]:
    """Codes of the cues found in an English text: sarcasm_cue, resignation, polite_anger, negated_praise, urgent.

    >>> sorted(lexical_cues("Never once have we been disappointed."))
    ['negated_praise']
    >>> sorted(lexical_cues("The brakes failed twice. My lawyer will write to you."))
    ['urgent']
    >>> lexical_cues("A lovely car and a friendly dealer.")
    frozenset()
    """
    plain = normalise(text).text.replace("’", "'")
    found = {code for code, pattern in _PATTERNS.items() if pattern.search(plain)}
    if _SARCASM_MARK.search(plain):
        found.add("sarcasm_cue")
    if _POLITE.search(plain) and _GRIEVANCE.search(plain):
        found.add("polite_anger")
    return frozenset(found)


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    # Half a second and 30 MB: read when the first text asks, not at import. It goes through a temporary file.
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def get_ready() -> None:
    """Read now what the first text would wait for. Raises OSError where there is no room for a temporary file."""
    _identifier()


def language(text: str) -> tuple[str, float]:
    """The most likely language of a text (ISO 639 code) and its probability, which is low for very short texts.

    >>> language("Das Auto ist sehr schön und ich bin zufrieden.")[0]
    'de'
    """
    code, probability = _identifier().classify(normalise(text).text)
    return str(code), float(probability)
