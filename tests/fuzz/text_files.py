# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Text that is none: odd encodings, lines, tables and folders, to be trained on or evaluated."""

import gzip
import json
import os
from random import Random

from tests.fuzz.flags import EXPECTS
from tests.fuzz.odd_values import odd_text, odd_value
from tests.fuzz.scene import SIZES, Case, Scene, sentences

_BYTES = {
    "latin-1": b"caf\xe9 na\xefve\n",
    "a byte order mark": b"\xef\xbb\xbfthe cat sat\n",
    "NUL": b"the\0cat sat\n",
    "half a surrogate pair": b"the \xed\xa0\x80 cat\n",
    "an overlong form": b"the \xc0\xaf cat\n",
    "a cut character": b"the cat \xe2\x82\n",
    "beyond Unicode": b"the \xf5\x90\x80\x80 cat\n",
    "control characters": bytes(range(1, 32)) + b" cat\n",
    "CR alone": b"the cat sat\rthe dog ran\r",
    "CR LF": b"the cat sat\r\nthe dog ran\r\n",
    "other line ends": "the cat\u2028sat\x85the dog\x0b\x0cran\n".encode(),
    "spaces of Unicode": "the\u00a0cat\u3000sat\u200bdown\ufeff\n".encode(),
    "marks on marks": ("e" + "\u0301" * 3000 + " cat\n").encode(),
    "right to left": "\u202eeht tac\u202c \u05d0\u05d1\n".encode(),
    "emoji": "the \U0001f468\u200d\U0001f469\u200d\U0001f467 sat\n".encode(),
    "noncharacters": "the \ufffe\uffff\U0010ffff cat\n".encode(),
    "special tokens": b"<pad> <bos> <eos> <unk> the <eos>\n",
    "one long word": b"w" * 300_000 + b"\n",
    "a long line": b"the cat " * 30_000 + b"\n",
    "no line end": b"the cat sat",
    "blank lines": b"\n \n\t\n" * 20,
    "quotes": b'"the ""cat"" sat\n\'\n',
    "backslashes": b"the \\ cat \\n sat \\x00\n",
    "one letter": b"a\n",
}


def make(scene: Scene) -> Case:
    """A corpus with something odd in it, trained on or evaluated."""
    random = scene.random
    form = random.choice([_plain, _plain, _table, _objects, _odd_place])
    words, data, flags = form(scene)
    if random.random() < 0.4:
        flags += random.choice(
            [
                *(["--max-length", "4"], ["--max-length", "5", "--truncate"], ["--min-count", "3"]),
                *(
                    ["--vocab-size", "1"],
                    ["--vocab-size", "5"],
                    ["--text-column", odd_text(random)],
                ),
                *(["--num-sentences", "5"], ["--batch-tokens", "3"], ["--batch-size", "1000"]),
            ]
        )
    words = f"{words} {flags}"[:300]
    if scene.odds(0.3):
        scene.copy("run")
        flags = [each for each in flags if each.startswith(("--text", "--lab", "--source"))]
        arguments = ["evaluate", "run", "--data", data, "--num-samples", "10", "--report", "false"]
        arguments += [f"{flags[0]}=text"] if flags else []
        command = "evaluate"
    else:
        tokenizer = random.choice(["word", "word", "nltk", "character", "bpe"])
        arguments = ["train", "--data", data, *SIZES, "--out", "new", "--tokenizer", tokenizer]
        command, arguments = "train", [*arguments, *flags]
    may_write = ("new", "new/*", "run/evaluation*")
    return Case(words, arguments, expects=EXPECTS[command], may_write=may_write)


def _plain(scene: Scene) -> tuple[str, str, list[str]]:
    """Lines of which some are odd, in one file or in one split of three."""
    random = scene.random
    lines = [f"{line}\n".encode() for line in sentences(random.choice([1, 2, 3, 20, 48]))]
    names = random.sample([*_BYTES], random.choice([1, 1, 2, 4]))
    for name in names:
        lines.insert(random.randrange(len(lines) + 1), _BYTES[name])
    content, words = b"".join(lines), ", ".join(names)
    if scene.odds(0.2):
        content, more = _spoil(random, content)
        words = f"{words}; {more}"
    return (words, *_placed(scene, content, ".txt"))


def _spoil(random: Random, content: bytes) -> tuple[bytes, str]:
    text = content.decode("utf-8", "replace")
    return random.choice(
        [
            (b"", "empty"),
            (b" \n" * 50, "blank"),
            (content[: random.randrange(1, 40)], "cut"),
            (text.encode("utf-16"), "UTF-16"),
            (text.encode("utf-32"), "UTF-32"),
            (text.encode("utf-7"), "UTF-7"),
            (gzip.compress(content, mtime=0), "compressed"),
            (random.randbytes(3000), "random bytes"),
            (b"the cat sat\n" * 200, "one sentence again and again"),
            (content.replace(b"\n", b"\r"), "CR in place of LF"),
            (content.replace(b" ", b"\t"), "tabs in place of spaces"),
        ]
    )


