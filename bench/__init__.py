"""The bench: the engine beside its peers under one load, in one run (`python -m bench`)."""
