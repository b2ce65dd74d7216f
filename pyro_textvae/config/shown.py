# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Settings that show themselves by what is not a default."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pyro_textvae.displayed import Displayed


class ShownSettings(Displayed):
    """A base of settings, which are data classes whose every field has a default."""

    def _shown(self) -> dict[str, Any]:
        plain = type(self)()
        values = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        changed = {n: value for n, value in values.items() if value != getattr(plain, n)}
        return {**changed, f"the other {len(values) - len(changed)}": "their defaults"}
