#!/usr/bin/env python3
"""Tests of libtorch.py with tiny wheels of their own; no network."""

import contextlib
import hashlib
import io
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import libtorch  # noqa: E402

HEADER = "torch/include/torch/csrc/api/include/torch/torch.h"


class Case(unittest.TestCase):
    """A folder with fake wheels for pip to find, and a destination beside it."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name).resolve()
        self.index = self.root / "index"
        self.index.mkdir()
        self.destination = self.root / "libtorch"
        torch = {
            HEADER: b"// header",
            "torch/lib/libtorch.so": b"torch",
            "torch/lib/libtorch_cpu.so": b"cpu" * 1000,
            "torch/lib/libtorch_cuda.so": b"cuda",
            "torch/lib/libtorch_python.so": b"python",
            "torch/__init__.py": b"",
        }
        runtime = {"nvidia/cu13/lib/libcudart.so.13": b"cudart", "nvidia/cu13/include/x.h": b""}
        wheels = (
            self.make_wheel("torch", "2.13.0", "cp311-cp311", torch),
            self.make_wheel("nvidia-cuda-runtime", "13.0.96", "py3-none", runtime),
        )
        names = ("libtorch.so", "libtorch_cpu.so", "libcudart.so.13")
        self.sets = {
            "cpu": libtorch.LibtorchSet(wheels, names, 1),
            "cuda": libtorch.LibtorchSet(wheels, None, 1),
        }
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LIBTORCH", "PIP_"))}
        environment.pop("VIRTUAL_ENV", None)
        environment.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(self.index), PIP_CONFIG_FILE=os.devnull)
        for patch in (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch.object(libtorch, "machine_set", lambda kind: self.sets[kind]),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def make_wheel(self, name, version, tag, members):
        start = f"{name.replace('-', '_')}-{version}"
        path = self.index / f"{start}-{tag}-manylinux_2_28_x86_64.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            archive.writestr(f"{start}.dist-info/METADATA", metadata)
            wheel = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}-manylinux_2_28_x86_64\n"
            archive.writestr(f"{start}.dist-info/WHEEL", wheel)
            archive.writestr(f"{start}.dist-info/RECORD", "")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return libtorch.Wheel(f"{name}=={version}", "manylinux_2_28_x86_64", sha256, 1)

    def run_script(self, *arguments, status=0):
        """Runs it on the destination; returns what it prints."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            found = libtorch.main(["--dir", str(self.destination), *arguments])
        self.assertEqual(found, status, out.getvalue())
        return out.getvalue()

    def no_more_downloads(self):
        for wheel in self.index.iterdir():
            wheel.unlink()

    def own_libtorch(self, version_file="build-version", content="2.13.0\n"):
        folder = self.root / "own"
        for path in (folder / "include" / HEADER.split("/", 2)[2], folder / "lib/libtorch_cpu.so"):
            path.parent.mkdir(parents=True)
            path.write_text("")
        if version_file:
            path = folder / version_file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        os.environ["LIBTORCH"] = str(folder)


