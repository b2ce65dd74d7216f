# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs compared by their evaluation files, which are made by hand here."""

import json
import math

import pytest
import torch

from pyro_textvae.evaluation import compare
from pyro_textvae.run_folder.evaluated_run import EvaluatedRun
from pyro_textvae.run_folder.sentence_table import write_sentence_table
from pyro_textvae.runs.compare import compare_runs

TOKENS = torch.arange(200) % 9 + 1
RESAMPLES = ["--num-resamples", "1000"]


def table_of(offset=0.0, seed=0, draws=100):
    """200 sentences whose nll is ``offset`` above what all runs share, give or take 0.5."""
    noise = torch.randn(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return {
        "num_tokens": TOKENS,
        "log_px": -(10.0 * TOKENS + offset + 0.5 * noise),
        "standard_error": torch.full((200,), 0.1, dtype=torch.float64),
        "num_samples": torch.full((200,), draws),
    }


def evaluated(folder, offset=0.0, seed=0, columns=None, table_id="e1", **changes):
    """A folder with the files of an evaluation, as ``evaluate`` leaves them."""
    columns = columns or table_of(offset, seed)
    nll = -columns["log_px"].mean().item()
    evaluation = {
        "evaluation_id": "e1",
        "run": str(folder),
        "model": "sentence_vae",
        "guide": "gaussian",
        "data": "toy",
        "split": "test",
        "units": "nats per sentence",
        "num_sentences": len(columns["log_px"]),
        "num_tokens": int(columns["num_tokens"].sum()),
        "nll": nll,
        "nll_standard_error": 0.01,
        "elbo": nll + 1.0,
        "kl": 3.0,
        "ppl": 70.0,
        "num_samples": 100,
        "proposal": "guide",
        "heavy_tail_share": 0.1,
        "exact": False,
        "warnings": [],
        "corpus_fingerprint": "f1",
        "seed": 0,
    }
    folder.mkdir()
    (folder / "evaluation.json").write_text(json.dumps(evaluation | changes))
    write_sentence_table(folder / "evaluation.sentences.jsonl", table_id, columns)
    return folder


@pytest.fixture
def make(tmp_path):
    """Make an evaluated folder of a name."""
    return lambda name, *given, **changes: evaluated(tmp_path / name, *given, **changes)


@pytest.fixture
def two(make):
    return [make("a"), make("b", offset=0.4, seed=1)]


def test_two_runs(succeeds, two):
    printed = succeeds("compare", *two, *RESAMPLES)
    assert printed.startswith("2 runs on toy, test split: 200 sentences, 993 tokens, nats per")
    (verdict,) = [line for line in printed.splitlines() if "is better by" in line]
    assert verdict.startswith(f"  {two[0]} and {two[1]}: {two[0]} is better by 0.3")
    assert "caution" not in printed


def test_the_share_of_unknown_tokens_is_a_column(succeeds, make):
    two = [make(name, unknown_token_share=0.0341) for name in "ab"]
    printed = succeeds("compare", *two, *RESAMPLES)
    heading, row = printed.splitlines()[1:3]
    assert heading[heading.index("unk %") :].startswith("unk %")
    assert row[: heading.index("unk %") + len("unk %")].endswith("  3.4")
    assert "caution" not in printed
    # An evaluation of an earlier version, which does not say.
    third = make("c")
    heading, *rows = succeeds("compare", *two, third, *RESAMPLES).splitlines()[1:5]
    assert rows[2][: heading.index("unk %") + len("unk %")].endswith("  -")


def test_runs_with_many_unknown_tokens_are_named(succeeds, make, tmp_path):
    many = [make(name, unknown_token_share=0.0512) for name in "ab"]
    out = tmp_path / "comparison.json"
    printed = succeeds("compare", *many, *RESAMPLES, "--out", out)
    assert f"caution: {many[0]}, {many[1]}: 5.1 % of the tokens are unknown" in printed
    assert [run["unknown_token_share"] for run in json.loads(out.read_text())["runs"]] == [
        0.0512
    ] * 2


def test_out_file_carries_what_a_paper_needs(succeeds, two, tmp_path):
    out = tmp_path / "comparison.json"
    assert f"written to {out}" in succeeds("compare", *two, *RESAMPLES, "--seed", 3, "--out", out)
    result = json.loads(out.read_text())
    assert result["units"] == "nats per sentence"
    assert (result["num_sentences"], result["num_tokens"]) == (200, 993)
    assert (result["split"], result["corpus_fingerprint"]) == ("test", "f1")
    assert [run["run"] for run in result["runs"]] == [str(run) for run in two]
    assert [run["num_samples_range"] for run in result["runs"]] == [[100, 100]] * 2
    assert [run["seed"] for run in result["runs"]] == [0, 0]
    assert (result["bootstrap"]["num_resamples"], result["bootstrap"]["seed"]) == (1000, 3)
    assert {"commit", "packages"} <= result["environment"].keys()
    assert result["best"] == str(two[0])
    runs = [EvaluatedRun("", {}, table_of()), EvaluatedRun("", {}, table_of(0.4, 1))]
    expected = compare(*runs, num_resamples=1000, seed=3)
    (pair,) = result["pairs"]
    assert pair["difference"] == expected.difference
    assert pair["interval"] == list(expected.interval)
    assert pair["share_better"] == expected.share_better
    assert pair["monte_carlo_error"] == pytest.approx(0.1 * math.sqrt(2 / 200))
    assert pair["better"] == str(two[0])


def test_three_runs_are_compared_in_all_pairs_and_four_with_the_first(make):
    runs = [make(str(number), seed=number) for number in range(4)]
    names = [str(run) for run in runs]

    def pairs(count):
        return [(p["a"], p["b"]) for p in compare_runs(runs[:count], num_resamples=1000)["pairs"]]

    assert pairs(3) == [(names[0], names[1]), (names[0], names[2]), (names[1], names[2])]
    assert pairs(4) == [(names[0], name) for name in names[1:]]


@pytest.mark.parametrize(
    ("offsets", "best"),
    [
        ([0.4, 0.4, 0.4, 0.0], 3),
        ([0.4, 0.0, 0.4, 0.0], None),
        ([0.0, 0.4, 0.4], 0),
        ([0.4, 0.4], None),
    ],
)
def test_best_excludes_a_tie_with_every_other_run(make, offsets, best):
    """Seeds 0 to 3 differ by their noise alone by less than two errors of 0.05, and 0.4 is 8."""
    runs = [make(str(number), offset, number) for number, offset in enumerate(offsets)]
    found = compare_runs(runs, num_resamples=1000)["best"]
    assert found == (None if best is None else str(runs[best]))


def test_runs_may_come_from_a_file(succeeds, two, tmp_path):
    path = tmp_path / "compare.yaml"
    path.write_text(json.dumps({"runs": [str(run) for run in two], "num_resamples": 1000}))
    assert succeeds("compare", "--config", path) == succeeds("compare", *two, *RESAMPLES)


def test_too_few_runs_or_one_twice(check_refused, two, tmp_path):
    check_refused(r"at least two runs, got 0: pyro-textvae compare RUN RUN", "compare")
    check_refused(r"at least two runs, got 1: pyro-textvae compare RUN RUN", "compare", two[0])
    link = tmp_path / "link"
    link.symlink_to(two[0])
    check_refused(r"link is given twice: give every run once", "compare", link, two[1], two[0])


def test_runs_not_evaluated(check_refused, two, run, tmp_path):
    check_refused(
        rf"run has not been evaluated: pyro-textvae evaluate {run}", "compare", two[0], run
    )
    check_refused(r"nowhere is not a run \(no such", "compare", two[0], tmp_path / "nowhere")
    (two[1] / "evaluation.sentences.jsonl").unlink()
    check_refused(r"b kept no numbers of single sentences: pyro-textvae evaluate", "compare", *two)


def test_evaluation_of_an_older_version(check_refused, two):
    path = two[1] / "evaluation.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({key: known[key] for key in known if key != "evaluation_id"}))
    check_refused(r"b kept no numbers of single sentences: pyro-textvae evaluate", "compare", *two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"units": "bits"},
            r"different units \(units: \S+a has 'nats .*b has 'bits'\): .* one ver",
        ),
        (
            {"corpus_fingerprint": "f2"},
            r"different text or .* tokenizers .*'f1'.*'f2'.* --data TEXT",
        ),
        (
            {"split": "valid"},
            r"different splits .*'valid'\): pyro-textvae evaluate \S+b --split test",
        ),
    ],
)
def test_runs_scored_on_something_else(check_refused, make, change, message):
    check_refused(message, "compare", make("a"), make("b", **change))


