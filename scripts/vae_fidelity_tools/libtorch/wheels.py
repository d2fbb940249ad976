"""PyTorch's wheels, and what is kept of them for each kind of machine."""

from typing import Dict, NamedTuple, Optional, Sequence, Tuple

# What tch and torch-sys in Cargo.toml are made for; they go up together.
TORCH = "2.13.0"


class Wheel(NamedTuple):
    """A wheel, as pip is asked for it."""

    requirement: str
    platform: str
    sha256: str
    megabytes: int


class LibtorchSet(NamedTuple):
    """What is fetched for one kind of machine, and what is kept of it."""

    wheels: Sequence[Wheel]
    # File names kept of the wheels' lib folders; None keeps the wheels' layout and every library,
    # since the libraries look for each other in `../../nvidia/*/lib`.
    libraries: Optional[Sequence[str]]
    unpacked_megabytes: int


LINUX_LIBRARIES = (
    "libtorch.so",
    "libtorch_cpu.so",
    "libc10.so",
    "libgomp.so.1",
    # PyPI's libtorch_cpu.so is linked to these two, though it never calls them without a GPU.
    "libcudart.so.13",
    "libcupti.so.13",
)

TORCH_X86_64 = Wheel(
    "torch==2.13.0",
    "manylinux_2_28_x86_64",
    "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
    527,
)
CUDART_X86_64 = Wheel(
    "nvidia-cuda-runtime==13.0.96",
    "manylinux2014_x86_64",
    "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    2,
)
CUPTI_X86_64 = Wheel(
    "nvidia-cuda-cupti==13.0.85",
    "manylinux_2_25_x86_64",
    "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    11,
)

# The Python tag of the torch wheel does not matter to libtorch: everyone gets cp311's.
SETS: Dict[Tuple[str, str, str], LibtorchSet] = {
    ("Linux", "x86_64", "cpu"): LibtorchSet((TORCH_X86_64, CUDART_X86_64, CUPTI_X86_64), LINUX_LIBRARIES, 490),
    ("Linux", "x86_64", "cuda"): LibtorchSet(
        (
            TORCH_X86_64,
            CUDART_X86_64,
            CUPTI_X86_64,
            Wheel(
                "nvidia-cublas==13.1.1.3",
                "manylinux_2_27_x86_64",
                "37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436",
                423,
            ),
            Wheel(
                "nvidia-cuda-nvrtc==13.0.88",
                "manylinux2010_x86_64",
                "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
                90,
            ),
            Wheel(
                "nvidia-cudnn-cu13==9.20.0.48",
                "manylinux_2_27_x86_64",
                "0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304",
                366,
            ),
            Wheel(
                "nvidia-cufft==12.0.0.61",
                "manylinux2014_x86_64",
                "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
                214,
            ),
            Wheel(
                "nvidia-cufile==1.15.1.6",
                "manylinux2014_x86_64",
                "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
                1,
            ),
            Wheel(
                "nvidia-curand==10.4.0.35",
                "manylinux_2_27_x86_64",
                "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
                60,
            ),
            Wheel(
                "nvidia-cusolver==12.0.4.66",
                "manylinux_2_27_x86_64",
                "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
                201,
            ),
            Wheel(
                "nvidia-cusparse==12.6.3.3",
                "manylinux2014_x86_64",
                "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
                146,
            ),
            Wheel(
                "nvidia-cusparselt-cu13==0.8.1",
                "manylinux2014_x86_64",
                "786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0",
                170,
            ),
            Wheel(
                "nvidia-nccl-cu13==2.29.7",
                "manylinux_2_18_x86_64",
                "edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d",
                206,
            ),
            Wheel(
                "nvidia-nvjitlink==13.0.88",
                "manylinux2010_x86_64",
                "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
                41,
            ),
            Wheel(
                "nvidia-nvshmem-cu13==3.4.5",
                "manylinux2014_x86_64",
                "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
                60,
            ),
            Wheel(
                "nvidia-nvtx==13.0.85",
                "manylinux1_x86_64",
                "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4",
                1,
            ),
        ),
        None,
        3850,
    ),
    ("Linux", "aarch64", "cpu"): LibtorchSet(
        (
            Wheel(
                "torch==2.13.0",
                "manylinux_2_28_aarch64",
                "092790c696a760c729fd5722835f50b9d81fd7c8f141571f3f3cf4081a8f664c",
                427,
            ),
            Wheel(
                "nvidia-cuda-runtime==13.0.96",
                "manylinux2014_aarch64",
                "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
                2,
            ),
            Wheel(
                "nvidia-cuda-cupti==13.0.85",
                "manylinux_2_25_aarch64",
                "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151",
                11,
            ),
        ),
        LINUX_LIBRARIES
        + (
            "libarm_compute.so",
            "libarm_compute_graph.so",
            "libgfortran.so.5",
            "libnvpl_blas_core.so.0",
            "libnvpl_blas_lp64_gomp.so.0",
            "libnvpl_lapack_core.so.0",
            "libnvpl_lapack_lp64_gomp.so.0",
        ),
        370,
    ),
    ("Darwin", "arm64", "cpu"): LibtorchSet(
        (
            Wheel(
                "torch==2.13.0",
                "macosx_14_0_arm64",
                "e76f9bcecc52b8ff711239a2f7547d5353df95878ab232f0773c1d95928b92f8",
                111,
            ),
        ),
        ("libtorch.dylib", "libtorch_cpu.dylib", "libc10.dylib", "libomp.dylib"),
        400,
    ),
}
# Put together from the wheels' contents alone; nobody has run them yet.
UNTRIED = {("Linux", "aarch64", "cpu"), ("Darwin", "arm64", "cpu")}
