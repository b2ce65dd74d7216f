# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the sections say: the numbers of the files, or why there are none."""

import pytest
import torch

from pyro_textvae.report.blocks import Note, Picture, RunTitle, Table
from pyro_textvae.report.sections.check import check
from pyro_textvae.report.sections.dimensions import dimensions
from pyro_textvae.report.sections.khat import khat, khat_counts
from pyro_textvae.report.sections.nll_by_draws import nll_by_draws
from pyro_textvae.report.sections.proposals import proposals
from pyro_textvae.report.sections.provenance import provenance
from pyro_textvae.report.sections.summary import summary
from pyro_textvae.report.sections.training import training
from tests.report.conftest import EPOCHS, EVALUATION

LANGUAGE_MODEL = EVALUATION | {"latent_dim": 0, "curve": [], "kl_per_dimension": None}
CHECK = {
    "annealing": {
        "random": {"mean": 0.3125, "standard_error": 0.02, "num_sentences": 3, "warns": True},
        "worst": {
            "mean": -0.25,
            "standard_error": 0.05,
            "num_sentences": 2,
            "warns": False,
            "annealing_falls_short": True,
        },
        "num_chains": 8,
        "seed": 4,
        "checked": [-20.0, -30.0, -25.0, -22.0, -21.0],
        "annealed": [-19.5, -29.5, -25.0, -22.25, -21.25],
        "annealed_error": [0.1, 0.2, 0.1, 0.1, None],
        "is_random": [True, True, True, False, False],
    },
    "gaps": {"inference_gap": 1.5, "amortisation_gap": 1.25, "approximation_gap": 0.25}
    | {"amortisation_gap_standard_error": 0.02, "num_sentences": 3},
    "left_out": ["no sphere"],
    "bidirectional": {
        "num_sentences": 24,
        "lower": -40.125,
        "lower_standard_error": 2.0,
        "upper": -40.0,
        "upper_standard_error": 2.5,
        "gap": 0.125,
        "gap_standard_error": 0.03,
    },
}


