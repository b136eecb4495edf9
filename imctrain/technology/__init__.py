"""Technologies: the JSON that says what every operation of a chip costs. See docs/technology.md."""

from imctrain.technology.design import Design as Design
from imctrain.technology.files import find_technology as find_technology
from imctrain.technology.files import load_technology as load_technology
from imctrain.technology.files import parse_technology as parse_technology
from imctrain.technology.files import shipped_names as shipped_names
from imctrain.technology.peak import Peak as Peak
from imctrain.technology.peak import peak as peak
from imctrain.technology.quantity import Quantity as Quantity
from imctrain.technology.rates import Rates as Rates
from imctrain.technology.rates import own_design as own_design
from imctrain.technology.rates import rates as rates
from imctrain.technology.schema.technology import Technology as Technology
