# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the parts of the page look that Bokeh keeps apart from its style sheet."""

from __future__ import annotations

from bokeh.models import InlineStyleSheet

TEXT = """
:host, .bk-clearfix { color: #1f2328; font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans",
  "Noto Sans CJK SC", sans-serif; overflow-wrap: anywhere; }
h3 { font-size: 15px; margin: 14px 0 4px; }
p { margin: 2px 0 6px; }
ol { margin: 4px 0; padding-left: 1.6em; }
li { margin: 2px 0; }
small, .soft { color: #59636e; font-size: 13px; }
.sentence { font-size: 17px; line-height: 1.4; border-left: 3px solid #d55e00; padding-left: 10px; }
.decoded { border-left: 3px solid #0072b2; padding-left: 10px; }
.warning { background: #fff6e5; border-left: 4px solid #e69f00; padding: 6px 10px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; margin: 6px 0; }
dt { color: #59636e; } dd { margin: 0; }
.scale { display: inline-block; width: 160px; height: 12px; vertical-align: -1px; }
.swatch { display: inline-block; margin-right: 14px; }
.swatch i { display: inline-block; width: 11px; height: 11px; border-radius: 50%;
  margin-right: 5px; }
.bk-clearfix { width: 100%; }
.picks { list-style: none; margin: 4px 0; padding: 0; max-height: 420px; overflow-y: auto; }
.pick { all: unset; box-sizing: border-box; cursor: pointer; display: flex; gap: 10px; width: 100%;
  padding: 3px 6px; border-bottom: 1px solid #eef1f3; align-items: baseline; }
.pick:hover, .pick:focus-visible, .pick[aria-pressed] { background: #e8f1fb; }
.pick i { flex: none; width: 11px; height: 11px; border-radius: 50%; }
.lead, .number { flex: none; min-width: 3em; font-variant-numeric: tabular-nums; }
.number { min-width: 1.4em; }
"""


def text_style() -> list[InlineStyleSheet]:
    """Of running text; a new object each time, for a document owns its models."""
    return [InlineStyleSheet(css=TEXT)]