def of_kind(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def only(section, kind):
    (block,) = of_kind(section, kind)
    return block


def cells(section):
    (table, *_) = of_kind(section, Table)
    return {row[0]: row[1:] for row in table.rows}


def test_summary_has_the_numbers_of_the_file(record):
    section = summary([record()])
    table = cells(section)
    assert table["nll ± Monte Carlo error, nats per sentence"] == ("21.457 ± 0.032",)
    assert table["minus the evidence lower bound, nats per sentence"] == ("23.500",)
    assert table["perplexity per token"] == ("17.48",)
    assert table["mutual information, nats"] == ("2.513",)
    assert table["its ceiling, ln N, nats"] == ("3.689",)
    assert table["active units"] == ("2 of 4",)
    assert table["sentences with k-hat above 0.7"] == ("12.5 %",)
    assert table["gain of the last doubling of K, D_K, nats per sentence"] == ("0.0512",)
    assert table["proposal of the draws"] == ("guide",)
    assert "bits per character" not in table
    assert not of_kind(section, Note)


def test_summary_puts_runs_side_by_side(record):
    refined = {"proposal": "refined", "proposal_settings": {"steps": 30, "quasi_random": True}}
    other = EVALUATION | refined | {"nll": 20.25}
    section = summary([record(1, "a"), record(2, "b", evaluation=other)])
    (table,) = of_kind(section, Table)
    assert table.headings == ("test split of grammar", "1: a", "2: b")
    assert cells(section)["nll ± Monte Carlo error, nats per sentence"][1] == "20.250 ± 0.032"
    assert cells(section)["proposal of the draws"] == ("guide", "refined, steps 30, quasi random")


def test_likelihood_without_latents_is_exact(record):
    table = cells(summary([record(evaluation=LANGUAGE_MODEL)]))
    assert table["nll ± Monte Carlo error, nats per sentence"] == ("21.457 (exact)",)
    shown = ("draws", "evidence", "KL", "k-hat", "mutual", "bias")
    assert not [name for name in table for word in shown if word in name]


@pytest.mark.parametrize("share", [0.25, 0.26])
def test_every_warning_is_shown(record, share):
    given = EVALUATION | {"warnings": ["beware of <this>"]}
    assert [n.text for n in of_kind(summary([record(evaluation=given)]), Note)] == given["warnings"]
    old = {key: value for key, value in EVALUATION.items() if key != "warnings"}
    notes = of_kind(summary([record(evaluation=old | {"heavy_tail_share": share})]), Note)
    assert [note.tone for note in notes] == ["warning"] * (share > 0.25)


def test_curves_of_training_say_where_they_end(record):
    picture = only(training([record()]), Picture)
    assert picture.name == "training-curves.png"
    assert "ends after 3 epochs with a validation bound of 57.000 nats" in picture.alt
    assert "mutual information" in picture.alt


def test_training_without_mutual_information_says_so(record):
    old = [{k: v for k, v in row.items() if "mutual" not in k} for row in EPOCHS]
    section = training([record(1, "new"), record(2, "old", epochs=old)])
    assert "recorded in the training of old:" in only(section, Note).text
    assert of_kind(section, Picture)


def test_training_that_finished_no_epoch_has_no_curve(record):
    section = training([record(epochs=[])])
    assert only(section, Note).text == "run has finished no epoch, so it has no curve."
    assert not of_kind(section, Picture)


def test_curve_of_draws_has_the_numbers_of_the_file(record):
    section = nll_by_draws([record()])
    picture = only(section, Picture)
    assert "falls from 21.610 at K = 32 to 21.457 nats per sentence at K = 128" in picture.alt
    assert only(section, Table).rows == (
        ("32", "21.610", "0.010"),
        ("64", "21.508", "0.020"),
        ("128", "21.457", "0.032"),
    )


@pytest.mark.parametrize("known", [1, 2])
def test_curve_of_draws_bears_what_is_not_known(record, known):
    curve = [point | {"standard_error": None} for point in EVALUATION["curve"][:known]]
    unknown = dict.fromkeys(("doubling_ratio", "remaining_bias", "doubling_increment", "elbo"))
    section = nll_by_draws([record(evaluation=EVALUATION | unknown | {"curve": curve})])
    assert only(section, Table).rows[0][2] == "–"
    assert of_kind(section, Picture)


@pytest.mark.parametrize("section_of", [nll_by_draws, khat, dimensions, check])
def test_sections_of_the_latent_say_why_a_language_model_has_none(record, section_of):
    (note,) = section_of([record(evaluation=LANGUAGE_MODEL)]).blocks
    assert note.text.startswith("run has no latent, so there is no ")
    assert (note.tone, note.command) == ("missing", "")


@pytest.mark.parametrize("section_of", [nll_by_draws, khat, dimensions, check, summary])
def test_sections_say_which_command_evaluates(record, section_of):
    (note,) = section_of([record(evaluation=None)]).blocks
    assert note.command.startswith("pyro-textvae evaluate")


@pytest.mark.parametrize(
    ("section_of", "key", "said"),
    [
        (nll_by_draws, "curve", "holds no curve of the nll against K"),
        (dimensions, "kl_per_dimension", "holds no KL of single dimensions"),
        (check, "check", "was not checked"),
    ],
)
def test_older_evaluation_says_which_command_fills_the_gap(record, section_of, key, said):
    old = {name: value for name, value in EVALUATION.items() if name != key}
    (note,) = section_of([record(evaluation=old)]).blocks
    assert said in note.text
    assert note.command.startswith("pyro-textvae evaluate runs/run --num-samples 1000")


def test_several_runs_stand_under_their_names_and_numbers(record):
    section = khat([record(1, "a"), record(2, "b")])
    assert [title.text for title in of_kind(section, RunTitle)] == ["1: a", "2: b"]
    assert [picture.name for picture in of_kind(section, Picture)] == [
        "khat-1-a.png",
        "khat-2-b.png",
    ]


def test_shares_of_khat_end_at_the_thresholds(record, sentences):
    values = torch.tensor([0.5, 0.7, 0.7000001, 3.0], dtype=torch.float64)
    picture = only(khat([record(sentences=sentences | {"khat": values})]), Picture)
    assert "up to 0.5: 25.0 %; 0.5 to 0.7: 25.0 %; above 0.7: 50.0 %" in picture.alt


def test_bars_of_khat_hold_every_sentence():
    values = torch.tensor([-9.0, -1.0, 0.7, 0.7000001, 0.75, 2.0, 9.0], dtype=torch.float64)
    counts = khat_counts(values)
    assert counts.nonzero().squeeze(1).tolist() == [0, 16, 17, 29]
    assert counts[[0, 16, 17, 29]].tolist() == [2, 1, 2, 2]


def test_sentences_without_khat_are_counted(record, sentences):
    some = sentences["khat"].clone()
    some[:3] = torch.nan
    (_, _, note) = khat([record(sentences=sentences | {"khat": some})]).blocks
    assert note.text.startswith("3 of 40 sentences have no k-hat")
    none = {"khat": torch.full((40,), torch.nan)}
    (note,) = khat([record(sentences=sentences | none)]).blocks
    assert (note.text[:8], note.tone) == ("40 of 40", "missing")


def test_units_are_active_by_their_variance(record):
    picture = only(dimensions([record()]), Picture)
    assert "from 2.000 down to 0.250 nats per sentence" in picture.alt
    assert (
        "active: 1; active, borderline: 1; not active: 1; not active, borderline: 1" in picture.alt
    )


def test_check_has_both_differences_and_the_sandwich(record):
    section = check([record(evaluation=EVALUATION | {"check": CHECK})])
    annealing, sandwich, gaps = of_kind(section, Table)
    assert annealing.rows[0][1:] == ("3", "+0.312 ± 0.020")
    assert annealing.rows[1][1:] == ("2", "-0.250 ± 0.050")
    assert annealing.caption == "8 chains, seed 4"
    assert sandwich.rows[0] == ("lower bound of log p(x)", "-40.125 ± 2.000")
    assert sandwich.rows[2] == ("gap", "0.125 ± 0.030")
    warnings = [note.text for note in of_kind(section, Note) if note.tone == "warning"]
    assert "nll of the evaluation is too high" in warnings[0]
    assert "too short to check anything" in warnings[1]
    assert [row[1] for row in gaps.rows] == ["1.500", "1.250 ± 0.020", "0.250"]
    assert section.blocks[-1] == Note("no sphere.", "missing")
    # Annealed less evaluated nll: -0.5, -0.5, 0, 0.25, 0.25.
    assert "annealed less evaluated -0.100 nats on average" in only(section, Picture).alt


def test_check_without_single_sentences_has_its_table(record):
    short = {key: CHECK["annealing"][key] for key in ("random", "worst")}
    section = check([record(evaluation=EVALUATION | {"check": {"annealing": short}})])
    assert not of_kind(section, Picture)
    assert len(only(section, Table).rows) == 2


def test_proposals_are_rows(record):
    rows = [
        {"proposal": "guide", "decoder_evaluations": 511_000, "nll": 56.3125},
        {"proposal": "refined", "decoder_evaluations": 98_000, "nll": None},
    ]
    section = proposals([record(evaluation=EVALUATION | {"proposals": rows}), record(2, "b")])
    table = only(section, Table)
    assert table.headings == ("proposal", "decoder evaluations", "nll")
    assert table.rows == (("guide", "511,000", "56.312"), ("refined", "98,000", "–"))
    assert proposals([record()]) is None


def test_provenance_names_commands_commits_seeds_and_versions(record):
    section = provenance([record()], seed=11)
    table, settings, own = of_kind(section, Table)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["command"][0] == "pyro-textvae train --config runs/run/config.yaml --out NEW"
    assert rows["command"][1] == (
        "pyro-textvae evaluate runs/run --split test --num-samples 128 --seed 7"
    )
    assert rows["commit"][1] == "abc123+"
    assert rows["versions"][1] == "python 3.11.9, torch 2.13.0"
    assert rows["corpus fingerprint"] == ("0123456789abcdef",) * 2
    assert ("learning_rate", str(record().config["settings"]["learning_rate"])) in settings.rows
    assert own.rows[0][1] == "pyro-textvae report runs/run --seed 11"


def test_provenance_of_a_run_that_was_not_evaluated(record):
    assert cells(provenance([record(evaluation=None)], 0))["command"][1] == "–"


def test_summary_of_runs_on_several_texts_says_which_is_whose(record):
    other = record(2, "other", evaluation=EVALUATION | {"data": "elsewhere"})
    table = only(summary([record(), other]), Table)
    assert table.rows[0] == ("text", "test split of grammar", "test split of elsewhere")
    assert table.headings[0] == ""


def test_sentences_whose_bounds_are_apart_are_rows(record):
    sandwich = {"num_sentences": 5, "num_closed": 3, "closed": 0.1, "lower": -24.5, "upper": -24.0}
    not_closed = [
        {"index": 7, "lower": -20.5, "upper": -20.125, "why": "too few chains"},
        {"index": 9, "lower": None, "upper": -20.0, "why": "a bound is not finite"},
    ]
    annealing = CHECK["annealing"] | {"sandwich": sandwich | {"not_closed": not_closed}}
    evaluation = EVALUATION | {"check": CHECK | {"annealing": annealing}}
    _, bounds, apart, *_ = of_kind(check([record(evaluation=evaluation)]), Table)
    assert bounds.rows[0] == ("sentences whose bounds are closed", "3")
    assert bounds.rows[2] == ("upper bound of log p(x), approximate", "-24.000")
    assert apart.rows == (
        ("7", "-20.500", "-20.125", "too few chains"),
        ("9", "–", "-20.000", "a bound is not finite"),
    )
