"""What a bundle does on a machine without a GPU, and where something in it is broken.

    .cuda-venv/bin/python scripts/cuda/test_run.py BUNDLE

BUNDLE was made for this Python (scripts/cuda_bundle.sh --python). It is copied to another folder and run
there without Rust on the path; then again with planted faults, each of which has to end in a line that
names it and in result.json. Minutes on two cores.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUNDLE = Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None


class Bundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name) / "a folder" / "bundle"
        shutil.copytree(BUNDLE, cls.folder)
        cls.run_bundle(cls, "environment")  # unpacks, so that faults can be planted

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def run_bundle(self, *arguments, status=None, python=sys.executable, script="run.sh"):
        """Exit code, stdout and result.json of a run in which cargo and rustc cannot be found."""
        out = Path(self.temporary.name) / "out"
        shutil.rmtree(out, ignore_errors=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("CARGO", "RUST", "LIBTORCH"))}
        environment |= {"PATH": "/usr/bin:/bin", "PYTHON": str(python)}
        argv = [str(self.folder / script), *arguments, "--out", str(out)]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        written = [out / "result.json", self.folder / "results" / "result.json"]
        result = json.loads(next(path for path in written if path.is_file()).read_text())
        return done, {row["step"]: row for row in result["steps"]}, result

    def planted(self, name, contents):
        """Puts a program in the place of a binary, and the binary beside it as NAME.real."""
        binary = self.folder / "bin" / name
        real = binary.with_name(f"{name}.real")
        binary.rename(real)
        binary.write_text(contents) if isinstance(contents, str) else binary.write_bytes(contents(real.read_bytes()))
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
        self.addCleanup(real.rename, binary)

    def test_everything_that_needs_no_gpu_passes(self):
        done, rows, result = self.run_bundle(status=0)
        self.assertTrue(result["passed"], done.stdout)
        statuses = {name: row["status"] for name, row in rows.items()}
        self.assertNotIn("failed", statuses.values())
        for name in ("golden-reference-f32", "golden-fast-f32", "live-f32", "live-f16", "command-check", "bench-builtin", "peers"):
            self.assertEqual(statuses[name], "passed")
        for name in ("live-bf16", "bench-sd", "profile-fast", "peers-compiled"):
            self.assertEqual((statuses[name], rows[name]["problem"]), ("not run", "needs a GPU"))
        self.assertEqual(rows["tests"]["result"]["passed"], 0)
        self.assertGreaterEqual(rows["tests"]["result"]["not_run"], 7)
        self.assertEqual(result["counts"]["failed"], 0)
        self.assertEqual(rows["environment"]["result"]["cuda"], False)

    def test_a_wrong_kernel_is_no_equal_bits(self):
        # The fast engine in the place of the reference engine rounds otherwise, and is right otherwise.
        each = 'for word; do shift; [ "$word" = reference ] && word=fast; set -- "$@" "$word"; done'
        self.planted("vae-fidelity", f'#!/bin/sh\n{each}\nexec "$0.real" "$@"\n')
        done, rows, _ = self.run_bundle("live-f32", status=1)
        self.assertEqual(rows["live-f32"]["status"], "failed")
        self.assertIn("judged, and failed", rows["live-f32"]["problem"])
        self.assertGreater(len(rows["live-f32"]["result"]["different"]), 10)
        self.assertRegex(done.stdout, r"failed +live-f32")

    def test_a_missing_library_is_named(self):
        self.planted("vae-fidelity", lambda binary: binary.replace(b"libtorch_cpu.so", b"libtorch_cqu.so"))
        _, rows, _ = self.run_bundle("golden-reference-f32", "command-check", status=1)
        for name in ("golden-reference-f32", "command-check"):
            self.assertEqual(rows[name]["status"], "failed")
            self.assertIn("libtorch_cqu.so", rows[name]["said"])

    def test_a_step_that_takes_too_long_is_ended(self):
        self.planted("vae-fidelity", "#!/bin/sh\nsleep 600 & wait\n")
        _, rows, result = self.run_bundle("--limit", "2", "golden-reference-f32", "command-check", status=1)
        for name in ("golden-reference-f32", "command-check"):
            self.assertEqual(rows[name]["problem"], "killed after its limit of 2 s")
        self.assertLess(result["seconds"], 60)

    def test_a_spent_budget_leaves_the_rest_not_run(self):
        _, rows, _ = self.run_bundle("--budget", "1", "golden-reference-f32", status=1)
        self.assertIn("budget", rows["golden-reference-f32"]["problem"])

    def test_a_python_without_torch_is_said(self):
        bare = Path(self.temporary.name) / "bare"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
        done, _, result = self.run_bundle("live-f32", status=2, python=bare / "bin" / "python")
        self.assertIn("no PyTorch", done.stderr)
        self.assertIn("no PyTorch", result["problem"])

    def test_a_step_of_another_name_is_refused(self):
        out = Path(self.temporary.name) / "out"
        argv = [str(self.folder / "run.sh"), "goldens", "--out", str(out)]
        done = subprocess.run(argv, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no step is named goldens", done.stderr)


if __name__ == "__main__":
    if BUNDLE is None:
        sys.exit("error: name the bundle's folder\n  next: scripts/cuda_bundle.sh makes one")
    unittest.main(verbosity=2)
