# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The clusters, with their typical words and their most central sentences."""

from __future__ import annotations

from typing import Any

from bokeh.layouts import column
from bokeh.models import Spinner
from markupsafe import Markup

from pyro_textvae.explore.colouring import cluster_colours
from pyro_textvae.explore.map_view import MapView
from pyro_textvae.explore.panels.panel import Panel, list_of_sentences, paragraph, text_block
from pyro_textvae.explore.sentence import Sentence

_MOST = 50


class ClustersPanel(Panel):
    """A row for each; a click leaves it alone lit on the map and lists its sentences."""

    title = "Clusters"
    is_of_sentence = False

    def __init__(self, view: MapView) -> None:
        self._collection, self._view = view.collection, view
        self.text = text_block("clusters_lead")
        self.text.text = str(
            paragraph(
                "k-means on the posterior means; words by class-based tf-idf. Click a row to see "
                "its points alone.",
                "soft",
            )
        )
        self.number = Spinner(
            title="Number of clusters",
            name="num_clusters",
            low=1,
            high=min(_MOST, len(view.collection)),
            step=1,
            value=len(view.grouping.clusters),
            width=150,
        )
        self.number.on_change("value", self._regroup)
        self.rows = text_block("clusters")
        self.central = text_block("central")
        self.layout = column(
            self.text, self.number, self.rows, self.central, sizing_mode="stretch_width"
        )
        self._list()

    def show(self, sentence: Sentence | None, previous: Sentence | None) -> None:
        return

    def open_cluster(self, number: int) -> None:
        """Leave one cluster lit, counted from 0, and list its central sentences; -1 for none."""
        self._list(opened=number)
        if number < 0:
            self._view.fade_all_but(None)
            self.central.text = ""
            return
        self._view.fade_all_but(self._view.grouping.assigned == number)
        texts, cluster = self._collection.texts, self._view.grouping.clusters[number]
        self.central.text = str(
            Markup("<h3>Nearest to the middle of cluster {}</h3>{}").format(
                number + 1,
                list_of_sentences((place, texts[place], "") for place in cluster.central),
            )
        )

    def _list(self, opened: int = -1) -> None:
        row = Markup(
            '<li><button class="pick" data-cluster="{}"{}><i style="background: {}"></i>'
            '<span class="number">{}</span><small class="lead">{}</small>'
            '<span class="said">{}</span></button></li>'
        )
        clusters = self._view.grouping.clusters
        rows = Markup("").join(
            row.format(
                # A second click on a row closes it.
                -1 if number == opened else number,
                Markup(' aria-pressed="true"') if number == opened else "",
                colour,
                number + 1,
                f"{cluster.size:,}",
                ", ".join(cluster.words),
            )
            for number, (cluster, colour) in enumerate(
                zip(clusters, cluster_colours(len(clusters)), strict=True)
            )
        )
        self.rows.text = str(Markup('<ul class="picks">{}</ul>').format(rows))

    def _regroup(self, attribute: str, old: Any, new: Any) -> None:
        if not isinstance(new, int | float) or not 1 <= new <= min(_MOST, len(self._collection)):
            return
        self._view.regroup(int(new))
        self.open_cluster(-1)