class Install(Case):
    def test_installs_then_has_nothing_to_do(self):
        self.run_script()
        self.assertEqual((self.destination / "build-version").read_text(), "2.13.0\n")
        self.assertEqual(
            sorted(str(p.relative_to(self.destination)) for p in self.destination.rglob("*.*")),
            [
                "contents.json",
                HEADER.split("/", 1)[1],
                "lib/libcudart.so.13",
                "lib/libtorch.so",
                "lib/libtorch_cpu.so",
            ],
        )
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["index", "libtorch"])
        self.no_more_downloads()
        self.assertIn("nothing to do", self.run_script())
        self.assertIn("every file as written", self.run_script("--check"))

    def test_cuda_keeps_the_layout_that_the_libraries_expect(self):
        self.run_script()
        self.assertIn("--cuda is asked for", self.run_script("--check", "--cuda", status=1))
        self.run_script("--cuda")
        self.assertTrue((self.destination / "lib/libtorch_cuda.so").is_file())
        self.assertTrue((self.destination / "lib/../../nvidia/cu13/lib/libcudart.so.13").is_file())
        self.assertTrue((self.destination / "include/torch/csrc/api/include/torch/torch.h").is_file())
        self.assertFalse((self.destination / "lib/libtorch_python.so").exists())
        self.no_more_downloads()
        self.assertIn("(cuda)", self.run_script())

    def test_a_wrong_hash_is_refused(self):
        wheel = self.sets["cpu"].wheels[0]._replace(sha256="0" * 64)
        self.sets["cpu"] = libtorch.LibtorchSet((wheel,), ("libtorch.so",), 1)
        message = self.run_script(status=1)
        self.assertIn(f"could not download torch==2.13.0 with SHA-256 {'0' * 64}", message)
        self.assertIn("your package index serves another file", message)
        self.assertFalse(self.destination.exists())

    def test_an_interrupted_run_goes_on_from_the_wheels(self):
        with mock.patch.object(libtorch, "unpack", side_effect=KeyboardInterrupt):
            self.assertIn("goes on from here", self.run_script(status=130))
        self.assertFalse(self.destination.exists())
        self.assertIn("it is not there", self.run_script("--check", status=1))
        self.no_more_downloads()
        self.assertIn("already here", self.run_script())
        self.run_script("--check")

    def test_what_a_killed_run_leaves_is_no_obstacle(self):
        partial = self.root / "libtorch.partial"
        for leftover in ("tree/lib/libtorch.so", "wheels/tmpabc/half", "old/build-version"):
            path = partial / leftover
            path.parent.mkdir(parents=True)
            path.write_text("half")
        (partial / "wheels/torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl").write_text("half")
        self.assertIn("is damaged; fetching it again", self.run_script())
        self.run_script("--check")
        self.assertFalse(partial.exists())

    def test_a_second_run_waits_for_the_first(self):
        partial = self.root / "libtorch.partial"
        partial.mkdir()
        program = """
            import fcntl, sys
            lock = open(sys.argv[1], "w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            print("held", flush=True)
            sys.stdin.read()
        """
        holder = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(partial / "lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(holder.wait)
        self.addCleanup(holder.stdout.close)
        holder.stdout.readline()
        said = []

        def say(text):
            said.append(text)
            if "waiting for it" in text:
                holder.stdin.close()

        with mock.patch.object(libtorch, "say", say):
            self.run_script()
        self.assertIn("waiting for it", said[0])
        self.run_script("--check")

    def test_a_damaged_folder_is_made_anew(self):
        self.run_script()
        (self.destination / "lib/libtorch_cpu.so").write_text("short")
        message = self.run_script("--check", status=1)
        self.assertIn("lib/libtorch_cpu.so should have 3000 bytes, and has 5", message)
        self.run_script()
        self.run_script("--check")
        (self.destination / "include/torch/csrc/api/include/torch/torch.h").write_text("// Header")
        self.assertIn("does not have the SHA-256", self.run_script("--check", status=1))

    def test_another_version_of_ours_is_replaced(self):
        with mock.patch.object(libtorch, "TORCH", "2.12.0"):
            self.run_script()
        self.assertIn("is needed, it holds 2.12.0", self.run_script("--check", status=1))
        self.run_script()
        self.run_script("--check")

    def test_a_folder_of_someone_else_is_left_alone(self):
        self.destination.mkdir()
        (self.destination / "thesis.txt").write_text("only copy")
        self.assertIn("holds other things", self.run_script(status=1))
        (self.destination / "build-version").write_text("2.9.0")
        self.assertIn("2.13.0 is needed, it holds 2.9.0", self.run_script(status=1))
        self.assertTrue((self.destination / "thesis.txt").exists())

    def test_no_room(self):
        usage = mock.Mock(free=1)
        with mock.patch.object(libtorch.shutil, "disk_usage", return_value=usage):
            message = self.run_script(status=1)
        self.assertIn("about 4 MB are needed for a while, 0 MB are free", message)

    def test_no_pip(self):
        with mock.patch.object(libtorch.sys, "executable", "/bin/false"):
            self.assertIn("has no pip", self.run_script(status=1))

    @unittest.skipUnless(hasattr(os, "killpg"), "needs process groups")
    def test_a_real_kill_leaves_nothing_that_looks_complete(self):
        program = textwrap.dedent(
            """
            import sys, time
            from pathlib import Path
            sys.path.insert(0, sys.argv[1])
            import libtorch
            libtorch.sha256_of = lambda path: (print("busy", flush=True), time.sleep(60))
            libtorch.machine_set = lambda kind: libtorch.LibtorchSet(
                (libtorch.Wheel("torch==2.13.0", "manylinux_2_28_x86_64", sys.argv[3], 1),),
                ("libtorch.so",), 1)
            sys.exit(libtorch.main(["--dir", sys.argv[2]]))
            """
        )
        scripts = str(Path(libtorch.__file__).parent)
        sha256 = self.sets["cpu"].wheels[0].sha256
        child = subprocess.Popen(
            [sys.executable, "-B", "-c", program, scripts, str(self.destination), sha256],
            stdout=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
        )
        for line in child.stdout:
            if line == "busy\n":
                break
        os.killpg(child.pid, signal.SIGKILL)
        child.stdout.close()
        child.wait()
        self.assertFalse(self.destination.exists())
        self.assertIn("already here", self.run_script())
        self.run_script("--check")


class UsersOwn(Case):
    def test_right_versions_are_taken(self):
        header = "\n".join(f"#define TORCH_VERSION_{part} {n}" for part, n in zip(("MAJOR", "MINOR", "PATCH"), (2, 13, 0)))
        for name, content in (
            ("build-version", "2.13.0+cu130\n"),
            ("version.py", "__version__ = '2.13.0+cpu'\n"),
            ("include/torch/headeronly/version.h", header),
        ):
            with self.subTest(name):
                self.own_libtorch(name, content)
                self.assertIn("your own", self.run_script("--cuda"))
                self.assertFalse(self.destination.exists())
                libtorch.shutil.rmtree(os.environ["LIBTORCH"])

    def test_a_wrong_version_is_named(self):
        self.own_libtorch(content="2.9.1+cpu\n")
        message = self.run_script(status=1)
        self.assertIn("libtorch 2.13.0 is needed, found 2.9.1+cpu", message)
        self.assertIn("unset it to let this script fetch one", message)
        os.environ["LIBTORCH_BYPASS_VERSION_CHECK"] = "1"
        self.assertIn("warning", self.run_script())

    def test_no_version_no_headers_no_library(self):
        self.own_libtorch(version_file=None)
        self.assertIn("no version found", self.run_script(status=1))
        (Path(os.environ["LIBTORCH"]) / "lib/libtorch_cpu.so").unlink()
        self.assertIn("no libtorch_cpu in", self.run_script(status=1))
        os.environ["LIBTORCH"] = str(self.root / "nowhere")
        self.assertIn("no headers in", self.run_script(status=1))
        os.environ["LIBTORCH"] = ""
        self.assertIn("LIBTORCH is set, but empty", self.run_script(status=1))
        os.environ["LIBTORCH"] = "relative"
        self.assertIn("an absolute path is needed", self.run_script(status=1))

    def test_libtorch_may_name_the_destination(self):
        os.environ["LIBTORCH"] = str(self.destination)
        self.run_script()
        self.assertIn("nothing to do", self.run_script())

    def test_python_torch(self):
        os.environ["LIBTORCH_USE_PYTORCH"] = "1"
        os.environ["PATH"] = str(self.root / "bin")
        self.assertIn("`python3` does not start", self.run_script(status=1))
        python = self.root / "bin/python3"
        python.parent.mkdir()
        for printed, status, expected in (
            ("echo 2.13.0+cu130", 0, "comes from python3's torch"),
            ("echo 2.4.0", 1, "libtorch 2.13.0 is needed, found 2.4.0"),
            ("echo 'No module named torch' >&2; exit 1", 1, "cannot import torch: No module named"),
        ):
            with self.subTest(printed):
                python.write_text(f"#!/bin/sh\n{printed}\n")
                python.chmod(0o755)
                self.assertIn(expected, self.run_script(status=status))


class Machines(unittest.TestCase):
    def refused(self, system, machine, libc=("glibc", "2.31"), kind="cpu"):
        with (
            mock.patch.object(platform, "system", return_value=system),
            mock.patch.object(platform, "machine", return_value=machine),
            mock.patch.object(platform, "libc_ver", return_value=libc),
        ):
            with self.assertRaises(libtorch.Failure) as caught:
                libtorch.machine_set(kind)
        self.assertIn("set LIBTORCH", caught.exception.next_step)
        return str(caught.exception)

    def test_others_get_a_clear_message(self):
        self.assertIn("no cpu set is known for Windows AMD64", self.refused("Windows", "AMD64"))
        self.assertIn("for Linux riscv64", self.refused("Linux", "riscv64"))
        self.assertIn("no cuda set", self.refused("Darwin", "arm64", kind="cuda"))
        self.assertIn("glibc 2.28 or newer, found 2.17", self.refused("Linux", "x86_64", ("glibc", "2.17")))
        self.assertIn("another C library", self.refused("Linux", "x86_64", ("", "")))

    def test_the_pins_fit_the_crate(self):
        manifest = (libtorch.ROOT / "Cargo.toml").read_text("utf-8")
        build = (libtorch.ROOT / "build.rs").read_text("utf-8")
        minor = re.search(r'^torch-sys = "=0\.(\d+)\.', manifest, re.MULTILINE)[1]
        behind = re.search(r"LIBTORCH_BEHIND_TORCH_SYS: u32 = (\d+);", build)[1]
        self.assertEqual(libtorch.TORCH, f"2.{int(minor) - int(behind)}.0")
        requirements = (libtorch.ROOT / "scripts/requirements.txt").read_text("utf-8")
        self.assertIn(f"torch=={libtorch.TORCH}\n", requirements)
        for wanted in libtorch.SETS.values():
            self.assertEqual(wanted.wheels[0].requirement, f"torch=={libtorch.TORCH}")


if __name__ == "__main__":
    unittest.main()