def test_fewer_sentences(check_refused, make):
    half = {name: column[:100] for name, column in table_of().items()}
    check_refused(
        r"numbers of sentences \(num_sentences: \S+a has 200, \S+b has 100\): evaluate both anew",
        *("compare", make("a"), make("b", columns=half)),
    )


def test_sentences_of_other_lengths(check_refused, make):
    changed = {**table_of(), "num_tokens": TOKENS.flip(0)}
    check_refused(
        r"compare a = \S+a with b = \S+b: sentence 0 has 1 tokens in a and 2 in b",
        *("compare", make("a"), make("b", columns=changed)),
    )
    more = {**table_of(), "num_tokens": TOKENS + 1}
    check_refused(
        r"numbers of tokens \(num_tokens: \S+c has 993, \S+d has 1193\)",
        *("compare", make("c"), make("d", columns=more)),
    )


def test_sentence_without_an_estimate(check_refused, make):
    columns = table_of()
    columns["log_px"][7] = -math.inf
    check_refused(
        r"with b = \S+b: sentence 7 has no finite log_px in b: leave the sentence out",
        *("compare", make("a"), make("b", columns=columns, nll=None)),
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ('{"nll": 3', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"evaluation_id": "e1"}', "it has no units"),
    ],
)
def test_evaluation_damaged(check_refused, two, content, reason):
    content = content if isinstance(content, bytes) else content.encode()
    (two[1] / "evaluation.json").write_bytes(content)
    check_refused(
        rf"b/evaluation\.json is damaged \({reason}\): pyro-textvae evaluate \S+b$",
        *("compare", *two),
    )


