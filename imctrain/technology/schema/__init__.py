"""The technology file: its sections, and what they may hold. See docs/technology.md."""

from imctrain.technology.schema.figure import Figure as Figure
from imctrain.technology.schema.figure import Point as Point
from imctrain.technology.schema.technology import Areas as Areas
from imctrain.technology.schema.technology import Energies as Energies
from imctrain.technology.schema.technology import Macro as Macro
from imctrain.technology.schema.technology import Technology as Technology
from imctrain.technology.schema.technology import Times as Times
