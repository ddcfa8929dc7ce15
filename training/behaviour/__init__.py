"""The behaviour suite: what a reader of feelings must be able to do, by capability. Sentences in suite.toml, the pass
rate of each capability in suite.py (Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with
CheckList").
"""
