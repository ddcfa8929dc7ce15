"""The pieces that feedback texts are made of, as data: clauses by topic, each with its intensity and emotions."""

# words without capital or full stop, intensity from -4 to 4, names of GoEmotions (doi:10.18653/v1/2020.acl-main.372)
Clause = tuple[str, float, str]
