# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The synthetic language that comes with the library: a grammar written to be unambiguous.

Every sentence has one derivation, so its entropy is that of the derivation, in closed form. What
makes it so: a noun takes one modifier at most, and a place belongs to the verb alone; relative
clauses hold neither places nor joined verbs; only bare noun phrases are joined; clauses are joined
to the right, by words that join nothing else; no word stands in two classes. Nouns and adjectives
begin with consonants, so that ``a`` is always right.
"""

from collections.abc import Mapping

_STRUCTURE = """
S -> Clause [0.82] | Clause Conjunction S [0.18]
Clause -> Subject Predicate [0.88] | Opening Subject Predicate [0.12]
Subject -> Person [0.9] | BarePerson 'and' BarePerson [0.1]
Person -> BarePerson [0.8] | BarePerson 'from' Place [0.09] | BarePerson 'who' Action [0.11]
BarePerson -> Name [0.3] | One PersonNominal [0.5] | Several PersonNominals [0.2]
PersonNominal -> PersonNoun [0.72] | PersonAdjective PersonNominal [0.28]
PersonNominals -> PersonNouns [0.75] | PersonAdjective PersonNominals [0.25]
Predicate -> Action [0.34] | Manner Action [0.13] | Action Where [0.2] | Action When [0.1] |
Action 'and' Action [0.1] | Claim 'that' Clause [0.13]
Action -> Acts [0.22] | Handles Thing [0.4] | Meets Person [0.22] | Seems PersonAdjective [0.16]
Thing -> BareThing [0.74] | BareThing 'with' Thing [0.1] | BareThing 'and' BareThing [0.06] |
BareThing 'that' BarePerson Handles [0.1]
BareThing -> One ThingNominal [0.75] | Several ThingNominals [0.25]
ThingNominal -> ThingNoun [0.68] | ThingAdjective ThingNominal [0.32]
ThingNominals -> ThingNouns [0.72] | ThingAdjective ThingNominals [0.28]
Where -> Locative Place [1.0]
Place -> One PlaceNominal [1.0]
PlaceNominal -> PlaceNoun [0.75] | ThingAdjective PlaceNominal [0.25]
When -> Temporal 'the' Event [1.0]
Event -> EventNoun [0.8] | ThingAdjective Event [0.2]
"""

# Words of a class from frequent to rare.
_CLASSES = {
    "One": "the a this every another",
    "Several": "the two some many these three few several",
    "Name": "mary john anna peter clara david laura martin helen robert maria thomas julia daniel"
    " sophie marcus nina victor rosa felix",
    "PersonNoun": "man woman child teacher girl boy doctor farmer driver student singer baker"
    " sailor painter king queen lawyer nurse guard stranger neighbour poet writer soldier judge"
    " gardener waiter tailor butcher shepherd",
    "PersonNouns": "people children women men students teachers friends farmers sailors workers"
    " players singers neighbours tourists soldiers guests doctors strangers hunters dancers",
    "ThingNoun": "book letter box door table bottle picture lamp key chair bag coat hat knife"
    " ring map boat wheel basket clock mirror drum bell candle blanket ladder rope shirt spoon"
    " carpet pot cup kite violin bicycle",
    "ThingNouns": "books letters flowers apples stones boxes bottles pictures keys coins shoes"
    " chairs lamps tickets songs plates candles bricks cards toys pots ropes baskets feathers",
    "PlaceNoun": "house garden river village town school market forest station kitchen bridge"
    " hill church castle harbour shop field library park tower lake valley museum bakery",
    "EventNoun": "war storm meeting wedding lesson dinner party concert winter summer festival"
    " funeral match strike trial harvest",
    "PersonAdjective": "young clever poor kind tired famous rich lazy brave gentle proud silent"
    " lonely foolish hungry nervous cheerful patient wise lucky",
    "ThingAdjective": "small big new good red green black white strange beautiful heavy cheap"
    " broken dark warm cold dusty golden narrow quiet wooden yellow shiny forgotten",
    "Acts": "slept laughed waited smiled sang danced cried worked arrived vanished shouted"
    " travelled stumbled prayed whistled yawned hesitated listened rested trembled",
    "Handles": "found took bought carried sold made kept broke lost wanted opened painted hid"
    " dropped cleaned repaired borrowed stole collected burned admired washed described threw"
    " inspected noticed forgot polished",
    "Meets": "met helped followed called loved asked visited thanked married feared trusted"
    " watched hated greeted ignored warned invited teased blamed praised",
    "Seems": "seemed became looked felt stayed remained",
    "Claim": "said thought knew believed heard hoped claimed dreamed explained admitted",
    "Manner": "quickly slowly quietly often carefully suddenly never secretly finally happily"
    " rarely gladly angrily politely eagerly calmly",
    "Locative": "in near at behind beside outside inside by",
    "Temporal": "after before during until since",
    "Opening": "yesterday sometimes today later meanwhile perhaps again once",
    "Conjunction": "but while because although so when whenever unless though",
}


def shipped_grammar_text(factors: Mapping[str, float] | None = None) -> str:
    """The grammar in NLTK's notation; the r-th word of a class has weight 1 / (r + 2).

    :param factors: what the weights of some words are multiplied by.
    """
    factors = factors or {}
    lines = [_STRUCTURE.replace("|\n", "| ").strip()]
    for name, words in _CLASSES.items():
        listed = words.split()
        weights = [factors.get(word, 1.0) / (rank + 2) for rank, word in enumerate(listed, start=1)]
        total = sum(weights)
        choices = [
            f"'{word}' [{weight / total:.12f}]"
            for word, weight in zip(listed, weights, strict=True)
        ]
        lines.append(f"{name} -> " + " | ".join(choices))
    return "\n".join(lines)


def classes_of_words() -> dict[str, list[str]]:
    """The words of each class, from frequent to rare."""
    return {name: words.split() for name, words in _CLASSES.items()}