@pytest.mark.parametrize(("name", "value"), [("kl", "x"), ("exact", None), ("warnings", 3)])
def test_value_of_another_kind(check_refused, make, name, value):
    check_refused(
        rf"json is damaged \({name} is {value!r}\): pyro-textvae evaluate",
        *("compare", make("a"), make("b", **{name: value})),
    )


def test_sentences_damaged(check_refused, two):
    path = two[0] / "evaluation.sentences.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    check_refused(
        r"jsonl is damaged in line 201 .*: evaluate the run again, pyro-textvae evaluate \S+a$",
        *("compare", *two),
    )
    path.write_bytes(whole[: whole.rindex(b"\n", 0, -1)])
    check_refused(
        r"jsonl is damaged \(its num_sentences is 199, evaluation\.json has 200\)", "compare", *two
    )


def test_sentences_without_a_column(check_refused, make):
    columns = table_of()
    del columns["standard_error"]
    check_refused(
        r"damaged \(it has no column standard_error\)",
        "compare",
        make("a"),
        make("b", columns=columns),
    )
    columns = {**table_of(), "num_samples": torch.full((200,), math.nan)}
    check_refused(
        r"damaged \(num_samples is not a count throughout\)",
        *("compare", make("c"), make("d", columns=columns)),
    )


def test_sentences_of_another_evaluation(check_refused, make):
    check_refused(
        r"b/evaluation\.sentences\.jsonl belongs to another evaluation than \S+b/evaluation\.json: "
        r"pyro-textvae evaluate \S+b$",
        *("compare", make("a"), make("b", table_id="e2")),
    )


@pytest.mark.parametrize("name", ["evaluation.json", "evaluation.sentences.jsonl", "config.json"])
def test_out_on_a_file_of_a_run(check_refused, two, name):
    out = two[1] / name
    check_refused(r"is a file of the run itself: choose another", "compare", *two, "--out", out)


def test_out_where_nothing_can_be_written(check_refused, two, tmp_path):
    check_refused(r"no folder \S+none to write", "compare", *two, "--out", tmp_path / "none" / "c")
    check_refused(r"is a folder: give the name", "compare", *two, "--out", tmp_path)


def test_wrong_settings(check_refused, two):
    check_refused(
        r"num_resamples must be at least 1000, got 9", "compare", *two, "--num-resamples=9"
    )
    check_refused(r"seed must lie in", "compare", *two, "--seed", "-1")
    check_refused(r"no setting --splitt", "compare", *two, "--splitt", "test")


def test_tables_that_say_what_is_settled(succeeds, make, tmp_path):
    """Run b is better by its guide, and by the settled estimates within their bias not at all."""
    settled = torch.arange(200) % 4 != 0
    nothing = torch.full((200,), math.nan, dtype=torch.float64)
    tables = []
    for seed, by_guide in ((0, 1.0), (1, 0.0)):
        columns = table_of(seed=seed)
        columns |= {
            "settled": settled,
            "bias": torch.where(settled, 0.1, 0.5).double(),
            "log_px_by_guide": (columns["log_px"] - by_guide).where(settled, nothing),
        }
        tables.append(columns)
    slow = ["the nll still falls"]
    runs = [make(n, columns=t, warnings=slow) for n, t in zip("ab", tables, strict=True)]
    out = tmp_path / "comparison.json"
    printed = succeeds("compare", *runs, *RESAMPLES, "--out", out)
    assert "no difference can be told" in printed
    assert "    150 of 200 sentences are settled in both; the nll of" in printed
    assert "by 0.200 nats and that of" in printed
    assert "    by the guides' weights the ranking is another: +1.0" in printed
    assert "that bias, which the intervals hold as far as it is known" in printed
    (pair,) = json.loads(out.read_text())["pairs"]
    assert pair["num_settled"] == 150
    assert pair["biases"] == pytest.approx([0.2, 0.2])
    assert len(pair["remarks"]) == 2


def test_tables_of_before_say_nothing_of_it(two):
    result = compare_runs(two, num_resamples=1000)
    assert set(result["pairs"][0]) == {
        *("a", "b", "difference", "interval", "monte_carlo_error"),
        *("share_better", "better", "verdict"),
    }
    assert not any("bias_known" in run for run in result["runs"])


def test_a_bias_below_zero(check_refused, make):
    columns = table_of() | {"bias": torch.full((200,), -1.0, dtype=torch.float64)}
    runs = [make("a"), make("b", columns=columns)]
    check_refused(r"sentence 0 has a bias of -1\.0 in b, and it must", "compare", *runs)
