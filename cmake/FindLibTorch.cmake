# Finds LibTorch in a pip installation or an unpacked archive and makes the target LibTorch::torch.
#
# Torch's own package file is not used: its CUDA build demands a matching CUDA toolkit at configure time even
# for CPU-only targets, changes global flags, and links libcuda. Here only libtorch_cpu and libc10 are linked;
# pixart::nn::select_device() loads libtorch_cuda at run time when a GPU is asked for, so that one binary starts
# quickly, and on machines without a GPU.
#
# Input:  Torch_DIR (cache or environment), as Torch's own package uses it: <torch>/share/cmake/Torch
# Output: LibTorch_FOUND, LibTorch_VERSION, LibTorch_CUDA_VERSION, LibTorch_ROOT, target LibTorch::torch
set(_hints)
foreach(_dir IN ITEMS "${Torch_DIR}" "$ENV{Torch_DIR}")
  if(_dir)
    get_filename_component(_root "${_dir}/../../.." ABSOLUTE)
    list(APPEND _hints "${_root}")
  endif()
endforeach()
file(GLOB _local "${PROJECT_SOURCE_DIR}/.deps/venv/lib/python3*/site-packages/torch")
find_path(LibTorch_ROOT NAMES include/ATen/ATen.h HINTS ${_hints} ${_local} NO_DEFAULT_PATH)
if(LibTorch_ROOT)
  file(STRINGS "${LibTorch_ROOT}/include/torch/headeronly/version.h" _lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" LibTorch_VERSION "${_lines}")
  # The CUDA version that it was built for: version.py of a wheel, build-version of an archive; "" of a CPU build.
  set(LibTorch_CUDA_VERSION "")
  foreach(_file IN ITEMS version.py build-version)
    if(EXISTS "${LibTorch_ROOT}/${_file}")
      file(READ "${LibTorch_ROOT}/${_file}" _text)
      if(_text MATCHES "\\+cu([0-9][0-9])([0-9])")
        set(LibTorch_CUDA_VERSION "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
      endif()
    endif()
  endforeach()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_ROOT VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run scripts/setup.sh, or pass -DTorch_DIR=<torch>/share/cmake/Torch")
if(LibTorch_FOUND AND NOT TARGET LibTorch::torch)
  foreach(_part IN ITEMS c10 torch_cpu)
    add_library(LibTorch::${_part} SHARED IMPORTED)
    set_target_properties(LibTorch::${_part} PROPERTIES IMPORTED_LOCATION "${LibTorch_ROOT}/lib/lib${_part}.so")
  endforeach()
  add_library(LibTorch::torch INTERFACE IMPORTED)
  target_include_directories(LibTorch::torch SYSTEM INTERFACE
    "${LibTorch_ROOT}/include" "${LibTorch_ROOT}/include/torch/csrc/api/include")
  # at::parallel_for runs serially in code compiled without OpenMP. The linked libgomp.so.1 is found in LibTorch's
  # own folder at run time (same name), so there is one OpenMP runtime in the process.
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  target_link_libraries(LibTorch::torch INTERFACE LibTorch::torch_cpu LibTorch::c10 OpenMP::OpenMP_CXX)
  target_link_options(LibTorch::torch INTERFACE "LINKER:--allow-shlib-undefined")
endif()