def _placed(scene: Scene, content: bytes, suffix: str) -> tuple[str, list[str]]:
    """The content as one file or as a split of a folder; its name, and no flags."""
    if scene.odds(0.5):
        return str(scene.write(f"text{suffix}", content).relative_to(scene.work)), []
    folder = scene.copy("toy")
    split = scene.random.choice(["train", "valid", "test"])
    (folder / f"{split}.txt").unlink()
    scene.write(f"toy/{split}{suffix}", content)
    return "toy", []


def _table(scene: Scene) -> tuple[str, str, list[str]]:
    """A table whose header, rows or cells are odd."""
    random = scene.random
    header = random.choice(
        [
            *(["text"], ["text", "label"], ["label", "text", "source"], ["sentence", "text"]),
            *(
                ["text", "text"],
                ["Text"],
                ["", ""],
                ["label", "review"],
                [odd_text(random), "text"],
            ),
        ]
    )
    rows = [[random.choice([line, line, line[:7]]) for _ in header] for line in sentences(30)]
    for _ in range(random.choice([0, 1, 3])):
        row = random.choice(rows)
        change = random.randrange(4)
        if change == 0:
            row.append(odd_text(random))
        elif change == 1 and len(row) > 1:
            row.pop()
        else:
            row[0] = random.choice(["", " ", '"a ""b"" c"', odd_text(random).replace("\n", " ")])
    if scene.odds(0.1):
        rows.clear()
    text = "".join("\t".join(row) + "\n" for row in [header, *rows])
    data, flags = _placed(scene, text.encode("utf-8", "surrogateescape"), ".tsv")
    for flag in ("--text-column", "--label-column", "--source-column"):
        if scene.odds(0.3):
            flags.append(f"{flag}={random.choice([*header, 'text', 'column_0', odd_text(random)])}")
    return f"a table of {header}", data, flags


def _objects(scene: Scene) -> tuple[str, str, list[str]]:
    """JSON lines of which one or all are odd."""
    random = scene.random
    key = random.choice(["text", "sentence", "text", "review", ""])
    rows = [json.dumps({key: line, "label": place % 2}) for place, line in enumerate(sentences(30))]
    odd = random.choice(
        [
            *("[]", "3", "null", '"text"', "{", "{}", "{'text': 'a'}", "[" * 100_000, "NaN"),
            *('{"a":' * 3000 + "1" + "}" * 3000, f'{{"text": {"9" * 5000}}}', '{"text": NaN}'),
            *(f'{{"text": "the cat", "label": {"9" * 5000}}}', '{"text": "a", "text": "b"}'),
            *('{"text": "\\ud800"}', '{"text": "a\\u0000b"}', '{"text": "a\\nb"}', '{"text": ""}'),
            *('{"text": null}', '{"text": ["a"]}', '{"text": "a"} x', '\ufeff{"text": "a"}'),
            json.dumps({"text": odd_value(random)}),
            json.dumps({"text": "the cat", "label": odd_value(random)}),
            json.dumps({odd_text(random): odd_text(random)}),
        ]
    )
    rows.insert(random.randrange(len(rows) + 1), odd)
    if scene.odds(0.2):
        rows = [odd] * 5
    content = "\n".join(rows).encode("utf-8", "surrogateescape")
    data, flags = _placed(scene, content, ".jsonl")
    if scene.odds(0.4):
        flags.append(f"--label-column={random.choice(['label', 'text', odd_text(random)])}")
    return f"the object {odd[:60]!a}", data, flags


def _odd_place(scene: Scene) -> tuple[str, str, list[str]]:
    """A path that is no file of text."""
    random = scene.random
    folder = scene.copy("toy")
    kinds = [
        "folder",
        "link in a circle",
        "link to nothing",
        "pipe",
        "device",
        "two",
        "none",
        "name",
    ]
    kind = random.choice(kinds)
    name = random.choice(["text.txt", "toy/train.txt", "toy/test.txt"])
    path = scene.work / name
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "link in a circle":
        path.symlink_to(path)
    elif kind == "link to nothing":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to(random.choice(["/dev/zero", "/dev/null", "/dev/full", "/proc/self/mem"]))
    elif kind == "two":
        scene.write(
            f"toy/{random.choice(['train.tsv', 'dev.txt', 'val.jsonl', 'x.test.txt'])}", b"a\n"
        )
        name = "toy/train.txt"
        scene.write(name, b"the cat sat\n")
    elif kind == "name":
        suffix = random.choice([".csv", ".TXT", "", ".txt.gz", ".json", ".text", ". txt"])
        name = str(scene.write(f"te xt'é{suffix}", b"the cat sat\n" * 9).relative_to(scene.work))
    data = name if not name.startswith("toy/") or scene.odds(0.3) else folder.name
    return f"{kind} {name}", data, []
