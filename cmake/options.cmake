# Language level, build type, warnings, sanitizers, and whether CUDA kernels are compiled.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")

find_program(PIXART_CCACHE ccache)
if(PIXART_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime "${PIXART_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${PIXART_CCACHE}")
endif()

# pixart::options carries the flags of our own code; it is linked privately, so users do not inherit it.
add_library(pixart_options INTERFACE)
# -Wrestrict reports std::string operations that are fine (GCC bug 105651, in 12.2); with a precompiled header, which hides
# that the code is the library's, -Warray-bounds and -Wstringop-overflow do so, too.
# -Wsubobject-linkage reports types of anonymous namespaces where sources are compiled together.
target_compile_options(pixart_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-subobject-linkage -Wno-array-bounds -Wno-stringop-overflow> $<$<BOOL:${PIXART_WERROR}>:-Werror>>)
# LibTorch's headers bring an fmt of their own that has no library. The system's, which has one, is found first:
# header-only, fmt costs 5 s a file.
find_path(PIXART_FMT_INCLUDE_DIR fmt/format.h REQUIRED)
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/include_first")
file(CREATE_LINK "${PIXART_FMT_INCLUDE_DIR}/fmt" "${PROJECT_BINARY_DIR}/include_first/fmt" SYMBOLIC)
target_include_directories(pixart_options SYSTEM INTERFACE "${PROJECT_BINARY_DIR}/include_first")
target_link_libraries(pixart_options INTERFACE fmt::fmt)
if(PIXART_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${PIXART_SANITIZE}> $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>)
  add_link_options(-fsanitize=${PIXART_SANITIZE})
endif()
if(PIXART_CCACHE)
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)
endif()

# CUDA kernels: compiled wherever nvcc exists, for sm_80, sm_90 and, if nvcc knows them, sm_100 and sm_120. CMake 3.25
# does not know the CUDA 20 dialect, hence 17; kernels never include torch headers, so nothing else depends on it.
set(PIXART_WITH_CUDA OFF)
if(NOT PIXART_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(DEFINED CMAKE_CUDA_ARCHITECTURES)
      enable_language(CUDA)
    else()
      set(CMAKE_CUDA_ARCHITECTURES 80 90)
      enable_language(CUDA)
      if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8) # the first one that knows Blackwell
        list(APPEND CMAKE_CUDA_ARCHITECTURES 100 120)
      endif()
    endif()
    set(CMAKE_CUDA_STANDARD 17)
    set(PIXART_WITH_CUDA ON)
  elseif(PIXART_CUDA STREQUAL "ON")
    message(FATAL_ERROR "PIXART_CUDA=ON, but no nvcc was found. Put the CUDA toolkit's bin folder on PATH, or use PIXART_CUDA=AUTO.")
  endif()
endif()
message(STATUS "CUDA kernels: ${PIXART_WITH_CUDA}")
