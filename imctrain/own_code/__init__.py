"""What users write themselves and name in a config: a file beside it, or a module that is installed. No jax.

Source(name, ...) = find_source("my_nets.py:Net", folder)   -- content, hash; None for a name without a colon
load(source) -> what the name stands for
call(function, source, key, given, arguments) -> what it returns; errors in it are told with file and line
"""

from imctrain.own_code.calling import call as call
from imctrain.own_code.calling import told as told
from imctrain.own_code.loading import load as load
from imctrain.own_code.source import Source as Source
from imctrain.own_code.source import find_source as find_source
from imctrain.own_code.source import is_own as is_own
