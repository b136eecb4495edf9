"""A training that starts from a trained network (`--init`), and the run's own copy of that network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from imctrain.errors import UserError
from imctrain.experiment.network_file import read_network, trained_network
from imctrain.experiment.trained import Trained
from imctrain.files import replacing
from imctrain.records.layout import RunFiles
from imctrain.records.result import InitialNetwork
from imctrain.training.network import Network
from imctrain.training.step import Steps

ABOUT = "result"
"""Beside the arrays: where they are from, as JSON. Files without a manifest have their text under this name."""


@dataclass(frozen=True)
class Initial:
    """What a training starts from. source: as it was given."""

    source: str
    trained: Trained

    def start(self, steps: Steps, network: Network) -> tuple[Steps, InitialNetwork]:
        """Steps that begin with its parameters, batch statistics and states of sites, and what to tell of it.

        The optimizer begins anew, and so does a site of another name or structure. Raises UserError naming the first
        parameter that does not fit the network.
        """
        params, rest = self.trained.parameters(network)
        sites, fresh = self.trained.site_states(
            steps.initial.sites, {} if steps.function is None else steps.function.former_names
        )
        initial = steps.initial._replace(params=params, rest=rest, sites=sites)
        told = InitialNetwork(
            source=self.source, sha256=self.trained.sha256, step=self.trained.step, fresh_sites=tuple(fresh)
        )
        return steps._replace(initial=initial), told

    def keep(self, folder: Path) -> None:
        """Copy it into a run's folder: the run can be continued when the source has moved on."""
        about = {"source": self.source, "sha256": self.trained.sha256, "step": self.trained.step}
        with replacing(RunFiles(folder).initial_network) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **self.trained.arrays, **{ABOUT: np.asarray(json.dumps(about))})  # type: ignore[arg-type]


def initial_from(source: Path) -> Initial:
    """Of a run's best checkpoint, or of a file. Raises UserError where there is none."""
    return Initial(str(source), trained_network(source))


def kept_initial(folder: Path) -> Initial | None:
    """That of a run's folder; None for a run whose weights were drawn. Raises UserError for a damaged one."""
    path = RunFiles(folder).initial_network
    if not path.is_file():
        return None
    found = read_network(path)
    about = found.result or {}
    trained = found.trained()
    if about.get("sha256") != trained.sha256:
        raise UserError(f"{path} is damaged: its arrays are not those that the run started from: start a new run")
    return Initial(about["source"], Trained(str(path), trained.arrays, None, step=about["step"]))


def tell(told: InitialNetwork, console: Console) -> None:
    """What a training starts from, in a line."""
    fresh = ", ".join(told.fresh_sites)
    after = f"; sites that start afresh: {fresh}" if fresh else ""
    step = "" if told.step is None else f" (step {told.step})"
    console.print(f"starting from {told.source}{step}{after}", markup=False, highlight=False, soft_wrap=True)
