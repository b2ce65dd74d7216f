# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the latents tell of the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_textvae.run_folder.quantity import Quantity


def _active_of_all(result: Mapping[str, Any]) -> str | None:
    active, dims = result.get("active_units"), result.get("latent_dim")
    if active is None or not dims:
        return None
    # Some dimensions have no variance to go by.
    counted = [value for value in result.get("unit_variance") or [] if value is not None]
    return f"{active} of {len(counted) or dims}"


def _borderline(result: Mapping[str, Any]) -> str:
    units = ", ".join(map(str, result.get("borderline_units") or []))
    return f"; borderline: {units}" if units else ""


def _parts_of_kl(result: Mapping[str, Any]) -> str | None:
    information, mismatch = result.get("mutual_information"), result.get("aggregate_kl")
    if information is None or mismatch is None:
        return None
    return (
        f"{information:.3f} of {information + mismatch:.3f} nats; {mismatch:.3f} are the mismatch "
        "of all latents together and the prior"
    )


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "mutual_information",
        "information",
        label="mutual information",
        line="mutual information",
        text="{mutual_information} nats, cannot exceed ln N = {mutual_information_ceiling}",
        unknown="-",
        unit="nats",
        error="mutual_information_standard_error",
        averaged=("mi", 2),
    ),
    Quantity("mutual_information_standard_error", "information", unit="nats"),
    Quantity(
        "mutual_information_upper",
        "information",
        label="its upper bound, own sentence left out",
        line="  its upper bound",
        line_when="known",
        unit="nats",
    ),
    Quantity("mutual_information_ceiling", "information", label="its ceiling, ln N", unit="nats"),
    Quantity(
        "given_source.mutual_information",
        "information",
        label="mutual information given the source",
        line="  given the source",
        line_when="known",
        unit="nats",
        error="given_source.standard_error",
    ),
    Quantity("given_source.standard_error", "information", unit="nats"),
    Quantity(
        "given_source.upper",
        "information",
        label="its upper bound, own text left out",
        line="    its upper bound",
        line_when="known",
        unit="nats",
    ),
    Quantity(
        "aggregate_kl",
        "information",
        label="KL of the aggregate posterior to the prior",
        line="kl of the aggregate",
        line_when="known",
        unit="nats",
        error="aggregate_kl_standard_error",
        averaged=("agg", 2),
    ),
    Quantity("aggregate_kl_standard_error", "information", unit="nats"),
    Quantity(
        "parts_of_kl",
        "information",
        label="KL is not information: of it, what z knows of the text",
        kind="words",
        of=_parts_of_kl,
    ),
    Quantity(
        "total_correlation",
        "information",
        label="of it, total correlation",
        line="  total correlation",
        line_when="known",
        unit="nats",
        error="total_correlation_standard_error",
    ),
    Quantity("total_correlation_standard_error", "information", unit="nats"),
    Quantity(
        "dimensionwise_kl",
        "information",
        label="of it, dimension by dimension",
        line="  dimension by dimension",
        line_when="known",
        unit="nats",
        error="dimensionwise_kl_standard_error",
    ),
    Quantity("dimensionwise_kl_standard_error", "information", unit="nats"),
    Quantity(
        "active_units",
        "information",
        line="active units",
        text="{active_of_all}{borderline}",
        kind="count",
        averaged=("au", 1),
    ),
    Quantity("active_of_all", "information", label="active units", kind="words", of=_active_of_all),
    Quantity("borderline", "information", kind="words", of=_borderline),
    Quantity("latent_dim", "information", kind="count", needs_latent=False),
)
