# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae refit``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyro_textvae.cli.output import print_beside, print_table
from pyro_textvae.cli.run_options import RunOptions, parse_with_run
from pyro_textvae.config.checks import Member, at_least, setting
from pyro_textvae.config.evaluate import Split
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from pyro_textvae.runs.refit import Refit


@dataclass
class RefitOptions(RunOptions):
    """Fit another prior to the aggregate posterior of a run, and say what that does to it.

    Args:
        out: folder of the new run.
        prior: name or file.py:Class.
        options: keywords of the prior, as a JSON object; without num_components, held-out latents
            choose the number of Gaussians of gaussian_mixture.
        split: train, valid or test; where both runs are scored.
        num_sentences: of the split, at random.
        num_samples: draws of the latents for each of them.
        overwrite: replace the run that is already there.
        json: print the numbers as a JSON object in the place of the table.

    """

    out: str | None = None
    prior: str = setting("gaussian_mixture", Member("priors"))
    options: dict[str, Any] = field(default_factory=dict)
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
    chosen = ""
    if tried:
        best = max(tried, key=tried.__getitem__)
        chosen = f", {best} components of {', '.join(map(str, tried))}"
    bound_moved = abs(result.bound_gain) > 2 * result.bound_gain_error
    moved = {
        (True, True): "the bound and log p(x)",
        (True, False): "the bound alone: KL is not information, and log p(x) stays where it was",
        (False, True): "log p(x) alone",
        (False, False): "nothing that can be told",
    }[bound_moved, result.comparison.sign != 0]
    rows = {
        "prior": f"{options.prior}{chosen}",
        "held-out latents": f"log-density {result.fitted.log_density:.3f} under it, "
        f"{result.log_density_before:.3f} under the prior before",
        "bound": f"{result.bound_gain:+.3f} +- {result.bound_gain_error:.3f} nats per sentence, "
        f"{count:,} sentences of {options.split}",
        "nll, by auto": f"{result.before.nll:.3f} -> {result.after.nll:.3f}; "
        f"{result.comparison.verdict('the new prior', 'the old prior')}",
        "  by the guide": f"{result.guide_before:.3f} -> {result.guide_after:.3f}, by weights that "
        "count a guide that fits better as a better model",
        "what moved": moved,
    }
    return "\n".join(f"{name:18s}{value}" for name, value in rows.items())
