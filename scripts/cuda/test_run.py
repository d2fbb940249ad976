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
import time
import unittest
from pathlib import Path

BUNDLE = Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None


def strict(text):
    """JSON as others read it: without Python's NaN and Infinity."""

    def refused(word):
        raise ValueError(f"{word} in {text[:200]}")

    return json.loads(text, parse_constant=refused)


class Bundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name) / "a folder" / "bundle"
        shutil.copytree(BUNDLE, cls.folder)
        cls.run_bundle(cls, "environment")  # unpacks, so that faults can be planted
        cls.out = Path(cls.temporary.name) / "out"

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def run_bundle(self, *arguments, status=None, python=sys.executable, script="run.sh"):
        """Exit code, stdout and result.json of a run in which cargo and rustc cannot be found."""
        out = Path(self.temporary.name) / "out"
        shutil.rmtree(out, ignore_errors=True)
        argv = [str(self.folder / script), *arguments, "--out", str(out)]
        done = subprocess.run(argv, env=self.environment(python), capture_output=True, text=True)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        result = strict((out / "result.json").read_text())
        return done, {row["step"]: row for row in result["steps"]}, result

    @staticmethod
    def environment(python=sys.executable):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("CARGO", "RUST", "LIBTORCH"))}
        return environment | {"PATH": "/usr/bin:/bin", "PYTHON": str(python)}

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
        self.assertEqual(statuses["tests"], "not run")
        self.assertRegex(rows["tests"]["problem"], r"none of its \d+ tests ran: they need a GPU")
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
        _, rows, result = self.run_bundle("--budget", "1", "golden-reference-f32", status=1)
        self.assertIn("budget", rows["golden-reference-f32"]["problem"])
        self.assertFalse(result["passed"])

    def test_a_step_that_the_budget_cuts_off_says_so(self):
        self.planted("vae-fidelity", '#!/bin/sh\n[ $1 = --version ] && exec "$0.real" $1\nsleep 600 & wait\n')
        _, rows, _ = self.run_bundle("--limit", "600", "--budget", "60", "golden-reference-f32", "command-check", status=1)
        self.assertIn("what the budget had left", rows["golden-reference-f32"]["problem"])
        self.assertEqual(rows["command-check"]["status"], "not run")

    def test_a_run_that_is_ended_ends_its_step_and_leaves_a_result(self):
        pid = Path(self.temporary.name) / "pid"
        self.planted("vae-fidelity", f'#!/bin/sh\n[ $1 = --version ] && exec "$0.real" $1\necho $$ >"{pid}"\nsleep 600\n')
        argv = [str(self.folder / "run.sh"), "command-check", "command-trace", "--out", str(self.out)]
        run = subprocess.Popen(argv, env=self.environment(), stdout=subprocess.PIPE, text=True)
        while run.poll() is None and not (pid.is_file() and pid.read_text().strip()):
            time.sleep(0.1)
        run.terminate()  # SIGINT is ignored below a shell's `&`
        printed, _ = run.communicate()
        self.assertEqual(run.returncode, 1, printed)
        rows = {row["step"]: row for row in strict((self.out / "result.json").read_text())["steps"]}
        self.assertEqual((rows["command-check"]["status"], rows["command-trace"]["status"]), ("failed", "not run"))
        self.assertEqual(rows["command-check"]["problem"], "SIGTERM ended the run")
        self.assertFalse(Path(f"/proc/{pid.read_text().strip()}").exists())

    def test_an_earlier_result_is_kept(self):
        self.run_bundle("environment", status=0)
        before = (self.out / "result.json").read_text()
        argv = [str(self.folder / "run.sh"), "--out", str(self.out)]
        subprocess.run([*argv, "nonesuch"], env=self.environment(), capture_output=True)
        self.assertEqual((self.out / "result.json").read_text(), before)
        self.assertIn("== environment", (self.out / "log.txt").read_text())
        subprocess.run([*argv, "environment"], env=self.environment(), capture_output=True, check=True)
        kept = list(self.out.glob("result-*.json"))
        self.assertEqual([path.read_text() for path in kept], [before])
        self.assertEqual(len(list(self.out.glob("log-*.txt"))), 1)

    def test_output_that_is_no_text_or_no_number_fails_that_step_alone(self):
        real = '#!/bin/sh\n[ $1 = --version ] && exec "$0.real" $1\n'
        for printed, problem in ((r"\377", "could not be read"), ("null", "says nothing"), ('{"x": NaN}', "NaN or infinity")):
            with self.subTest(printed):
                self.planted("vae-fidelity", f"{real}printf '{printed}\\n'\n")
                _, rows, _ = self.run_bundle("command-check", "command-trace", status=1)
                for name in ("command-check", "command-trace"):
                    self.assertEqual(rows[name]["status"], "failed")
                    self.assertIn(problem, rows[name]["problem"])
                self.doCleanups()

    def test_a_torch_of_another_version_is_said(self):
        linked = self.folder / "steps" / "torch_version.txt"
        version = linked.read_text()
        self.addCleanup(linked.write_text, version)
        linked.write_text("2.10.0\n")
        _, rows, _ = self.run_bundle("environment", status=1)
        self.assertIn("linked to 2.10.0", rows["environment"]["problem"])

    def test_a_truncated_archive_is_said(self):
        short = Path(self.temporary.name) / "short"
        shutil.copytree(BUNDLE, short)
        archive = short / "golden.tar.xz"
        archive.write_bytes(archive.read_bytes()[:1_000_000])
        done = subprocess.run([str(short / "run.sh"), "command-check"], env=self.environment(), capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("golden.tar.xz could not be unpacked", done.stderr)
        self.assertIn("golden.tar.xz", strict((short / "results" / "result.json").read_text())["problem"])

    def test_a_folder_that_cannot_be_written_is_said(self):
        file = Path(self.temporary.name) / "file"
        file.touch()
        argv = [str(self.folder / "run.sh"), "environment", "--out", str(file)]
        done = subprocess.run(argv, env=self.environment(), capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"error: {file}: File exists", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_a_python_without_torch_is_said(self):
        bare = Path(self.temporary.name) / "bare python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
        done, _, result = self.run_bundle("live-f32", status=2, python=bare / "bin" / "python")
        self.assertIn(f"no PyTorch in {bare}", done.stderr)
        self.assertIn("No module named 'torch'", done.stderr)
        self.assertIn("no PyTorch", result["problem"])

    def test_a_step_of_another_name_is_refused(self):
        argv = [str(self.folder / "run.sh"), "goldens", "--out", str(self.out)]
        done = subprocess.run(argv, env=self.environment(), capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no step is named goldens", done.stderr)


if __name__ == "__main__":
    if BUNDLE is None:
        sys.exit("error: name the bundle's folder\n  next: scripts/cuda_bundle.sh makes one")
    unittest.main(verbosity=2)
