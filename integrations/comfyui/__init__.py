"""Nodes of vae-fidelity for ComfyUI: whether a graph's VAE works, and when it does not, what is wrong."""

from .nodes import CheckVae

NODE_CLASS_MAPPINGS = {"VaeFidelityCheck": CheckVae}
NODE_DISPLAY_NAME_MAPPINGS = {"VaeFidelityCheck": "Check VAE"}
WEB_DIRECTORY = "./web"

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
