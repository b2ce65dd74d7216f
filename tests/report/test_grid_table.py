# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import csv
import io

import pytest

from pyro_textvae.report import grid_csv, grid_table

NUMBERS = {
    "nll": 73.12345,
    "nll_seed_sd": 0.0421,
    "elbo": 74.5,
    "gap": 1.4,
    "kl": 3.25,
    "mutual_information": 2.5,
    "active_units": 7.5,
    "aggregate_kl": 0.75,
    "above_by_guide": 0.09,
    "parameters": 1461556,
    "gradient_signal_guide": 0.25,
    "gradient_signal_model": 1.75,
    "seconds": 341.6,
    "tokens_per_second": 12345.6,
    "heavy_tail_share": 0.123,
    "unknown_token_share": 0.0341,
}
RUN = {"name": "x-seed0", "heavy_tail_share": 0.1, "unknown_token_share": 0.05, "exact": False}
HEADING = (
    "| cell | nll | seed sd | by q | unk % | -elbo | gap | kl | mi | agg | au | snr q | snr p |"
    " params | sec | tok/s | khat % |"
)


def row_of(cell, failed=0, finished=2, **changes):
    runs = [RUN] * finished
    return {
        "cell": cell,
        "members": {"guide": "gaussian", "objective": cell},
        "num_runs": 2,
        "failed": [f"{cell}-seed{seed}" for seed in range(failed)],
        "runs": runs,
        **(NUMBERS if finished else dict.fromkeys(NUMBERS)),
        **changes,
    }


def result_of(**changes):
    difference = {
        "a": "elbo",
        "b": "iwae_8",
        "difference": 0.25,
        "interval": [0.125, 0.375],
        "monte_carlo_error": 0.01,
        "seed_error": 0.02,
        "seed_reach": 0.0547,
        "told_apart": True,
    }
    return {
        "data": "toy",
        "split": "test",
        "num_sentences": 200,
        "num_tokens": 1993,
        "seeds": [0, 1],
        "rows": [row_of("iwae_8"), row_of("elbo"), row_of("bad|", failed=2, finished=0)],
        "best": "iwae_8",
        "differences": [difference],
        "no_differences": None,
        "failures": {"bad|-seed0": "no such thing", "bad|-seed1": "no such thing"},
        "bootstrap": {"level": 0.95, "num_resamples": 10_000},
        **changes,
    }


def cells(line):
    return [cell.strip() for cell in line.replace("\\|", "!").strip("|").split("|")]


def test_a_row_for_each_cell_in_aligned_markdown():
    lines = grid_table(result_of()).splitlines()
    assert lines[0] == (
        "3 cells, seeds 0, 1, on toy, test split: 200 sentences, 1,993 tokens, nats per sentence"
    )
    table = [line for line in lines if line.startswith("|")]
    first = table[:5]
    assert cells(first[0]) == cells(HEADING)
    assert len({len(line) for line in first}) == 1
    assert len(first[0]) <= 160
    assert set(first[1]) == set("|-: ")
    numbers = "73.123,0.042,0.09,3.4,74.50,1.40,3.25,2.50,0.75,7.5,0.25,1.75,1461556,342,12346,12"
    assert cells(first[2]) == ["iwae_8 *", *numbers.split(",")]
    assert cells(first[3])[0] == "elbo"
    assert cells(first[4]) == ["bad! (2 of 2 failed)", *["-"] * 16]


def test_differences_to_the_best():
    lines = grid_table(result_of()).splitlines()
    table = [line for line in lines if line.startswith("|")][5:]
    expected = ["nll above iwae_8", "difference", "95 % interval", "seeds, 95 %", "told apart"]
    assert cells(table[0]) == expected
    assert cells(table[2]) == ["elbo", "+0.250", "[+0.125, +0.375]", "+- 0.055", "yes"]
    assert "- * told apart from every other cell." in lines
    assert max(map(len, lines)) <= 160


def test_columns_of_which_no_cell_knows_anything_are_left_out_with_their_meaning():
    unknown = dict.fromkeys(("nll_seed_sd", "gradient_signal_guide", "gradient_signal_model"))
    rows = [row_of("iwae_8", **unknown), row_of("elbo", **unknown)]
    text = grid_table(result_of(rows=rows, failures={}))
    assert not [name for name in ("seed sd", "snr") if name in text]
    assert "by q: what the guide's weights alone would add" in " ".join(text.split())
    no_run = result_of(rows=[row_of("bad", failed=2, finished=0)], differences=[], best=None)
    nothing = grid_table(no_run)
    assert "| cell                | nll |\n" in nothing


