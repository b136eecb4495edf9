"""Networks in plain flax nnx. They know nothing of IMC: sites are found in the traced program, by their scopes."""

from imctrain.models.registry import MODELS as MODELS
from imctrain.models.registry import build as build
from imctrain.models.registry import default_width as default_width
from imctrain.models.registry import model as model
