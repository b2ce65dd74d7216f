# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae refit``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pyro_textvae.cli.output import print_beside, print_table
from pyro_textvae.cli.run_options import RunOptions, parse_with_run
from pyro_textvae.config.checks import Member, at_least, setting
from pyro_textvae.config.evaluate import Split
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from pyro_textvae.runs.refit import Refit


@dataclass
class RefitOptions(RunOptions):
    """Fit another prior to a run after its training, and say what that does to it.

    Args:
        out: folder of the new run.
        prior: name or file.py:Class.
        options: keywords of the prior, as a JSON object; of gaussian_mixture num_components alone,
            the number of Gaussians, which by default held-out sentences choose, of 1 to 400.
        target: aggregate fits the prior to the guide's latents, likelihood to log p(x) itself, by
            Monte Carlo EM with weighted draws of the posterior.
        alternate: times that the guide is trained on under the new prior, and the prior fitted
            again; the decoder stays.
        num_train_sentences: of the train split, at random, that the likelihood is fitted on.
        split: train, valid or test; where both runs are scored.
        num_sentences: of the split, at random; the bound and the parts of the KL, which cost
            little, are of up to 2,000.
        num_samples: draws of the latents for each of them.
        overwrite: replace the run that is already there.
        json: print the numbers as a JSON object in the place of the table.

    """

    out: str | None = None
    prior: str = setting("gaussian_mixture", Member("priors"))
    options: dict[str, Any] = field(default_factory=dict)
    target: Literal["aggregate", "likelihood"] = "aggregate"
    alternate: int = setting(0, at_least(0))
    num_train_sentences: int = setting(1000, at_least(2))
    split: Split = "test"
    num_sentences: int = setting(300, at_least(2))
    num_samples: int = setting(300, at_least(10))
    overwrite: bool = False
    json: bool = False


def main(arguments: Sequence[str]) -> None:
    """Write the new run, and print what moved."""
    options = parse_with_run(RefitOptions, "refit", arguments)
    if options.out is None:
        raise UserError("refit needs the folder of the new run: --out FOLDER")
    from pyro_textvae.runs.refit import refit

    result = refit(
        options.run,
        options.out,
        prior=options.prior,
        options=options.options,
        target=options.target,
        alternate=options.alternate,
        num_train_sentences=options.num_train_sentences,
        split=options.split,
        num_sentences=options.num_sentences,
        num_samples=options.num_samples,
        seed=options.seed,
        device=options.device,
        overwrite=options.overwrite,
        trust_code=options.trust_code,
    )
    print_table(_table(result, options), result.to_dict(), as_json=options.json)
    print_beside(
        f"written to {options.out}; next: pyro-textvae evaluate {options.out}",
        as_json=options.json,
    )


def _table(result: Refit, options: RefitOptions) -> str:
    count = len(result.before.log_px)
    tried = result.fitted.tried
    best_of = ""
    if tried:
        best = max(tried, key=tried.__getitem__)
        best_of = f", {best} components of {', '.join(map(str, tried))}"
    held_out = f"{result.fitted.log_density:.3f} under it, {result.before_fit:.3f} under the prior "
    rows = {"prior": f"{options.prior}{best_of}"}
    if options.target == "aggregate":
        rows["held-out latents"] = f"log-density {held_out}before"
    else:
        rows["held-out log p(x)"] = f"{held_out}before, by the draws of EM"
        rows["EM"] = _em(result)
        assert result.on_train is not None
        rows["nll, train"] = result.on_train.verdict("the new prior", "the old prior")
    for number, (before, after) in enumerate(result.retrained, start=1):
        name = "guide" if number == 1 else ""
        rows[name + " " * number] = f"trained on, bound of valid {before:.3f} -> {after:.3f}"
    rows |= {
        "bound": f"{result.bound_gain:+.3f} +- {result.bound_gain_error:.3f} nats per sentence, "
        f"{result.bound_sentences:,} sentences of {options.split}",
        **_parts_of_kl(result),
        "nll, by auto": f"{result.before.nll:.3f} -> {result.after.nll:.3f} ({count:,} sentences); "
        f"{result.comparison.verdict('the new prior', 'the old prior')}",
        "  by the guide": f"{result.guide_before:.3f} -> {result.guide_after:.3f} "
        f"({result.guide_sentences:,} of them, by auto {result.auto_before:.3f} -> "
        f"{result.auto_after:.3f}), by weights that count a guide that fits better as a better "
        "model",
        "what moved": _moved(result),
    }
    return "\n".join(f"{name:20s}{value}" for name, value in rows.items())


def _em(result: Refit) -> str:
    """What each round of draws did to the estimate that EM climbs."""
    climbs = (f"{trace[0]:.3f} -> {trace[-1]:.3f}" for trace in result.traces)
    draws = ", ".join(f"{ess:.0f}" for ess in result.median_ess)
    return f"log p(x) of train {', '.join(climbs)}; effective draws of 64, median: {draws}"


def _parts_of_kl(result: Refit) -> dict[str, str]:
    """KL = information + mismatch, before and after; nothing where they are not known."""
    before, after = result.information_before, result.information_after
    if before.mutual_information is None or after.mutual_information is None:
        return {}
    rows = {
        "kl": f"{before.sampled_kl:.3f} -> {after.sampled_kl:.3f}",
        "  information": f"{before.mutual_information:.3f} -> {after.mutual_information:.3f}, what "
        f"z knows of the sentence (at most {before.mutual_information_ceiling:.3f} of so few)",
        "  mismatch": f"{before.aggregate_kl:.3f} -> {after.aggregate_kl:.3f}, of the latents of "
        "all sentences and the prior: KL is not information",
    }
    if before.aggregate_kl_lower is not None and after.aggregate_kl_lower is not None:
        rows["    at least"] = (
            f"{before.aggregate_kl_lower:.3f} -> {after.aggregate_kl_lower:.3f}, each draw's own "
            "sentence left out: of ever more sentences both come to one value"
        )
    return rows


def _moved(result: Refit) -> str:
    bound_moved = abs(result.bound_gain) > 2 * result.bound_gain_error
    return {
        (True, True): f"the bound, by {result.bound_gain:+.3f}, and log p(x), by "
        f"{-result.comparison.difference:+.3f}",
        (
            True,
            False,
        ): f"the bound alone, by {result.bound_gain:+.3f}: no change of log p(x) can be told",
        (False, True): f"log p(x) alone, by {-result.comparison.difference:+.3f}",
        (False, False): "nothing that can be told",
    }[bound_moved, result.comparison.sign != 0]
