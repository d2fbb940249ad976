"""A data frame of Daft, mapped by a class that loads a VAE once."""

import shutil
from pathlib import Path

import daft
import vae_fidelity

PICTURES = Path(__file__).parents[3] / "golden" / "images"
NAMES = ["astronaut.png", "coffee.jpg", "grey.jpg"]


# As in docs/src/python.md.
@daft.cls
class Check:
    def __init__(self, repo: str):
        self.pipeline = vae_fidelity.Pipeline(repo, threads=1)

    @daft.method(return_dtype=daft.DataType.float64())
    def psnr_db(self, picture: bytes):
        return self.pipeline.check(picture).metrics.psnr_db


def test_a_data_frame_is_mapped(tmp_path):
    for name in NAMES:
        shutil.copy(PICTURES / name, tmp_path / name)
    check = Check("builtin")
    frame = daft.from_glob_path(str(tmp_path / "*"))
    frame = frame.with_column("psnr_db", check.psnr_db(frame["path"].download()))
    rows = frame.to_pydict()
    found = {path.rpartition("/")[2]: psnr_db for path, psnr_db in zip(rows["path"], rows["psnr_db"])}
    assert found == {name: vae_fidelity.check(tmp_path / name).metrics.psnr_db for name in NAMES}
