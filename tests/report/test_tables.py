# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest

from pyro_textvae.report import evaluation_table

RESULT = {
    "run": "runs/a",
    "data": "grammar",
    "split": "test",
    "num_sentences": 3761,
    "num_tokens": 82430,
    "num_left_out": 0,
    "num_cut": 0,
    "num_samples": 100,
    "proposal": "guide",
    "decoder_evaluations": 376_100,
    "median_ess": 41.25,
    "flagged_sentences": 1234,
    "doubling_increment": 0.0125,
    "remaining_bias": 0.02,
    "nll": 111.0168,
    "nll_standard_error": 0.0123,
    "nll_sampling_error": 0.9125,
    "elbo": 112.5,
    "reconstruction": 110.0,
    "kl": 2.5,
    "ppl": 158.432,
    "ppl_elbo": 169.6,
    "bits_per_word": 7.3078,
    "bits_per_character": None,
    "mutual_information": 1.25,
    "mutual_information_standard_error": 0.004,
    "mutual_information_upper": 1.5,
    "mutual_information_ceiling": 8.232,
    "aggregate_kl": 1.255,
    "aggregate_kl_standard_error": 0.01,
    "total_correlation": None,
    "active_units": 3,
    "borderline_units": [],
    "latent_dim": 32,
    "heavy_tail_share": 0.125,
    "warnings": [],
    "notes": [],
}


def rows(**changes):
    title, *lines = evaluation_table(RESULT | changes).splitlines()
    assert title == "runs/a on grammar, test split"
    named = [line.strip().split("  ", 1) for line in lines]
    return dict(row for row in named if len(row) == 2)


def test_every_number_has_its_unit_and_the_columns_line_up():
    table = {name: value.strip() for name, value in rows().items()}
    assert table["nll, K = 100"] == "111.017 +- 0.012 (Monte Carlo) nats per sentence"
    assert table["over sentences"] == "+- 0.912 (another test set)"
    assert table["draws"] == "from the guide proposal, 100 decoder evaluations a sentence"
    assert table["effective sample size"] == "median 41.2; 1,234 sentences rest on few draws"
    assert table["last doubling of K"] == "-0.013 nats, about 0.020 more to come"
    assert table["-elbo"] == (
        "112.500 nats per sentence (an upper bound of the nll, up to the error of the draws)"
    )
    assert table["perplexity"] == "158.43 (from the elbo 169.60)"
    assert table["mutual information"] == "1.250 +- 0.004 nats, cannot exceed ln N = 8.232"
    assert table["its upper bound"] == "1.500"
    assert table["kl of the aggregate"] == "1.255 +- 0.010"
    assert table["active units"] == "3 of 32"
    assert table["khat above 0.7"] == "12.5 % of sentences"
    assert "total correlation" not in table
    starts = {
        line.index(value.strip())
        for line, value in zip(
            evaluation_table(RESULT).splitlines()[1:], rows().values(), strict=True
        )
    }
    assert len(starts) == 1


def test_model_without_latents_is_said_to_be_exact():
    table = rows(latent_dim=0, mutual_information=None, heavy_tail_share=0.0)
    assert "exact: there is no latent" in table["nll"]
    assert not {"kl", "-elbo", "mutual information", "khat above 0.7"} & set(table)


@pytest.mark.parametrize(("khat", "shown"), [(None, "needs K >= 100"), (0.0, "0.0 %")])
def test_khat_is_left_open_for_few_draws(khat, shown):
    assert shown in rows(heavy_tail_share=khat)["khat above 0.7"]


def test_warnings_and_notes_stand_below_the_table_with_what_to_try():
    text = evaluation_table(RESULT | {"warnings": ["heavy tails"], "notes": ["autocast was on"]})
    *_, warning, hint, note = text.splitlines()
    assert warning == "  warning: heavy tails"
    assert hint == "  try: --proposal auto, or a larger --num-samples"
    assert note == "  note: autocast was on"
    assert "warning" not in evaluation_table(RESULT)


@pytest.mark.parametrize("proposal", ["auto", "annealed"])
def test_a_proposal_that_would_change_nothing_is_not_advised(proposal):
    text = evaluation_table(RESULT | {"warnings": ["heavy tails"], "proposal": proposal})
    assert text.splitlines()[-1] == "  try: a larger --num-samples"


def test_borderline_units_are_named():
    assert rows(borderline_units=[4, 17])["active units"].strip() == "3 of 32; borderline: 4, 17"


