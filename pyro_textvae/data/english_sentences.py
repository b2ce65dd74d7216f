# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""English sentences out of documentation strings: prose kept, code and markup dropped."""

import re
from collections.abc import Iterator

MIN_WORDS, MAX_WORDS = 4, 40

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]?[A-Z])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|cf|vs|viz|resp|approx|incl|no|fig)\.\s*$", re.I)
_BULLET = re.compile(r"^(?:[-*+•]|\(?\d{1,2}[.)]|\(?[a-z]\))\s+")
# A line that is not prose: doctests, prompts, fields, directives, signatures, tables, rules.
_NOT_PROSE = re.compile(
    r">>>|^\.\.\s|^\.\.\.|^:\w|^@|^[$%#>|+]|^[-=~^*_#.+ ]{3,}$|\s{3,}\S|\t|-->|->|::|==|\{\{|\|"
    r"|^\w+\([^)]*\)\s*(?:$|[-:=])|^\w+\s*[=:]\s*\S|^\w+\s+--?\s"
)
_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "`": "'", "…": "."})
_MARKUP = re.compile(r":\w+:(?=')|\*{1,2}(?=\w)|(?<=\w)\*{1,2}")
_QUOTED_WORD = re.compile(r"(?<!\w)(?:''|[\"'])([A-Za-z -]{,40})(?:''|[\"'])(?!\w)")
_IDENTIFIER = re.compile(r"(?<![\w.])_{0,2}[A-Za-z]+(?:[_.]+[A-Za-z]{2,})+_{0,2}(?![\w.]*\w)")
_CALL = re.compile(r"\b([A-Za-z]+)\(\)")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*(?:'[a-z]+)?|\d+(?:\.\d+)*|[.,;:!?()]")
_ALPHABETIC = re.compile(r"[a-z]+(?:-[a-z]+)*(?:'[a-z]+)?")
# Traces of code: no space after a full stop or before a bracket, single letters.
_LEFTOVER = re.compile(r"\w[.!?(]\w|[,;:]\w|[a-z] \.[a-z]|\. \.|(?<!')\b[b-hj-z]\b")
_CAMEL_CASE = re.compile(r" \w*[a-z][A-Z]\w*| [A-Z]{2,}[a-z]{2}\w*")

# A sentence of English has a good share of these; a row of names or options has not.
_FUNCTION_WORDS = frozenset(
    "a an the this that these those it its they them their he his she her we our you your i my"
    " is are was were be been being am do does did has have had can could will would shall should"
    " may might must not no nor and or but if then else so as than when while where which who whose"
    " what how why because since until unless although though whether of in on at by for from to"
    " with without within into onto upon over under about after before between against through"
    " during each every any all some both either neither such same other another only also too"
    " very more most less least there here one none nothing something anything everything".split()
)
# A sentence that seems to end in one of these has lost its end to the removal of markup.
_NEVER_LAST = frozenset("a an the of from and or with by my its your their is are".split())
_MIN_FUNCTION_SHARE = 0.22


def paragraphs(docstring: str) -> Iterator[str]:
    """Yield the prose paragraphs of a cleaned docstring, wrapped lines joined.

    A blank line, a bullet, a change to deeper indentation or a line that is not prose ends one.
    """
    lines: list[str] = []
    indent = 0
    for line in [*docstring.splitlines(), ""]:
        stripped = line.strip()
        depth = len(line) - len(line.lstrip())
        bullet = _BULLET.match(stripped)
        if not stripped or bullet or depth != indent or _NOT_PROSE.search(stripped):
            if lines:
                yield " ".join(lines)
            lines = []
        if stripped and not _NOT_PROSE.search(stripped):
            lines.append(stripped[bullet.end() :] if bullet else stripped)
            indent = depth + (bullet.end() if bullet else 0)


def sentences(paragraph: str) -> Iterator[str]:
    """Yield the sentences of a paragraph: split after a full stop, ``!`` or ``?`` before a capital.

    >>> list(sentences("Reads a file, e.g. Makefile. Returns its text."))
    ['Reads a file, e.g. Makefile.', 'Returns its text.']
    """
    pending = ""
    for piece in _SENTENCE_END.split(paragraph):
        pending = f"{pending} {piece}" if pending else piece
        if not _ABBREVIATION.search(pending):
            yield pending
            pending = ""
    if pending:
        yield pending


def _identifier_words(match: re.Match[str]) -> str:
    return " ".join(re.findall(r"[A-Za-z]+", match[0]))


def tokenised(sentence: str) -> str | None:
    """The sentence lower-cased with punctuation set apart, or None where it is not English.

    Accepted: a capital at the start or a full stop at the end, 4 to 40 words, no symbols, at most
    two camel-case names, and a share of function words that only running text has. Names such as
    ``sys.path_hooks`` are read as their words.

    >>> tokenised("Return the items of sys.path_hooks, if any.")
    'return the items of sys path hooks , if any .'
    >>> tokenised("x = foo(y) is the result of the call.") is None
    True
    """
    text = _MARKUP.sub("", sentence.translate(_QUOTES).strip())
    text = _IDENTIFIER.sub(_identifier_words, text)
    text = _CALL.sub(r"\1", _QUOTED_WORD.sub(r"\1", text))
    text = _QUOTED_WORD.sub(r"\1", text)
    if not text[:1].isalpha() or text[-1] not in ".!?":
        if not text[:1].isupper() or not text[-1].isalpha():
            return None
        text += "."
    if len(_CAMEL_CASE.findall(text)) > 2:
        return None
    text = re.sub(r"\b(e\.g|i\.e)\.", lambda match: match[1].replace(".", ""), text)
    text = re.sub(r"\betc\.", "etc", text) if not text.endswith("etc.") else text
    lowered = re.sub(r"\s*--\s*", " , ", text.lower())
    tokens = _WORD.findall(lowered)
    if "".join(tokens) != re.sub(r"\s+", "", lowered):
        return None
    words = [token for token in tokens if _ALPHABETIC.fullmatch(token)]
    numbers = sum(token[0].isdigit() for token in tokens)
    punctuation = len(tokens) - len(words) - numbers
    if not MIN_WORDS <= len(words) <= MAX_WORDS or numbers > 2 or 3 * punctuation > len(words) + 3:
        return None
    if _LEFTOVER.search(lowered):
        return None
    if tokens[-1] not in ".!?" or tokens[-2] in _NEVER_LAST:
        return None
    if tokens.count("(") != tokens.count(")"):
        return None
    if sum(word in _FUNCTION_WORDS for word in words) < _MIN_FUNCTION_SHARE * len(words):
        return None
    return " ".join(tokens)
