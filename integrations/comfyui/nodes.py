"""The nodes, as ComfyUI's node API (V1) has them."""

from typing import Any

from .judge import judge
from .weights import AUTO, FAMILIES


class CheckVae:
    """Judges a VAE by a picture: its weights, and what ComfyUI's own VAE makes of that picture with them."""

    DESCRIPTION = (
        "Says whether a VAE works: the picture is encoded and decoded by ComfyUI and, with the same weights, by "
        "vae-fidelity's own engine, and what came back is judged."
    )
    CATEGORY = "vae fidelity"
    FUNCTION = "check"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING", "IMAGE", "BOOLEAN")
    RETURN_NAMES = ("report", "came back", "passed")
    OUTPUT_TOOLTIPS = (
        "What was found, and what to do about it.",
        "What ComfyUI's VAE made of the picture; black where the VAE could not be judged.",
        "True where no error was found. False also where the VAE could not be judged.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Its inputs and widgets."""
        family = {
            "default": AUTO,
            "tooltip": "Only where weights of several families have the same shapes. ComfyUI's VAE scales no latents, "
            "so that nothing but the numbers shown depends on it.",
        }
        config = {
            "default": "",
            "tooltip": "Path of the model's config.json in diffusers' layout, for a VAE of shapes that are not published.",
        }
        pictures = {
            "default": 1,
            "min": 1,
            "max": 64,
            "tooltip": "How many pictures of a batch are judged, from the first. Each takes as long as one on the CPU.",
        }
        return {
            "required": {
                "vae": ("VAE", {"tooltip": "The VAE that is judged. Nothing of it is changed."}),
                "image": ("IMAGE", {"tooltip": "A picture that makes the trip; a photograph tells more than a drawing."}),
                "family": ([AUTO, *FAMILIES], family),
                "pictures": ("INT", pictures),
            },
            "optional": {"config": ("STRING", config)},
        }

    def check(self, vae: Any, image: Any, family: str = AUTO, pictures: int = 1, config: str = "") -> dict[str, Any]:
        """What ComfyUI calls: the text for the node and the three outputs."""
        judged = judge(vae, image, family=family, pictures=pictures, config=config.strip())
        return {"ui": {"text": (judged.text,)}, "result": (judged.text, judged.image, judged.passed)}
