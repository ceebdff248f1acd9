# pixart_module(<name> SOURCES a.cpp b.cu ... [DEPENDS base nn ...] [LIBRARIES third-party targets] [TORCH])
#   A static library pixart_<name> (alias pixart::<name>). DEPENDS names other modules and must agree with the
#   table in src/README.md (a test compares). TORCH adds LibTorch.
#   PLAIN, here and below: sources of a TORCH target that include no header of LibTorch, not even through another one.
#   They take 1 s to compile in place of 5.
# pixart_executable(<target> SOURCES ... DEPENDS ... [LIBRARIES ...] [TORCH])
# pixart_test(<name> SOURCES ... DEPENDS ... [LABELS ...] [TORCH])   a GoogleTest program, registered with ctest; sees the
#   private headers (src/<module>/*.h) of the modules that it names

# Each source instantiates the libraries' templates again, so eight sources are compiled as one, which takes 0.4 of the
# time. Therefore a name of an anonymous namespace occurs once in a target, unless it is SEPARATE, where sources without
# LibTorch are compiled one by one. -D PIXART_UNITY=OFF compiles all of them one by one.
#
# LibTorch's headers cost 20 s a file, so all targets share a few precompiled headers: <kind> is torch, plain, torch_test
# or plain_test. A precompiled header serves only sources with its options: none has -fPIE, all have OpenMP's.
target_compile_options(pixart_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${OpenMP_CXX_FLAGS}>")

function(_pixart_compile_options target)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:pixart_options>)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fPIC> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-fPIC>)
endfunction()

# Tests are compiled without optimisation, which takes half the time.
function(_pixart_test_options target)
  target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O0>)
endfunction()

foreach(_kind IN ITEMS torch plain torch_test plain_test)
  add_library(pixart_${_kind}_pch OBJECT EXCLUDE_FROM_ALL "${PROJECT_SOURCE_DIR}/cmake/pch.cpp")
  _pixart_compile_options(pixart_${_kind}_pch)
  target_precompile_headers(pixart_${_kind}_pch PRIVATE "${PROJECT_SOURCE_DIR}/cmake/${_kind}_pch.h")
  if(_kind MATCHES torch)
    target_link_libraries(pixart_${_kind}_pch PRIVATE LibTorch::torch)
  endif()
  if(_kind MATCHES test)
    target_link_libraries(pixart_${_kind}_pch PRIVATE GTest::gmock GTest::gtest)
    _pixart_test_options(pixart_${_kind}_pch)
  endif()
endforeach()

# What modules, executables and tests have in common. The PLAIN sources of a TORCH target are a target of their own,
# <target>_plain, because they have another precompiled header.
function(_pixart_target target)
  cmake_parse_arguments(ARG "TORCH;TEST;SEPARATE" "" "SOURCES;PLAIN;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  _pixart_compile_options(${target})
  foreach(_module IN LISTS ARG_DEPENDS)
    target_link_libraries(${target} PUBLIC pixart_${_module})
  endforeach()
  set(_test "")
  if(ARG_TEST)
    set(_test _test)
    _pixart_test_options(${target})
  endif()
  if(ARG_TORCH OR NOT ARG_SEPARATE)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ${PIXART_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  endif()
  if(NOT ARG_TORCH)
    target_precompile_headers(${target} REUSE_FROM pixart_plain${_test}_pch)
    return()
  endif()
  target_link_libraries(${target} PUBLIC LibTorch::torch)
  target_precompile_headers(${target} REUSE_FROM pixart_torch${_test}_pch)
  if(ARG_PLAIN)
    add_library(${target}_plain OBJECT ${ARG_PLAIN})
    foreach(_property IN ITEMS INCLUDE_DIRECTORIES COMPILE_DEFINITIONS)
      get_target_property(_values ${target} ${_property})
      if(_values)
        set_property(TARGET ${target}_plain PROPERTY ${_property} ${_values})
      endif()
    endforeach()
    target_link_libraries(${target}_plain PRIVATE ${ARG_LIBRARIES})
    if(ARG_TEST)
      target_link_libraries(${target}_plain PRIVATE GTest::gmock GTest::gtest)
    endif()
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_plain>)
    list(REMOVE_ITEM ARGN TORCH)
    _pixart_target(${target}_plain ${ARGN})
  endif()
endfunction()

function(pixart_module name)
  cmake_parse_arguments(ARG "TORCH;SEPARATE" "" "SOURCES;PLAIN;DEPENDS;LIBRARIES" ${ARGN})
  if(NOT PIXART_WITH_CUDA)
    list(FILTER ARG_SOURCES EXCLUDE REGEX "\\.cu$")
  endif()
  add_library(pixart_${name} STATIC ${ARG_SOURCES})
  add_library(pixart::${name} ALIAS pixart_${name})
  set_target_properties(pixart_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(pixart_${name} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:include>")
  target_link_libraries(pixart_${name} PUBLIC ${ARG_LIBRARIES})
  if(PIXART_WITH_CUDA)
    target_compile_definitions(pixart_${name} PRIVATE PIXART_WITH_CUDA=1)
  endif()
  _pixart_target(pixart_${name} ${ARGN})
  set_property(GLOBAL APPEND PROPERTY PIXART_MODULES ${name})
endfunction()

function(pixart_executable target)
  cmake_parse_arguments(ARG "TORCH;SEPARATE" "" "SOURCES;PLAIN;DEPENDS;LIBRARIES" ${ARGN})
  add_executable(${target} ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE ${ARG_LIBRARIES})
  _pixart_target(${target} ${ARGN})
endfunction()

function(pixart_test name)
  cmake_parse_arguments(ARG "TORCH;SEPARATE" "" "SOURCES;PLAIN;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE GTest::gmock GTest::gtest_main ${ARG_LIBRARIES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/support")
  foreach(_module IN LISTS ARG_DEPENDS)  # private headers are tested too
    if(EXISTS "${PROJECT_SOURCE_DIR}/src/${_module}")
      target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src/${_module}")
    endif()
  endforeach()
  target_compile_definitions(${name} PRIVATE PIXART_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  _pixart_target(${name} TEST ${ARGN})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" ENVIRONMENT
    "PIXART_GOLDEN_DIR=${PIXART_GOLDEN_DIR};PIXART_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/pixart;XDG_CACHE_HOME=${CMAKE_BINARY_DIR}/test-cache")
endfunction()
