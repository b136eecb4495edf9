"""Parts of the page of `imctrain report`: what the browser draws, lists and sorts."""