def test_mixture_of_the_seeds_stands_beside_their_mean():
    mixed = {"nll_mixed": 72.5, "seed_information": 0.31}
    rows = [row_of("iwae_8", **mixed), row_of("elbo", **dict.fromkeys(mixed))]
    result = result_of(rows=rows, failures={})
    lines = grid_table(result).splitlines()
    heading, _, first, second = [cells(line) for line in lines if line.startswith("|")][:4]
    place = heading.index("mixed")
    assert heading[place - 1] == "seed sd"
    assert (first[place], second[place]) == ("72.500", "-")
    assert "mixed: nll of one model that draws a seed" in " ".join(grid_table(result).split())
    first, _ = csv.DictReader(io.StringIO(grid_csv(result)))
    assert (first["nll_mixed"], first["seed_information"]) == ("72.5", "0.31")


def test_text_of_assessed_runs_has_a_table_of_its_own():
    number = {"value": 0.25, "digits": 2, "interval": [0.2, 0.3], "column": "BLEU back"}
    generation = {"numbers": {"bleu": number}, "split": "test", "settings": {}}
    row = row_of("a") | {"runs": [RUN | {"run": "runs/x-seed0", "generation": generation}]}
    blocks = grid_table(result_of(rows=[row], failures={})).split("\n\n")
    written = [block.splitlines() for block in blocks if block.startswith("the text that the runs")]
    assert [line.split() for line in written[0][1:]] == [
        ["run", "BLEU", "back"],
        ["x-seed0", "0.25", "[0.20,", "0.30]"],
    ]
    assert "the text that the runs" not in grid_table(result_of())


def test_what_failed_is_said_at_the_end():
    ending = grid_table(result_of()).split("\n\n")[-2:]
    assert ending[0] == "2 of 6 runs failed:"
    assert ending[1].splitlines() == [f"- bad|-seed{seed}: no such thing" for seed in (0, 1)]


def test_notes_say_what_the_intervals_hold():
    def text(**changes):
        return " ".join(grid_table(result_of(**changes)).split())

    assert "interval is over sentences (10,000 resamples)" in text()
    assert "The column of the seeds does" in text()
    alone = result_of()["differences"][0] | {"seed_reach": None, "seed_error": None}
    of_runs = text(differences=[alone])
    assert "No cell has two seeds" in of_runs
    assert "- | as runs |" in of_runs
    assert "* told apart from every other cell, as runs." in of_runs
    assert "as runs" not in text()
    assert "- | no |" in text(differences=[alone | {"told_apart": False}])
    assert "No cell is told apart from every other." in text(best=None)
    settled = [result_of()["differences"][0] | {"num_settled": n} for n in (190, 180)]
    assert "settled in both cells, at least 180 of 200" in text(differences=settled)
    assert "settled" not in text(differences=[settled[0] | {"num_settled": 200}])
    assert "settled" not in text()
    assert "No differences: other text." in text(differences=[], no_differences="other text")
    assert "Caution" not in text()
    assert "200 sentences are few" not in text()
    assert "20 sentences are few" in text(num_sentences=20)


@pytest.mark.parametrize(
    ("khat", "caution"),
    [(0.26, "the nll of 1 of 1 runs may be too high"), (None, "too few draws"), (0.24, None)],
)
def test_cautions_about_draws(khat, caution):
    row = row_of("a") | {"runs": [RUN | {"heavy_tail_share": khat}]}
    text = " ".join(grid_table(result_of(rows=[row], failures={})).split())
    assert ("Caution" in text) == (caution is not None)
    assert (caution or "") in text


def test_runs_scored_on_many_unknown_tokens_are_named():
    runs = [RUN | {"name": f"a-seed{seed}", "unknown_token_share": 0.0512} for seed in (0, 1)]
    rows = [row_of("a") | {"runs": runs}, row_of("b")]
    text = " ".join(grid_table(result_of(rows=rows, failures={})).split())
    assert "Caution: a-seed0, a-seed1: 5.1 % of the tokens are unknown, and the nll is that" in text


def test_nothing_finished():
    row = row_of("a", failed=2, finished=0)
    result = result_of(
        rows=[row], data=None, best=None, differences=[], failures={"a-seed0": "x", "a-seed1": "y"}
    )
    text = grid_table(result)
    assert text.startswith("1 cells, seeds 0, 1: no run was finished")
    assert "2 of 2 runs failed" in text


def test_csv_has_every_number_unrounded():
    rows = list(csv.DictReader(io.StringIO(grid_csv(result_of()))))
    assert [row["cell"] for row in rows] == ["iwae_8", "elbo", "bad|"]
    assert {float(rows[0][name]) == value for name, value in NUMBERS.items()} == {True}
    assert rows[0]["difference"] == ""
    assert (rows[1]["low"], rows[1]["high"], rows[1]["seed_reach"]) == ("0.125", "0.375", "0.0547")
    assert (rows[1]["axis_guide"], rows[1]["axis_objective"]) == ("gaussian", "elbo")
    assert (rows[2]["nll"], rows[2]["finished_runs"], rows[2]["failed_runs"]) == ("", "0", "2")
