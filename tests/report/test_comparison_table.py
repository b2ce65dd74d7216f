# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest

from pyro_textvae.report import comparison_table

RUN = {
    "run": "runs/a",
    "data": "toy",
    "nll": 56.8061,
    "nll_standard_error": 0.0231,
    "elbo": 59.5678,
    "kl": 8.7581,
    "ppl": 77.234,
    "num_samples_range": [1000, 1000],
    "proposal": "guide",
    "heavy_tail_share": 0.25,
    "exact": False,
    "warnings": [],
}
OTHER = RUN | {"run": "runs/longer-name", "nll": 157.2}
PAIR = {
    "a": "runs/a",
    "b": "runs/longer-name",
    "difference": -0.4211,
    "interval": [-0.5301, -0.3099],
    "monte_carlo_error": 0.0154,
    "share_better": 0.631,
    "verdict": "runs/a is better by 0.42 nats per sentence [0.31, 0.53]",
}
RESULT = {
    "split": "test",
    "num_sentences": 3761,
    "num_tokens": 82430,
    "runs": [RUN, OTHER],
    "pairs": [PAIR],
    "best": None,
    "bootstrap": {"level": 0.95, "num_resamples": 10_000},
}


def lines(**changes):
    return comparison_table(RESULT | changes).splitlines()


def cautions(*runs, **changes):
    return [line for line in lines(runs=runs or [RUN, OTHER], **changes) if "caution" in line]


def test_every_number_is_there_under_its_heading():
    title, heading, first, second, *_ = lines()
    assert title == ("2 runs on toy, test split: 3,761 sentences, 82,430 tokens, nats per sentence")
    assert heading.split() == ["run", "nll", "-elbo", "kl", "ppl", "K", "proposal"]
    assert first.split() == (
        ["runs/a", "56.806", "+-", "0.023", "59.568", "8.758", "77.23", "1,000", "guide"]
    )
    ends = [line.index(nll) + len(nll) for line, nll in ((first, "56.806"), (second, "157.200"))]
    assert ends == [heading.index("nll") + 3] * 2
    for name in ("-elbo", "kl", "ppl", "K"):
        end = heading.index(f" {name} ") + len(name) + 1
        assert first[end] == second[end] == " "
        assert first[end - 1].isdigit()
        assert second[end - 1].isdigit()


def test_pair_has_its_interval_its_errors_and_the_verdict():
    heading, row = [line for line in lines() if "difference" in line or "[-" in line]
    assert heading.split("  ")[-1].strip() == "a better"
    assert row.split()[:2] == ["runs/a", "runs/longer-name"]
    assert " ".join(row.split()[2:]) == "-0.421 [-0.530, -0.310] +- 0.015 63.1 %"
    assert f"  runs/a and runs/longer-name: {PAIR['verdict']}" in lines()


def test_best_is_marked_only_where_there_is_one():
    assert not [line for line in lines() if "*" in line]
    marked = [line for line in lines(best="runs/longer-name") if "*" in line]
    assert marked[0].split()[0] == "runs/longer-name"
    assert marked[1:] == ["  * better than every other run by its interval"]


def test_run_without_a_latent_is_exact():
    exact = OTHER | {"exact": True, "heavy_tail_share": None, "num_samples_range": [1, 1]}
    (row,) = [line for line in lines(runs=[RUN, exact]) if line.startswith("  runs/longer-name  ")]
    assert row.split() == ["runs/longer-name", "157.200", "exact", "-", "-", "77.23", "-", "-"]
    assert not cautions(RUN, exact)


def test_draws_that_differ_between_sentences_are_a_range():
    varied = {"num_samples_range": [100, 6400]}
    assert "  100 to 6,400  guide" in "\n".join(lines(runs=[RUN | varied, OTHER | varied]))


def test_what_is_not_known_is_a_dash():
    (row,) = [line for line in lines(runs=[RUN | {"kl": None}, OTHER]) if "56.806" in line]
    assert row.split()[5] == "-"


def test_warnings_of_an_evaluation_are_said_to_bias_the_comparison():
    assert not cautions()
    (line,) = cautions(RUN, OTHER | {"warnings": ["heavy tails", "still falling"]})
    assert "runs/longer-name: heavy tails; still falling; what speaks against it may be" in line
    assert "no interval holds: raise --num-samples" in line


def test_too_few_draws_for_khat_are_said_so():
    (line,) = cautions(RUN | {"heavy_tail_share": None}, OTHER)
    assert "runs/a has too few draws" in line


@pytest.mark.parametrize("change", [{"num_samples_range": [9, 9]}, {"proposal": "adaptive"}])
def test_runs_scored_in_different_ways_are_said_to_be(change):
    (line,) = cautions(RUN, OTHER | change)
    assert "scored in different ways (runs/a by 1,000 draws, proposal guide; runs/longer-" in line
    assert "evaluate them alike" in line


def test_few_sentences_are_said_to_be_few():
    (line,) = cautions(num_sentences=29)
    assert "29 sentences are few" in line
    assert not cautions(num_sentences=30)
