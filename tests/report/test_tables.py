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
    "nll": 111.0168,
    "nll_standard_error": 0.0123,
    "elbo": 112.5,
    "reconstruction": 110.0,
    "kl": 2.5,
    "ppl": 158.432,
    "ppl_elbo": 169.6,
    "bits_per_word": 7.3078,
    "bits_per_character": None,
    "mutual_information": 1.25,
    "mutual_information_ceiling": 8.232,
    "active_units": 3,
    "latent_dim": 32,
    "khat_above_0_7": 0.125,
}


def rows(**changes):
    title, *lines = evaluation_table(RESULT | changes).splitlines()
    assert title == "runs/a on grammar, test split"
    return dict(line.strip().split("  ", 1) for line in lines)


def test_every_number_has_its_unit_and_the_columns_line_up():
    table = {name: value.strip() for name, value in rows().items()}
    assert table["nll, K = 100"] == "111.017 +- 0.012 (Monte Carlo) nats per sentence"
    assert table["elbo"] == "112.500 nats per sentence (an upper bound of the nll)"
    assert table["perplexity"] == "158.43 (from the elbo 169.60)"
    assert table["mutual information"] == "1.250 nats, cannot exceed ln N = 8.232"
    assert table["active units"] == "3 of 32"
    assert table["khat above 0.7"] == "12.5 % of sentences"
    starts = {
        line.index(value.strip())
        for line, value in zip(
            evaluation_table(RESULT).splitlines()[1:], rows().values(), strict=True
        )
    }
    assert len(starts) == 1


def test_model_without_latents_is_said_to_be_exact():
    table = rows(latent_dim=0, mutual_information=None, khat_above_0_7=0.0)
    assert "exact: there is no latent" in table["nll"]
    assert not {"kl", "elbo", "mutual information", "khat above 0.7"} & set(table)


@pytest.mark.parametrize(("khat", "shown"), [(None, "needs K >= 100"), (0.0, "0.0 %")])
def test_khat_is_left_open_for_few_draws(khat, shown):
    assert shown in rows(khat_above_0_7=khat)["khat above 0.7"]


def test_heavy_tails_are_said_to_be_no_good():
    assert "raise --num-samples" in rows(khat_above_0_7=0.26)["khat above 0.7"]
    assert "raise" not in rows(khat_above_0_7=0.25)["khat above 0.7"]


def test_sentences_left_out_are_counted():
    assert "left out as too long" not in rows()
    assert rows(num_left_out=62)["left out as too long"].strip() == "62"


def test_what_is_not_known_is_a_dash():
    assert rows(mutual_information=None)["mutual information"].strip().startswith("- nats")


def test_raw_text_of_subword_models_is_counted_in_characters():
    assert rows(bits_per_character=1.5)["bits per character"].strip() == "1.500"
