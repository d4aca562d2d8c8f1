"""Models from other machines and for them: registries, the Hub, downloads that survive."""
