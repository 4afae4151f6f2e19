"""A shortage of memory is known by the words of every library that a run may meet."""

import errno

import pytest
import torch

from senet_train.errors import OutOfMemory
from senet_train.system.memory import explain_out_of_memory

# CUDA's, cuBLAS's, HIP's, MPS's, Linux's and Windows's are whole messages, as users report them.
# The others are in PyTorch's form, with the words that the libraries themselves hold.
SHORTAGES = {
    "CUDA": "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at "
    "some other API call, so the stacktrace below might be incorrect.",
    "CUDA, outside of PyTorch": "CUDA ran out of memory outside PyTorch's allocator. If this "
    "workload uses many dynamic shapes, cuDNN may need additional device memory",
    "cuDNN": "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN 9": "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "cuDNN 9, of the host": "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "cuBLAS": "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuSOLVER": "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`",
    "cuFFT": "cuFFT error: CUFFT_ALLOC_FAILED",
    "NCCL": "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled cuda "
    "error (run with NCCL_DEBUG=INFO for details), NCCL version 2.27.5\nncclUnhandledCudaError: "
    "Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'",
    "NCCL, a buffer": "NCCL error in: NCCLUtils.cpp:94, unhandled cuda error\nLast error:\n"
    "Failed to CUDA calloc async 608 bytes",
    "HIP": "HIP out of memory. Tried to allocate 432.00 MiB. GPU 0 has a total capacity of 15.92 "
    "GiB of which 7.12 GiB is free.",
    "HIP, an error": "HIP error: out of memory\nHIP kernel errors might be asynchronously reported",
    "HIP, by name": "hipErrorOutOfMemory",
    "rocBLAS": "CUDA error: rocblas_status_memory_error when calling `rocblas_create_handle`",
    "hipBLAS": "CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`",
    "MIOpen": "miopenStatusAllocFailed",
    "MPS": "MPS backend out of memory (MPS allocated: 18.02 GB, other allocations: 107.10 MB, max "
    "allowed: 18.13 GB). Tried to allocate 4.50 MB on private pool. Use "
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations",
    "Linux": "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate "
    "memory: you tried to allocate 40000000000 bytes. Error code 12 (Cannot allocate memory)",
    "Windows": "[enforce fail at alloc_cpu.cpp:124] data. DefaultCPUAllocator: not enough memory: "
    "you tried to allocate 40000000000 bytes.",
    "shared memory": "unable to mmap 77070336 bytes from file </torch_71_2_0>: Cannot allocate "
    "memory (12)",
}
OTHERS = (
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "CUDA error: device-side assert triggered",
    "NCCL error in: NCCLUtils.cpp:94, unhandled cuda error\nLast error:\nCuda failure 1 'invalid "
    "argument'",
    "Given groups=1, weight of size [64, 3, 7, 7], expected input to have 3 channels",
)


@pytest.mark.parametrize("name", SHORTAGES)
def test_a_shortage_is_known_by_its_words(name: str) -> None:
    with pytest.raises(OutOfMemory) as raised, explain_out_of_memory(128):
        raise RuntimeError(SHORTAGES[name])
    said = str(raised.value)
    assert said.startswith("there is no memory for data.batch_size=128 (")
    assert "\n" not in said


def test_the_line_that_has_the_words_is_told() -> None:
    words = r"\(Cuda failure 2 'out of memory'\)"
    with pytest.raises(OutOfMemory, match=words), explain_out_of_memory(1):
        raise RuntimeError(SHORTAGES["NCCL"])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("words that nobody knows"),
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),  # of a fork
    ],
)
def test_a_shortage_is_known_by_its_class(error: Exception) -> None:
    with pytest.raises(OutOfMemory), explain_out_of_memory(1):
        raise error


@pytest.mark.parametrize("words", OTHERS)
def test_another_error_stays_what_it_is(words: str) -> None:
    with pytest.raises(RuntimeError) as raised, explain_out_of_memory(1):
        raise RuntimeError(words)
    assert type(raised.value) is RuntimeError


def test_another_error_of_the_system_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError), explain_out_of_memory(1):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")
