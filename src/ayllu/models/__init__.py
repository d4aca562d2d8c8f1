"""Models on disk: names, manifests, the store, Modelfiles, and how a model is made of them."""
