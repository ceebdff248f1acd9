# LibTorch, the oldest version that is accepted (scripts/setup.sh has the same), and whether nvcc fits it.
# tests/meta/libtorch_test.sh configures it with folders that look like LibTorch.
#
# Input:  PIXART_WITH_CUDA, PIXART_CUDA (options.cmake), CMAKE_CUDA_COMPILER, CMAKE_CUDA_COMPILER_VERSION;
#         PIXART_BUILT_WITH_LIBTORCH: in the installed package, the version that it was built with
# Output: what FindLibTorch.cmake gives; PIXART_WITH_CUDA is OFF if the kernels must be left out
find_package(LibTorch 2.11 REQUIRED)
message(STATUS "LibTorch ${LibTorch_VERSION}: ${LibTorch_ROOT}")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" _series "${LibTorch_VERSION}")
if(PIXART_BUILT_WITH_LIBTORCH AND NOT PIXART_BUILT_WITH_LIBTORCH MATCHES "^${_series}\\.")
  message(FATAL_ERROR "pixart was built with LibTorch ${PIXART_BUILT_WITH_LIBTORCH}, but ${LibTorch_ROOT} is LibTorch ${LibTorch_VERSION}, whose C++ interface differs. Set Torch_DIR to a LibTorch ${PIXART_BUILT_WITH_LIBTORCH}, or build pixart with this one.")
endif()
# Kernels and libtorch_cuda share the driver and its contexts in one process.
if(PIXART_WITH_CUDA AND LibTorch_CUDA_VERSION)
  string(REGEX MATCH "^[0-9]+" _nvcc_major "${CMAKE_CUDA_COMPILER_VERSION}")
  string(REGEX MATCH "^[0-9]+" _torch_major "${LibTorch_CUDA_VERSION}")
  if(NOT _nvcc_major STREQUAL _torch_major)
    set(_text "nvcc ${CMAKE_CUDA_COMPILER_VERSION} (${CMAKE_CUDA_COMPILER}) and LibTorch for CUDA ${LibTorch_CUDA_VERSION} differ in the major version. Put the bin folder of a CUDA ${_torch_major} toolkit on PATH (or set CUDACXX) and delete the build folder, or use a LibTorch for CUDA ${_nvcc_major}: name it by Torch_DIR, or install it with PIXART_TORCH_INDEX (scripts/setup.sh --help).")
    if(PIXART_CUDA STREQUAL "ON")
      message(FATAL_ERROR "${_text}")
    endif()
    message(WARNING "${_text} The CUDA kernels are left out: AdamW uses LibTorch's, which is slower.")
    set(PIXART_WITH_CUDA OFF)
  endif()
endif()
