# pixart_module(<name> SOURCES a.cpp b.cu ... [DEPENDS base nn ...] [LIBRARIES third-party targets] [TORCH])
#   A static library pixart_<name> (alias pixart::<name>). DEPENDS names other modules and must agree with the
#   table in src/README.md (a test compares). TORCH adds LibTorch and the one shared precompiled header.
#   PLAIN, here and below: sources of a TORCH target that include no header of LibTorch, not even through another one.
#   They are compiled without the precompiled header, which is 490 MB to load: 2 s each in place of 5.
# pixart_executable(<target> SOURCES ... DEPENDS ... [LIBRARIES ...] [TORCH])
# pixart_test(<name> SOURCES ... DEPENDS ... [LABELS ...] [TORCH])   a GoogleTest program, registered with ctest; sees the
#   private headers (src/<module>/*.h) of the modules that it names

# LibTorch's headers cost 20 s a file; every TORCH target shares this one precompiled header.
function(_pixart_pch target)
  add_library(${target} OBJECT ${ARGN} "${PROJECT_SOURCE_DIR}/cmake/torch_pch.cpp")
  target_precompile_headers(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${PROJECT_SOURCE_DIR}/cmake/torch_pch.h>")
  target_link_libraries(${target} PRIVATE pixart_options LibTorch::torch)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
endfunction()
_pixart_pch(pixart_torch_pch)
# Tests are compiled without optimisation, which takes half the time, and need a precompiled header of their own for it.
_pixart_pch(pixart_test_pch EXCLUDE_FROM_ALL)
target_compile_options(pixart_test_pch PRIVATE $<$<CONFIG:Release>:-O0>)

function(_pixart_target target)
  cmake_parse_arguments(ARG "TORCH;TEST" "" "SOURCES;PLAIN;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:pixart_options>)
  foreach(_module IN LISTS ARG_DEPENDS)
    target_link_libraries(${target} PUBLIC pixart_${_module})
  endforeach()
  if(ARG_TORCH)
    # The precompiled header is compiled with -fPIC; executables must not use -fPIE with it.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fPIC> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-fPIC>)
    target_link_libraries(${target} PUBLIC LibTorch::torch)
    if(ARG_TEST)
      target_precompile_headers(${target} REUSE_FROM pixart_test_pch)
    else()
      target_precompile_headers(${target} REUSE_FROM pixart_torch_pch)
    endif()
    if(ARG_PLAIN)
      set_source_files_properties(${ARG_PLAIN} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endif()
endfunction()

function(pixart_module name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;PLAIN;DEPENDS;LIBRARIES" ${ARGN})
  if(NOT PIXART_WITH_CUDA)
    list(FILTER ARG_SOURCES EXCLUDE REGEX "\\.cu$")
  endif()
  add_library(pixart_${name} STATIC ${ARG_SOURCES} ${ARG_PLAIN})
  add_library(pixart::${name} ALIAS pixart_${name})
  set_target_properties(pixart_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(pixart_${name} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:include>")
  target_link_libraries(pixart_${name} PUBLIC ${ARG_LIBRARIES})
  _pixart_target(pixart_${name} ${ARGN})
  if(PIXART_WITH_CUDA)
    target_compile_definitions(pixart_${name} PRIVATE PIXART_WITH_CUDA=1)
  endif()
  set_property(GLOBAL APPEND PROPERTY PIXART_MODULES ${name})
endfunction()

function(pixart_executable target)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;PLAIN;DEPENDS;LIBRARIES" ${ARGN})
  add_executable(${target} ${ARG_SOURCES} ${ARG_PLAIN})
  target_link_libraries(${target} PRIVATE ${ARG_LIBRARIES})
  _pixart_target(${target} ${ARGN})
endfunction()

function(pixart_test name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;PLAIN;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES} ${ARG_PLAIN})
  target_link_libraries(${name} PRIVATE GTest::gmock GTest::gtest_main ${ARG_LIBRARIES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/support")
  foreach(_module IN LISTS ARG_DEPENDS)  # private headers are tested too
    if(EXISTS "${PROJECT_SOURCE_DIR}/src/${_module}")
      target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src/${_module}")
    endif()
  endforeach()
  target_compile_definitions(${name} PRIVATE PIXART_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_compile_options(${name} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O0>)
  _pixart_target(${name} TEST ${ARGN})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" ENVIRONMENT
    "PIXART_GOLDEN_DIR=${PIXART_GOLDEN_DIR};PIXART_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/pixart;XDG_CACHE_HOME=${CMAKE_BINARY_DIR}/test-cache")
endfunction()