def test_units_are_counted_among_those_that_have_a_variance():
    known = {"active_units": 1, "latent_dim": 3, "unit_variance": [0.5, 0.0, None]}
    assert rows(**known)["active units"].strip() == "1 of 2"
    reason = "the prior of latent site 'z' differs between sentences"
    absent = {"active_units": None, "unit_variance": [None] * 3, "left_out": [reason]}
    assert rows(**known | absent)["active units"].strip() == "-"
    assert f"left out: {reason}" in evaluation_table(RESULT | known | absent)


CHECK = {
    "annealing": {
        "random": {"mean": 0.05, "standard_error": 0.01, "num_sentences": 50, "warns": True},
        "worst": {"mean": -0.5, "standard_error": 0.1, "num_sentences": 20}
        | {"warns": False, "annealing_falls_short": True},
    },
    "bidirectional": {"num_sentences": 24, "lower": -50.1, "upper": -50.0, "gap": 0.1}
    | {"gap_standard_error": 0.02},
    "gaps": {"amortisation_gap": 0.3, "amortisation_gap_standard_error": 0.05}
    | {"approximation_gap": 0.7},
    "left_out": ["no reason"],
}


def test_check_is_shown_with_what_it_warns_of():
    table = rows(check=CHECK)
    assert table["annealing, 50 at random"].strip() == "log p(x) +0.050 +- 0.010 above the nll's"
    assert "from -50.100 to -50.000, gap +0.100" in table["sandwich, 24 simulated"]
    assert table["amortisation gap"].strip() == "0.300 +- 0.050"
    assert table["approximation gap"].strip() == "0.700"
    text = evaluation_table(RESULT | {"check": CHECK})
    assert "warning: annealing finds the nll too high on the sentences at random" in text
    assert "warning: annealing was too short to check the sentences of the worst khat" in text
    assert "not checked: no reason" in text


def test_sentences_left_out_are_counted():
    assert "left out as too long" not in rows()
    assert rows(num_left_out=62)["left out as too long"].strip() == "62"


def test_what_is_not_known_is_a_dash():
    assert rows(mutual_information=None)["mutual information"].strip() == "-"


def test_raw_text_of_subword_models_is_counted_in_characters():
    assert rows(bits_per_character=1.5)["bits per character"].strip() == "1.500"


def test_bits_per_word_are_told_to_three_digits():
    assert rows(bits_per_word=6.25)["bits per word"].strip() == "6.250"


def test_other_estimates_of_the_nll_stand_beside_it_by_name():
    table = rows(nll_smoothed=110.9, nll_jackknife=110.875, nll_interval_low=110.5)
    assert table["nll, K = 100"].strip().startswith("111.017")
    assert table["Pareto-smoothed"].strip() == "110.900 by weights with a smoothed tail"
    assert table["jackknife"].strip() == "110.875 without its bias of order 1 / K"
    assert not {"Pareto-smoothed", "jackknife"} & set(rows())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"no_interval": "K is below 10"}, "- (K is below 10)"),
        ({}, "- (less than half of the sentences are settled)"),  # of an earlier version
    ],
)
def test_interval_that_is_not_there_says_why(changes, why):
    assert rows(**changes)["95 % interval"].strip() == why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"proposal": "annealed", "num_samples": 64}, "annealed populations have none"),
        ({"proposal": "auto", "num_samples": 300}, "all sentences were annealed"),
        ({"proposal": "auto", "num_samples": 99}, "needs K >= 100"),
    ],
)
def test_khat_that_is_not_there_says_why(changes, why):
    assert why in rows(heavy_tail_share=None, **changes)["khat above 0.7"]


def test_sandwich_of_the_text_says_which_sentences_are_not_closed():
    open_ones = [{"index": n, "lower": -9.0, "upper": -8.5, "why": f"why {n}"} for n in range(7)]
    sandwich = {"num_sentences": 70, "num_closed": 63, "closed": 0.1, "not_closed": open_ones}
    sandwich |= {"lower": -50.0625, "upper": -50.0, "gap": 0.0625, "gap_standard_error": 0.01}
    sandwich["num_outside"] = 2
    annealing = CHECK["annealing"] | {"sandwich": sandwich}
    changes = {"check": CHECK | {"annealing": annealing}}
    assert rows(**changes)["sandwich, 70 of the text"].strip() == (
        "63 within 0.1 nats, mean from -50.062 to -50.000 (the upper approximate); "
        "2 evaluated outside"
    )
    lines = evaluation_table(RESULT | changes).splitlines()
    assert [line for line in lines if "not closed" in line] == [
        *(f"  not closed: sentence {number}: why {number}" for number in range(5)),
        "  not closed: 2 more, which evaluation.json names",
    ]
    assert "of the text" not in evaluation_table(RESULT | {"check": CHECK})
