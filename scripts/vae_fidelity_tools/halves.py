"""The encoder and the decoder of a VAE of diffusers as modules of their own, and as ONNX graphs."""

import warnings

import torch


class Encode(torch.nn.Module):
    """`wanted` is what to give of the posterior: `parameters` or `mean`."""

    def __init__(self, vae, wanted):
        super().__init__()
        self.vae, self.wanted = vae, wanted

    def forward(self, sample):
        return getattr(self.vae.encode(sample).latent_dist, self.wanted)


class Decode(torch.nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, latents):
        return self.vae.decode(latents).sample


class OneFrame(torch.nn.Module):
    """A half of a model of clips, given one picture."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, picture):
        return self.module(picture.unsqueeze(2))[:, :, 0]


def export_onnx(module, example, path, **options):
    """Writes the graph that an example traces; its tensors are called `input` and `output`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (example,), str(path), dynamo=False, opset_version=18,
            input_names=["input"], output_names=["output"], **options,
        )  # fmt: skip
